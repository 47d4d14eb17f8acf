"""Readiness checks that span packs: demo users, file permissions, database roles, disk and processes."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_celery_beat.models import PeriodicTask

from governance.runbook.registry import Finding, Severity, check
from valhalla import database_roles, disk
from valhalla.demo.people import still_let_in
from valhalla.private_files import open_to_others
from valhalla.schedules import SCHEDULES
from valhalla.supervision import processes_down


@check(
    "no_demo_people",
    Severity.BLOCKER,
    gettext_lazy("No demo account can sign in"),
    screen="admin:governance_user_changelist?is_active__exact=1",
)
def no_demo_people(at: datetime) -> Finding | None:
    """Check that no demo user can sign in: the demo prints their passwords and a program's token."""
    names = still_let_in(at)
    if not names:
        return None
    return Finding(
        _(
            "These come from the demo, which prints their passwords and tokens: %(names)s. Start "
            "with an empty database, or switch them off."
        )
        % {"names": ", ".join(names)},
        {"usernames": names},
    )


@check(
    "jobs_scheduled",
    Severity.WARN,
    gettext_lazy("Every job is scheduled"),
    screen="schedules",
)
def jobs_scheduled(at: datetime) -> Finding | None:
    wanted = [schedule.name for schedule in SCHEDULES]
    running = PeriodicTask.objects.filter(task__in=wanted, enabled=True).values_list("task", flat=True)
    off = sorted(set(wanted) - set(running))
    if not off:
        return None
    return Finding(_("These jobs are switched off: %(names)s.") % {"names": ", ".join(off)}, {"jobs": off})


@check("files_private", Severity.WARN, gettext_lazy("Other accounts of this machine cannot read its files"))
def files_private(at: datetime) -> Finding | None:
    """Check that only this account can read the database, mail, keys and backups."""
    found = [str(path) for path in open_to_others()]
    if not found:
        return None
    return Finding(
        _("Other accounts of this machine can read %(paths)s: remove their permissions (chmod go-rwx).")
        % {"paths": ", ".join(found[:5])},
        {"paths": found[:50]},
    )


@check("database_roles", Severity.WARN, gettext_lazy("The database protects evidence from the program too"))
def guarded_against_the_program(at: datetime) -> Finding | None:
    """Check that the application does not own the tables, since owners can switch their triggers off."""
    if not settings.PRODUCTION or connection.vendor != "postgresql":
        return None
    rights = database_roles.read_rights(connection)
    found = rights.too_much()
    if not found:
        return None
    return Finding(
        _(
            "The database role %(role)s could change evidence and switch its guards off (%(powers)s). Let "
            "another role own the tables: manage.py grants prints the SQL."
        )
        % {"role": rights.role, "powers": ", ".join(found[:3])},
        {"role": rights.role, "powers": found[:50]},
    )


@check("disk_has_room", Severity.WARN, gettext_lazy("There is enough disk space"))
def disk_has_room(at: datetime) -> Finding | None:
    """Check free disk space; the warning comes well before /readyz answers 503."""
    least, free = 5 * settings.MIN_FREE_DISK_MB, disk.free_megabytes()
    if free >= least:
        return None
    return Finding(
        _("Only %(free)s MB are free where Valhalla writes; below %(limit)s MB it is not ready.")
        % {"free": free, "limit": settings.MIN_FREE_DISK_MB},
        {"free_mb": free, "limit_mb": settings.MIN_FREE_DISK_MB},
    )


@check("processes_running", Severity.WARN, gettext_lazy("Every process of this machine is running"))
def processes_running(at: datetime) -> Finding | None:
    """Check that no job process is waiting to be restarted, since jobs are late meanwhile."""
    down = processes_down()
    if not down:
        return None
    names = ", ".join(f"{name} ({how})" for name, how in sorted(down.items()))
    return Finding(
        _("These processes ended by themselves and are started again: %(names)s. The log says why.")
        % {"names": names},
        {"processes": down},
    )
