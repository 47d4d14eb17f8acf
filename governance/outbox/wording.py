"""Job schedules and the counts of runs as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.schedules import ParseException
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

DEFAULT_ZONE = "America/Toronto"  # of the daily jobs

# What a run counted, or the job that counts one thing only -> the phrase for the count.
COUNTED: dict[str, Callable[[int], str]] = {
    "unopened_reported": lambda n: ngettext(
        "%(n)s unopened handoff reported", "%(n)s unopened handoffs reported", n
    ),
    "claims_freed": lambda n: ngettext("%(n)s claim freed", "%(n)s claims freed", n),
    "held_looked_at": lambda n: ngettext("%(n)s blocked task checked", "%(n)s blocked tasks checked", n),
    "realigned": lambda n: ngettext("%(n)s task rescheduled", "%(n)s tasks rescheduled", n),
    "messages_sent": lambda n: ngettext("%(n)s message sent", "%(n)s messages sent", n),
    "answers": lambda n: ngettext("%(n)s stored answer deleted", "%(n)s stored answers deleted", n),
    "evaluated": lambda n: ngettext("%(n)s metric checked", "%(n)s metrics checked", n),
    "triggered": lambda n: ngettext("%(n)s tripwire fired", "%(n)s tripwires fired", n),
    "nodes": lambda n: ngettext("%(n)s market recounted", "%(n)s markets recounted", n),
    "fell_out": lambda n: ngettext("%(n)s inactive buyer removed", "%(n)s inactive buyers removed", n),
    "repaired": lambda n: ngettext("%(n)s count repaired", "%(n)s counts repaired", n),
    "governance.release_stale_reservations": lambda n: ngettext(
        "%(n)s reservation released", "%(n)s reservations released", n
    ),
    "governance.apply_scheduled": lambda n: ngettext(
        "%(n)s scheduled policy change in force", "%(n)s scheduled policy changes in force", n
    ),
    "valhalla.take_figures": lambda n: ngettext(
        "%(n)s board metric counted", "%(n)s board metrics counted", n
    ),
    "followups.escalate_overdue": lambda n: ngettext(
        "%(n)s overdue task reported", "%(n)s overdue tasks reported", n
    ),
    "followups.realign_due": lambda n: ngettext("%(n)s task rescheduled", "%(n)s tasks rescheduled", n),
    "followups.snapshot_sla": lambda n: ngettext("%(n)s SLA metric stored", "%(n)s SLA metrics stored", n),
}


def told_result(task: str, result: object) -> str:
    """Return the counts of a run as text, without zeros."""
    counts = result if isinstance(result, dict) else {task: result}
    told = [
        _told(name, count)
        for name, count in counts.items()
        if isinstance(count, int) and not isinstance(count, bool) and count
    ]
    return ", ".join(told) or _("nothing to do")


def _told(name: str, count: int) -> str:
    figure = {"n": number_format(count, force_grouping=True), "name": name}
    if name in COUNTED:
        return COUNTED[name](count) % figure
    return ngettext("%(n)s row of %(name)s removed", "%(n)s rows of %(name)s removed", count) % figure


def schedule_in_words(interval: Any, crontab: object) -> str:
    """Return when a job runs by one of django-celery-beat's schedules."""
    if interval is not None:
        if interval.period == "minutes":
            if interval.every == 1:
                return _("every minute")
            return _("every %(count)s minutes") % {"count": interval.every}
        return _("every %(count)s %(period)s") % {
            "count": interval.every,
            "period": interval.get_period_display().lower(),
        }
    return "–" if crontab is None else clock_in_words(crontab)


def clock_in_words(times: Any) -> str:
    """Return times of day as text."""
    zone = str(times.timezone)
    place = _("Toronto") if zone == DEFAULT_ZONE else zone
    hours = str(times.hour).split("-")
    daily = (times.day_of_week, times.day_of_month, times.month_of_year) == ("*", "*", "*")
    if daily and times.minute.isdecimal() and all(hour.isdecimal() for hour in hours) and len(hours) < 3:
        clocks = [f"{int(hour)}:{int(times.minute):02d}" for hour in hours]
        said = _("daily at %(time)s, %(place)s time") % {"time": clocks[0], "place": place}
        if len(clocks) == 1:
            return said
        return _("%(daily)s; after a failure, retried each hour until %(end)s") % {
            "daily": said,
            "end": clocks[1],
        }
    if daily and times.hour == times.minute == "*":
        return _("every minute")
    try:
        return str(times.human_readable)  # names the zone as well
    except ParseException:  # invalid values, which the form shows again
        return "–"
