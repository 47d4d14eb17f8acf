"""PostgreSQL and web servers that a bench starts, and the processor time that they take."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg

from conftest import answers_at, free_port, make_postgres, wait_until

NANO = 1_000_000  # per millisecond


class Server:
    """A program with all the processes that it starts."""

    def __init__(self, command: list[str], folder: Path, **options: Any) -> None:
        self.log = folder / "server.log"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options
            )

    def milliseconds(self) -> float:
        """Return the processor time of all of its processes and their threads so far."""
        total = 0.0
        with contextlib.suppress(psutil.NoSuchProcess):
            whole = psutil.Process(self.process.pid)
            for process in (whole, *whole.children(recursive=True)):
                total += _milliseconds(process.pid)
        return total

    def megabytes(self) -> float:
        """Return the largest resident memory of its processes besides the first, which only manages them."""
        found = [0.0]
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(child.memory_info().rss / 2**20)
        return max(found)

    def stop(self, with_signal: signal.Signals) -> None:
        self.process.send_signal(with_signal)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _milliseconds(pid: int) -> float:
    """Read a process's time in nanoseconds, thread by thread: the clock ticks of /proc/*/stat are 10 ms."""
    total = 0
    with contextlib.suppress(OSError):  # it ended meanwhile
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(thread.read_text().split()[0])
    return total / NANO


class Postgres:
    """A PostgreSQL server with fsync, in a folder that can be kept for the next run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not (folder / "data").exists():
            folder.mkdir(exist_ok=True)
            self.program, self.options = make_postgres(folder)
            (folder / "program").write_text(str(self.program))
        else:
            self.program, self.options = _kept(folder)
        self.port = free_port()
        self.server: Server | None = None

    def start(self) -> None:
        command = [str(self.program), "-D", str(self.folder / "data"), "-p", str(self.port)]
        options = ("shared_buffers=512MB", "max_wal_size=4GB", "autovacuum=off", "max_connections=100")
        command += ["-h", "127.0.0.1", "-k", "", *(word for one in options for word in ("-c", one))]
        self.server = Server(command, self.folder, **self.options)
        wait_until(lambda: self.ask("SELECT 1") is not None, "PostgreSQL", self.server.log)

    def url(self, name: str) -> str:
        return f"postgresql://valhalla@127.0.0.1:{self.port}/{name}"

    def ask(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]] | None:
        """Return the rows of a statement, [] for one without rows, None while the server does not answer."""
        try:
            with psycopg.connect(self.url(database), autocommit=True) as connection:
                cursor = connection.execute(statement.encode())
                return cursor.fetchall() if cursor.description else []
        except psycopg.OperationalError:
            return None

    def has(self, name: str) -> bool:
        return bool(self.ask(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"))

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop(signal.SIGINT)


def _kept(folder: Path) -> tuple[Path, dict[str, object]]:
    """Return program and options for a server that an earlier run created, as its owner."""
    data = (folder / "data").stat()
    options: dict[str, object] = {"env": {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}, "cwd": folder}
    if os.geteuid() == 0:
        options |= {"user": data.st_uid, "group": data.st_gid, "extra_groups": []}
    return Path((folder / "program").read_text()), options


@contextlib.contextmanager
def product(
    tree: Path, folder: Path, environment: dict[str, str], processes: int
) -> Iterator[tuple[Server, int]]:
    """Serve the product of a tree as it is deployed: `manage.py serve --only web`."""
    port = free_port()
    known = {**environment, "PORT": str(port), "WEB_PROCESSES": str(processes), "WEB_THREADS": "4"}
    command = [sys.executable, "manage.py", "serve", "--only", "web"]
    yield from _served(command, tree, folder, known, port)


@contextlib.contextmanager
def bare(
    tree: Path, folder: Path, environment: dict[str, str], processes: int
) -> Iterator[tuple[Server, int]]:
    """Serve the view of bench/bare.py by the product's own server."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "bench.bare:application", "--bind", f"127.0.0.1:{port}"]
    command += ["--worker-class", "valhalla.web_worker.Worker", "--workers", str(processes), "--threads", "4"]
    yield from _served([*command, "--no-control-socket"], tree, folder, environment, port)


def _served(
    command: list[str], tree: Path, folder: Path, environment: dict[str, str], port: int
) -> Iterator[tuple[Server, int]]:
    server = Server(command, folder, cwd=tree, env={**os.environ, **environment})
    try:
        wait_until(lambda: answers_at(port), "the web server", server.log, seconds=120)
        yield server, port
    finally:
        server.stop(signal.SIGTERM)
