"""What test_migrating.py starts: many migrates at once, and migrates that kill themselves midway.

The migrates are processes of their own, forked after Django's start, which costs more than most of them. With
`stock` they run Django's own command instead of Valhalla's: the variant that fails.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial

import django
from django.core.management import BaseCommand, call_command
from django.core.management.commands import migrate
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder


def command(kind: str) -> BaseCommand | str:
    """Django's own command and executor for `stock`, else those that Valhalla puts in their place."""
    if kind != "stock":
        return "migrate"
    setattr(migrate, "MigrationExecutor", MigrationExecutor)  # noqa: B010  # the command has no other place for it
    return migrate.Command()


def forked(work: Callable[[], object]) -> int:
    """Do `work` in a child process; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except Exception as problem:
        sys.stderr.write(f"{type(problem).__name__}: {problem}\n")
    finally:
        sys.stderr.flush()
        os._exit(code)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def at_once(kind: str, count: int) -> list[int]:
    """Start so many migrates in the same instant; returns how each ended."""
    gate, opened = os.pipe()

    def work() -> None:
        os.close(opened)
        os.read(gate, 1)  # until the parent closes its end
        call_command(command(kind), verbosity=0)

    children = [forked(work) for _number in range(count)]
    os.close(opened)
    return [ended(child) for child in children]


def migrate_until_noting(kind: str, target: list[str], name: str) -> None:
    """Migrate to `target`, and be killed when the migration `name` is to be noted, or noted as taken back."""

    def noting(method: str) -> Callable[..., None]:
        note = getattr(MigrationRecorder, method)

        def note_unless_killed(self: MigrationRecorder, app: str, migration: str) -> None:
            if f"{app}.{migration}" == name:
                os.kill(os.getpid(), signal.SIGKILL)
            note(self, app, migration)

        return note_unless_killed

    for method in ("record_applied", "record_unapplied"):
        setattr(MigrationRecorder, method, noting(method))
    call_command(command(kind), *target, verbosity=0)


def killed(kind: str, target: list[str], migrations: list[str]) -> list[int]:
    """Migrate to `target` again and again, killed at each of these migrations, and at last to the end."""
    return [ended(forked(partial(migrate_until_noting, kind, target, name))) for name in [*migrations, ""]]


def in_order(migrations: list[str]) -> list[int]:
    """Migrate to each of these by itself, in this order."""
    return [
        ended(forked(partial(call_command, "migrate", *name.split("."), verbosity=0))) for name in migrations
    ]


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "valhalla.settings")
    django.setup()
    what, kind, *rest = sys.argv[1:]
    if what == "at_once":
        codes = at_once(kind, int(rest[0]))
    elif what == "killed":
        codes = killed(kind, [], rest)
    elif what == "killed_on_the_way_back":
        codes = killed(kind, [rest[0].partition(".")[0], "zero"], rest)
    else:
        codes = in_order(rest)
    sys.stdout.write(" ".join(map(str, codes)))
