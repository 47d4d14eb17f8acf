"""Pausing and resuming jobs; the history shows who, when and why."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from governance.core.actors import Actor
from governance.core.errors import Invalid, NotFound
from governance.core.verbs import needs_right
from governance.core.versions import revise
from governance.outbox.models import JobSwitch

MANAGE = "governance.manage_schedules"
NOT_MANAGING = gettext_lazy("Only a manager runs or pauses jobs.")
REASON_LENGTH = 500


@transaction.atomic
@needs_right(MANAGE, refusal=NOT_MANAGING)
def switch_job(task: str, *, paused: bool, by: Actor, at: datetime, reason: str) -> bool:
    """Pause or resume a job; return False if nothing changes. A run in progress is not interrupted.

    A missed run is made up once, at the next tick. Raises Forbidden without the permission, NotFound for an
    unknown job, Invalid without a reason.
    """
    if not 0 < len(reason.strip()) <= REASON_LENGTH:
        raise Invalid({"reason": [_("Say why this changes, in at most 500 characters.")]})
    rows = PeriodicTask.objects.filter(task=task)
    known = list(rows.select_for_update().order_by("pk").values_list("enabled", flat=True))
    if not known:
        raise NotFound(_("There is no job of that name."))
    if all(enabled is not paused for enabled in known):
        return False

    def change(row: JobSwitch) -> None:
        row.paused = paused

    switches = JobSwitch.objects.filter(task=task)
    revise(switches, lambda: JobSwitch(task=task), change, by=by, at=at, reason=reason.strip())
    rows.update(enabled=not paused)
    PeriodicTasks.update_changed()  # the scheduler does not notice `update`
    return True


def paused_jobs() -> list[str]:
    """Return the names of the paused jobs."""
    rows = PeriodicTask.objects.filter(enabled=False, one_off=False).order_by("task")
    return list(rows.values_list("task", flat=True).distinct()[:100])
