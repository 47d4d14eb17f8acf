"""Starts and stops Valhalla on one machine: the web server and the job process, together.

``serve`` prepares the database and the static files, starts both and watches them until Ctrl-C or SIGTERM.
What would make the start fail is looked for first, so that nothing is half started.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from kombu import Connection

from valhalla.migrating import one_at_a_time

START_SECONDS = 120
STOP_SECONDS = 10
WATCH_SECONDS = 0.2
PR_SET_PDEATHSIG = 1

Say = Callable[[str], None]


class CannotStart(Exception):
    """Valhalla cannot start or go on; the message is one sentence for the person at the keyboard."""

    def __init__(self, sentence: str, *, code: int = 2) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True)
class Program:
    """A process to start: its name in messages, its command and what it needs in the environment."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def host() -> str:
    """The address to listen at. Not HOST: some shells and build tools set that to the machine's name."""
    return os.environ.get("VALHALLA_HOST", "").strip() or "127.0.0.1"


def address() -> str:
    """Where a browser on this machine finds Valhalla."""
    name = host()
    if name in {"0.0.0.0", "::"}:
        name = "127.0.0.1"
    return f"http://{_bracketed(name)}:{settings.PORT}"


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def check_port() -> None:
    """Refuse a port that another program holds, or that this account may not use."""
    name, port = host(), settings.PORT
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0]
    except OSError as problem:
        raise CannotStart(f"VALHALLA_HOST={name!r} is no address of this machine.") from problem
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the web server itself does
        try:
            probe.bind(place)
        except OSError as problem:
            raise CannotStart(
                f"port {port} at {name} cannot be used ({problem.strerror}); PORT names another one."
            ) from problem


def check_database() -> None:
    """Refuse a database that does not answer."""
    try:
        connection.ensure_connection()
    except DatabaseError as problem:
        reason = " ".join(str(problem).split())
        raise CannotStart(f"the database of DATABASE_URL cannot be reached: {reason}") from problem


def check_broker() -> None:
    """Refuse a broker that does not answer, where one is set."""
    if not settings.BROKER_CONFIGURED:
        return
    with Connection(settings.CELERY_BROKER_URL, connect_timeout=5) as broker:
        try:
            broker.ensure_connection(max_retries=1, interval_start=1, timeout=6)
        except Exception as problem:  # each transport has errors of its own
            raise CannotStart(f"no broker answers at CELERY_BROKER_URL, {broker.as_uri()}.") from problem


def migrate(say: Say) -> None:
    """Bring the database up to date; say so only where there is something to do."""

    def waiting() -> None:
        say("Another process is preparing the database; waiting until it has ended.")

    with one_at_a_time(connection, waiting):
        executor = MigrationExecutor(connection)
        steps = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
        if steps:
            say(f"Preparing the database ({steps} migrations).")
        call_command("migrate", interactive=False, verbosity=0)
        for seed in ("sync_roles", "sync_schedules"):
            call_command(seed, verbosity=0)


