"""Programs that tests start, kill without a warning and start again, and the databases they work on."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import psycopg
from django.conf import settings

from conftest import answers_at, broker_command, free_port, make_postgres, postgres_command

PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Program:
    """A program of Valhalla's. Start it in the test's own thread: it ends with the thread that started it."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.command = command
        self.log = folder / f"{name.replace(' ', '-')}.log"
        self.options: dict[str, Any] = {"cwd": settings.BASE_DIR, "env": environment}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
                preexec_fn=_end_with_parent,
                **self.options,
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def family(self) -> list[psutil.Process]:
        """The program and every process that it has started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            whole = psutil.Process(self.pid)
            return [whole, *whole.children(recursive=True)]
        return []

    def kill(self) -> None:
        """SIGKILL to all of it at once."""
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self.process is not None:
            self.process.wait(20)

    def stop(self) -> None:
        """Ask it to end, as an orderly stop does."""
        if self.is_running:
            os.kill(self.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                assert self.process is not None
                self.process.wait(20)
        self.kill()


class Broker(Program):
    """A broker of its own, empty after each start."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        super().__init__("broker", broker_command(self.port, folder), os.environ, folder)

    def start(self) -> None:
        super().start()
        wait_until(lambda: answers_at(self.port), "the broker answers", self)


class Postgres(Program):
    """A PostgreSQL server of its own, which keeps its databases from one start to the next."""

    def __init__(self, folder: Path) -> None:
        program, options = make_postgres(folder)
        self.port = free_port()
        super().__init__("PostgreSQL", postgres_command(program, self.port, folder), {}, folder)
        self.options = options

    def start(self) -> None:
        super().start()
        wait_until(self._answers, "PostgreSQL answers", self)

    def url(self, name: str) -> str:
        return f"postgresql://valhalla@127.0.0.1:{self.port}/{name}"

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            return ask(self.url("postgres"), "SELECT 1") == [(1,)]
        return False


@contextlib.contextmanager
def running(*programs: Program) -> Iterator[None]:
    """Have the programs run until the block ends."""
    try:
        for program in programs:
            program.start()
        yield
    finally:
        for program in programs:
            program.kill()


def celery(name: str, kind: str, environment: Mapping[str, str], folder: Path, *options: str) -> Program:
    """A worker or beat of the app with seconds for minutes."""
    command = [sys.executable, "-m", "celery", "-A", "valhalla.tests.quick", kind, "--loglevel", "WARNING"]
    return Program(name, [*command, *options], environment, folder)


def environment(url: str, folder: Path, broker: Broker | None = None, **more: str) -> dict[str, str]:
    """What programs need to know: the database, their folder, and the broker or that there is none."""
    jobs = {"CELERY_BROKER_URL": broker.url} if broker else {"VALHALLA_EMBEDDED_JOBS": "1"}
    var = {"VALHALLA_VAR": str(folder / "var"), "VALHALLA_TEST_RAN": str(folder / "ran")}
    return {**os.environ, "DATABASE_URL": url, **var, **jobs, **more}


def what_ran(folder: Path) -> list[str]:
    """The lines that the tasks of quick.py have written."""
    file = folder / "ran"
    return file.read_text().splitlines() if file.exists() else []


def every_second(url: str, job: str, task: str = "") -> None:
    """Leave one schedule enabled, every second instead of every minute, and let it start another task."""
    ask(url, "UPDATE django_celery_beat_intervalschedule SET period = 'seconds'")
    ask(url, "UPDATE django_celery_beat_periodictask SET enabled = (name = %s)", job)
    ask(url, "UPDATE django_celery_beat_periodictask SET task = %s WHERE name = %s", task or job, job)


def wait_until(true: Callable[[], bool], what: str, *programs: Program, seconds: float = 60) -> None:
    """Wait for what must come true, and show the programs' logs if it does not."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            logs = "\n".join(f"{program.name}: {program.log.read_text()[-2000:]}" for program in programs)
            raise AssertionError(f"{what}: not within {seconds:.0f} s\n{logs}")
        time.sleep(0.05)


def ask(url: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Ask or change a database that programs of a test work on; `%s` stands for each value."""
    database: object
    if url.startswith("sqlite"):
        database = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30, isolation_level=None)
        statement = statement.replace("%s", "?")
    else:
        database = psycopg.connect(url, autocommit=True)
    with contextlib.closing(database):
        cursor = database.execute(statement, values)
        return list(cursor.fetchall()) if cursor.description else []
