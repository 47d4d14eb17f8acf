"""Starts and stops Valhalla on one machine: the web server and the job process, together.

``serve`` prepares the database and the static files, starts both and lets them run until Ctrl-C or SIGTERM.
It checks for problems first, so that nothing is left half started.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
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

from governance.runbook import schema
from valhalla import database_roles
from valhalla.database_roles import NotTheOwner
from valhalla.keys import KeyProblem
from valhalla.migrating import NewerDatabase, one_at_a_time, refuse_a_newer_database
from valhalla.private_files import close_to_others
from valhalla.supervision import STOP_SECONDS, CannotStart, Program, Say, Supervisor


def host() -> str:
    """Return the address to listen on. Not HOST: some shells set that to the machine's name."""
    return os.environ.get("VALHALLA_HOST", "").strip() or "127.0.0.1"


def address() -> str:
    """Return the URL at which a browser on this machine finds Valhalla."""
    name = host()
    if name in {"0.0.0.0", "::"}:
        name = "127.0.0.1"
    return f"http://{_bracketed(name)}:{settings.PORT}"


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def check_port() -> None:
    """Refuse a port that another program uses, or that this account may not use."""
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
    """Refuse a broker that does not answer, if one is set."""
    if not settings.BROKER_CONFIGURED:
        return
    with Connection(settings.CELERY_BROKER_URL, connect_timeout=5) as broker:
        try:
            broker.ensure_connection(max_retries=1, interval_start=1, timeout=6)
        except Exception as problem:  # each transport has its own exceptions
            raise CannotStart(f"no broker answers at CELERY_BROKER_URL, {broker.as_uri()}.") from problem


def migrate(say: Say) -> None:
    """Migrate the database; print something only if there is something to do."""

    def waiting() -> None:
        say("Another process is preparing the database; waiting until it has ended.")

    with database_roles.as_owner(connection), one_at_a_time(connection, waiting):
        try:
            database_roles.require_owner(connection)
            refuse_a_newer_database()
        except (NewerDatabase, NotTheOwner) as problem:
            raise CannotStart(str(problem)) from None
        executor = MigrationExecutor(connection)
        steps = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
        if steps:
            say(f"Preparing the database ({steps} migrations).")
        try:
            call_command("migrate", interactive=False, verbosity=0)
        except KeyProblem as problem:
            raise CannotStart(str(problem)) from None
        for seed in ("sync_roles", "sync_schedules"):
            call_command(seed, verbosity=0)
    if settings.MIGRATE_DATABASE is not None and schema.waiting():
        raise CannotStart("MIGRATE_DATABASE_URL and DATABASE_URL lead to two databases.")


def collect_static(say: Say) -> None:
    """Collect and compress the static files, if one of them changed since the last time."""
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
    """Fill an empty database with demo data. Never in production: its users' passwords are printed."""
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


def prepare(say: Say, *, demo: bool, web: bool = True) -> None:
    """Do everything that has to happen before a process starts. Raises CannotStart or SystemCheckError."""
    if web:
        check_port()
    close_to_others()
    call_command("check", verbosity=0, stdout=_Silence(), stderr=_Silence())  # warnings come below, once
    check_database()
    check_broker()
    migrate(say)
    call_command("check", databases=["default"], verbosity=0, stdout=_Silence())
    if web:
        collect_static(say)
    if demo:
        fill_in_demo(say)
    connection.close()


class _Silence:
    """A stream that discards its output."""

    def write(self, text: str) -> None: ...


def programs(only: str = "") -> list[Program]:
    """Return the web server, and one beat that runs the jobs, or beat and a worker with a broker.

    `only` selects one of them: web, worker or scheduler. Raises CannotStart for a worker without a broker.
    """
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "valhalla"]
    beat = [*celery, "beat", "--loglevel", "WARNING"]
    found = {"web": web_server()}
    if settings.BROKER_CONFIGURED:
        # Celery warns about running a worker as root; in a developer's container that is noise.
        calm = (
            {}
            if settings.PRODUCTION
            else {"PYTHONWARNINGS": "ignore:You're running the worker with superuser"}
        )
        worker = [*celery, "worker", "--loglevel", "WARNING", "--concurrency", str(settings.JOB_PROCESSES)]
        found |= {
            "scheduler": Program("job scheduler", beat),
            "worker": Program("job worker", worker, calm),
        }
    else:
        found["scheduler"] = Program("job process", beat, {"VALHALLA_EMBEDDED_JOBS": "1"})
    if not only:
        return list(found.values())
    if only not in found:
        raise CannotStart("a worker needs a broker: set CELERY_BROKER_URL, or run --only scheduler.")
    return [found[only]]


def web_server() -> Program:
    return Program(
        "web server",
        [
            *(sys.executable, "-m", "gunicorn", "valhalla.wsgi:application"),
            *("--bind", f"{_bracketed(host())}:{settings.PORT}"),
            *("--worker-class", "valhalla.web_worker.Worker", "--workers", str(settings.WEB_PROCESSES)),
            *("--threads", str(settings.WEB_THREADS), "--timeout", str(settings.WEB_TIMEOUT)),
            *("--graceful-timeout", str(STOP_SECONDS - 2)),
            *("--log-level", "warning", "--logger-class", "valhalla.logs.ServerLog", "--no-control-socket"),
            *("--forwarded-allow-ips", ""),  # only TRUSTED_PROXIES decides whose headers are trusted
        ],
        restarts=False,
    )


def answers(path: str, headers: Mapping[str, str] | None = None) -> int:
    """Return the status of the web server's answer to a GET; 0 if it does not answer."""
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


def greeting(*, demo: bool) -> str:
    """Return the URL, and for a demo the users, a token and a call to try."""
    lines = ["", f"Valhalla is at {address()}", ""]
    lines += _demo_lines() if demo else []
    return "\n".join([*lines, "Ctrl-C stops it."])


def _demo_lines() -> list[str]:
    kept = Path(settings.VAR) / "demo-people.json"
    try:
        demo = json.loads(kept.read_text())
    except FileNotFoundError:
        return []
    # The file may be older than the database, or a password changed since: show only what still works.
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


def serve(say: Say, *, demo: bool, only: str = "") -> None:
    """Prepare and serve until Ctrl-C, SIGTERM or SIGHUP. Raises CannotStart with the exit code to use."""

    stopping = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        stopping.set()  # Python drops an exception that is raised in a destructor or a callback
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    with contextlib.suppress(KeyboardInterrupt):
        chosen = programs(only)
        prepare(say, demo=demo, web=only in ("", "web"))
    if stopping.is_set():
        say("Stopped before serving.")
        return

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask_to_stop)

    def greet() -> None:
        say(greeting(demo=demo) if only in ("", "web") else f"The {chosen[0].name} runs. Ctrl-C stops it.")
        connection.close()

    def is_up() -> bool:
        return only not in ("", "web") or answers("/livez") not in {0, *range(500, 600)}

    supervisor = Supervisor(chosen, say, only or "all")
    try:
        supervisor.watch(stopping, is_up=is_up, on_up=greet)
        say("Stopping.")
    finally:
        clean = supervisor.stop()
    say("Stopped." if clean else f"Stopped; a process that did not end within {STOP_SECONDS} s was killed.")