def collect_static(say: Say) -> None:
    """Gather and compress the static files, when one of them changed since the last time."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list([]):
            changed = storage.get_modified_time(path).timestamp()
            digest.update(f"{path}\0{storage.size(path)}\0{changed}\n".encode())
    stamp = Path(settings.STATIC_ROOT) / ".collected"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    say("Collecting the static files.")
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(digest.hexdigest())


def fill_in_demo(say: Say) -> None:
    """Fill an empty database with demo data. Never in production: its people have printed passwords."""
    if apps.get_model("followups.Lead").objects.exists():
        return
    if settings.PRODUCTION:
        say("ENV=production: no demo data is filled in.")
        return
    say("Filling in the demo data; this happens once.")
    with (
        transaction.atomic()
    ):  # a Ctrl-C in the middle must not leave half of it, which would pass for a first run
        call_command("demo")


def prepare(say: Say, *, demo: bool) -> None:
    """Everything that must hold before a process starts. Raises CannotStart or SystemCheckError."""
    check_port()
    call_command("check", verbosity=0, stdout=_Silence(), stderr=_Silence())  # warnings come below, once
    check_database()
    check_broker()
    migrate(say)
    call_command("check", databases=["default"], verbosity=0, stdout=_Silence())
    collect_static(say)
    if demo:
        fill_in_demo(say)
    connection.close()


class _Silence:
    """A place for what nobody needs to read."""

    def write(self, text: str) -> None: ...


def programs() -> list[Program]:
    """The web server, and the jobs: one beat that runs them itself, or beat and a worker with a broker."""
    web = Program(
        "web server",
        [
            *(sys.executable, "-m", "gunicorn", "valhalla.wsgi:application"),
            *("--bind", f"{_bracketed(host())}:{settings.PORT}"),
            *("--worker-class", "gthread", "--workers", "2", "--threads", "4"),
            *("--graceful-timeout", str(STOP_SECONDS - 2)),
            *("--log-level", "warning", "--no-control-socket"),
        ],
    )
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "valhalla"]
    beat = [*celery, "beat", "--loglevel", "WARNING"]
    if not settings.BROKER_CONFIGURED:
        return [web, Program("job process", beat, {"VALHALLA_EMBEDDED_JOBS": "1"})]
    # Celery warns whoever runs a worker as root; in a developer's container that is noise.
    calm = (
        {} if settings.PRODUCTION else {"PYTHONWARNINGS": "ignore:You're running the worker with superuser"}
    )
    worker = [*celery, "worker", "--loglevel", "WARNING", "--concurrency", "2"]
    return [web, Program("job scheduler", beat), Program("job worker", worker, calm)]


def _end_with_parent() -> None:
    """Have Linux end this process when the one that watches it is killed, so that none stays behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def start(program: Program) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own, so that a Ctrl-C reaches the watcher alone."""
    paths = [str(settings.BASE_DIR), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
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


def stop(children: Sequence[subprocess.Popen[bytes]], *, seconds: float = STOP_SECONDS) -> bool:
    """Ask every child to end, wait at most `seconds` for all of them, then kill. True if none was killed."""
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
            os.killpg(child.pid, signal.SIGKILL)  # and whoever it left behind
        child.wait()
    return clean


def answers(path: str, headers: Mapping[str, str] | None = None) -> int:
    """The status that the web server answers a GET with; 0 when it does not answer."""
    first = settings.ALLOWED_HOSTS[0].lstrip(".")
    served = "localhost" if first == "*" else first
    call = http.client.HTTPConnection(address().split("//")[1], timeout=10)
    try:
        call.request(
            "GET", path, headers={"Host": "localhost" if served == "*" else served, **(headers or {})}
        )
        return call.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        call.close()


def watch(
    children: Mapping[str, subprocess.Popen[bytes]],
    stopping: threading.Event,
    *,
    is_up: Callable[[], bool],
    on_up: Callable[[], None],
    start_seconds: float = START_SECONDS,
) -> None:
    """Return when `stopping` is set; raise CannotStart when a child ends or the start takes too long."""
    up = False
    until = time.monotonic() + start_seconds
    while not stopping.is_set():
        for name, child in children.items():
            if (code := child.poll()) is not None:
                how = f"signal {-code}" if code < 0 else f"code {code}"
                raise CannotStart(f"the {name} ended by itself ({how}), so everything was stopped.", code=1)
        if not up and is_up():
            up = True
            on_up()
        if not up and time.monotonic() > until:
            raise CannotStart(f"the web server did not answer within {start_seconds:.0f} s.", code=1)
        stopping.wait(WATCH_SECONDS)


def greeting(*, demo: bool) -> str:
    """The address, and for a demo the people, a token and a line to try."""
    lines = ["", f"Valhalla is at {address()}", ""]
    lines += _demo_lines() if demo else []
    return "\n".join([*lines, "Ctrl-C stops it."])


def _demo_lines() -> list[str]:
    kept = Path(settings.VAR) / "demo-people.json"
    try:
        demo = json.loads(kept.read_text())
    except FileNotFoundError:
        return []
    # The file may be older than the database, or a password changed since: show only what opens the door.
    names = [person["username"] for person in demo["people"]]
    users = get_user_model()._default_manager.filter(username__in=names)
    known = {user.get_username(): user for user in users}
    lines = [f"  {'person':<14} {'role':<14} password"]
    for person in demo["people"]:
        name, password = person["username"], person["password"]
        if name in known:
            shown = password if known[name].check_password(password) else "(changed since)"
            lines.append(f"  {name:<14} {person['role']:<14} {shown}")
    path = "/api/governance/market/effective?province=ON&market=ALL"
    authorization = f"Authorization: Bearer {demo['token']}"
    if answers(path, {"Authorization": authorization.split(": ", 1)[1]}) == http.HTTPStatus.UNAUTHORIZED:
        return [*lines, "", "  The demo token has ended; manage.py issue_token makes another.", ""]
    return [
        *lines,
        "",
        f"  token          {demo['token']}",
        f"  try            curl -H '{authorization}' '{address()}{path}'",
        "",
    ]


def serve(say: Say, *, demo: bool) -> None:
    """Prepare and serve until Ctrl-C, SIGTERM or SIGHUP. Raises CannotStart with the exit code to use."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        prepare(say, demo=demo)
    except KeyboardInterrupt:
        say("Stopped before serving.")
        return

    stopping = threading.Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask_to_stop)

    def greet() -> None:
        say(greeting(demo=demo))
        connection.close()

    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for program in programs():
            children[program.name] = start(program)
        watch(
            children,
            stopping,
            is_up=lambda: answers("/livez") not in {0, *range(500, 600)},
            on_up=greet,
        )
        say("Stopping.")
    finally:
        clean = stop(list(children.values()))
    say("Stopped." if clean else f"Stopped; a process that did not end within {STOP_SECONDS} s was killed.")
