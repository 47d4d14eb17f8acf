"""Readiness checks of what spans packs: the demo's people, and the jobs' schedules."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_celery_beat.models import PeriodicTask

from governance.runbook.registry import Finding, Severity, check
from valhalla.demo.people import still_let_in
from valhalla.schedules import SCHEDULES


@check("no_demo_people", Severity.BLOCKER, gettext_lazy("Nobody of the demo can sign in"))
def no_demo_people(at: datetime) -> Finding | None:
    """The demo prints the passwords of its people and the token of its program."""
    names = still_let_in(at)
    if not names:
        return None
    return Finding(
        _(
            "These come from the demo, which prints their passwords and tokens: %(names)s. Begin in an empty "
            "database, or switch them off."
        )
        % {"names": ", ".join(names)},
        {"usernames": names},
    )


@check("jobs_scheduled", Severity.WARN, gettext_lazy("Every job is scheduled"))
def jobs_scheduled(at: datetime) -> Finding | None:
    wanted = [schedule.name for schedule in SCHEDULES]
    running = PeriodicTask.objects.filter(task__in=wanted, enabled=True).values_list("task", flat=True)
    off = sorted(set(wanted) - set(running))
    if not off:
        return None
    return Finding(_("These jobs are switched off: %(names)s.") % {"names": ", ".join(off)}, {"jobs": off})
