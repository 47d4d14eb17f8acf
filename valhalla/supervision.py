"""A supervisor for the processes of one machine: starts them, restarts job processes, stops all.

A job process that exits is restarted after a pause that doubles from 1 s to a minute, while the web server
keeps serving. The state is stored in VALHALLA_VAR for /readyz and the runbook.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings

START_SECONDS = 120
STOP_SECONDS = 20
WATCH_SECONDS = 0.2
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)  # seconds before each restart in a row
STEADY_SECONDS = 60.0  # after a run of so many seconds, the shortest pause applies again
PR_SET_PDEATHSIG = 1
WITHHELD = {"MIGRATE_DATABASE_URL"}  # of the tables' owner: processes that serve or run jobs do not need it
STATES = "processes-*.json"  # in VALHALLA_VAR, one for each `serve` that runs there

Say = Callable[[str], None]


class CannotStart(Exception):
    """Valhalla cannot start or continue; the message is one sentence for the operator."""

    def __init__(self, sentence: str, *, code: int = 2) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True)
class Program:
    """A process to start: its name in messages, its command and its environment.

    If `restarts` is false, its exit stops everything.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    restarts: bool = True


@dataclass
class _Child:
    program: Program
    process: subprocess.Popen[bytes]
    started: float
    failures: int = 0
    again_at: float | None = None  # by time.monotonic(); None while it runs
    ended: str = ""


def start(program: Program) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own, so that a Ctrl-C reaches only the supervisor."""
    paths = [str(settings.BASE_DIR), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **{name: value for name, value in os.environ.items() if name not in WITHHELD},
        "DJANGO_SETTINGS_MODULE": "valhalla.settings",
        "PYTHONPATH": os.pathsep.join(paths),
        "VALHALLA_VAR": str(settings.VAR),
        **program.environment,
    }
    return subprocess.Popen(
        program.command,
        env=environment,
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=_end_with_parent,
    )


def _end_with_parent() -> None:
    """Have Linux end this process when its supervisor is killed, so that none stays behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def stop(children: Sequence[subprocess.Popen[bytes]], *, seconds: float = STOP_SECONDS) -> bool:
    """Ask every child to end, wait at most `seconds` for all of them, then kill.

    Return True if none was killed.
    """
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    until = time.monotonic() + seconds
    clean = True
    for child in children:
        try:
            child.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            clean = False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # and any processes it left behind
        child.wait()
    return clean


class Supervisor:
    """The programs of this machine while they run. Raises CannotStart if one of them cannot continue."""

    def __init__(self, programs: Sequence[Program], say: Say, name: str) -> None:
        self.say = say
        self.state = Path(settings.VAR) / STATES.replace("*", name)
        self.children = [_Child(program, start(program), time.monotonic()) for program in programs]
        self._note()

    def watch(
        self,
        stopping: threading.Event,
        *,
        is_up: Callable[[], bool],
        on_up: Callable[[], None],
        start_seconds: float = START_SECONDS,
    ) -> None:
        """Return when `stopping` is set; raise CannotStart when all must end or the start takes too long."""
        up = False
        until = time.monotonic() + start_seconds
        while not stopping.is_set():
            for child in self.children:
                self._look_after(child)
            if not up and is_up():
                up = True
                on_up()
            if not up and time.monotonic() > until:
                raise CannotStart(f"the web server did not answer within {start_seconds:.0f} s.", code=1)
            stopping.wait(WATCH_SECONDS)

    def stop(self) -> bool:
        """Stop all of them; return True if none had to be killed."""
        clean = stop([child.process for child in self.children])
        with contextlib.suppress(OSError):
            self.state.unlink(missing_ok=True)
        return clean

    def _look_after(self, child: _Child) -> None:
        now = time.monotonic()
        if child.again_at is None:
            code = child.process.poll()
            if code is None:
                return
            child.ended = f"signal {-code}" if code < 0 else f"code {code}"
            name = child.program.name
            if not child.program.restarts:
                sentence = f"the {name} ended by itself ({child.ended}), so everything was stopped."
                raise CannotStart(sentence, code=1)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGKILL)  # orphans would run next to the new one
            if now - child.started >= STEADY_SECONDS:
                child.failures = 0
            pause = PAUSES[min(child.failures, len(PAUSES) - 1)]
            child.failures, child.again_at = child.failures + 1, now + pause
            self.say(
                f"valhalla: the {name} ended by itself ({child.ended}); starting it again in {pause:.0f} s."
            )
            self._note()
        elif now >= child.again_at:
            child.process, child.started, child.again_at = start(child.program), now, None
            self._note()

    def _note(self) -> None:
        """Write the state for the web processes and the runbook; a full disk does not stop anything here."""
        state = {
            child.program.name: {"down": child.again_at is not None, "ended": child.ended}
            for child in self.children
        }
        with contextlib.suppress(OSError):
            written = self.state.with_suffix(".new")
            written.write_text(json.dumps({"pid": os.getpid(), "processes": state}))
            written.replace(self.state)


def processes_down() -> dict[str, str]:
    """Return this machine's processes that exited and wait to be restarted, with how they exited.

    Also empty if no supervisor runs here.
    """
    down: dict[str, str] = {}
    for file in Path(settings.VAR).glob(STATES):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            kept = json.loads(file.read_text())
            os.kill(int(kept["pid"]), 0)
            down |= {name: state["ended"] for name, state in kept["processes"].items() if state["down"]}
    return down
