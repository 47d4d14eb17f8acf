"""`manage.py serve` for tests: a server in a folder of its own, and what such a folder holds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from conftest import OF_SETTINGS, free_port

ROOT = Path(__file__).resolve().parents[2]
MANAGE = [sys.executable, "manage.py"]


def environment(var: Path, changes: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in OF_SETTINGS}
    return {**kept, "VALHALLA_VAR": str(var), **(changes or {})}


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 180) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


class Server:
    """`manage.py serve` in a folder of its own, as a terminal would start it."""

    def __init__(
        self, var: Path, database_url: str, changes: Mapping[str, str] | None = None, *options: str
    ) -> None:
        self.port = free_port()
        self.log = var / "printed"
        self.url = f"http://127.0.0.1:{self.port}"
        own = {"PORT": str(self.port), "DATABASE_URL": database_url, **(changes or {})}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*MANAGE, "serve", *options],
                cwd=ROOT,
                env=environment(var, own),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            )

    @property
    def printed(self) -> str:
        return self.log.read_text()

    def wait_until_up(self) -> None:
        assert wait_for(lambda: self.url in self.printed or self.process.poll() is not None), self.printed
        assert self.process.poll() is None, self.printed

    def family(self) -> list[psutil.Process]:
        """Every process that the start has begun, workers of the web server included."""
        return list(psutil.Process(self.process.pid).children(recursive=True))

    def child(self, word: str) -> psutil.Process:
        return next(child for child in self.family() if word in child.cmdline())

    def kinds(self) -> set[str]:
        """What it has started: the web server, the scheduler, the worker."""
        return {word for child in self.family() for word in child.cmdline()} & {"beat", "worker", "gunicorn"}

    def wait(self) -> int:
        return self.process.wait(60)

    def press_ctrl_c(self) -> int:
        os.killpg(self.process.pid, signal.SIGINT)
        return self.wait()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def install(var: Path, migrated: str) -> dict[str, str]:
    """Lay a migrated SQLite database and the keys that it knows into a folder; return the setting of it."""
    shutil.copyfile(migrated.removeprefix("sqlite:///"), var / "own.sqlite3")
    for name in ("contact_hash_key", "second_factor_key"):
        (var / name).write_text(os.environ[name.upper()])
        (var / name).chmod(0o600)
    return {"DATABASE_URL": f"sqlite:///{var / 'own.sqlite3'}"}
