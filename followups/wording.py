"""Tasks, times and the gate's answers as text for the pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from urllib.parse import quote, urlencode

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from followups.models import FollowUpTask
from followups.rules import CALLBACK, HANDOVER, NOT_INTERESTED, NOT_NOW, SOLD_OR_LISTED
from governance.contact.clock import zone_name as zone_name
from governance.contact.reasons import SENTENCES, sentence
from governance.core.channels import CHANNELS, EMAIL
from governance.core.moments import local

NEXT = {
    HANDOVER: gettext_lazy("Hand off to a closer"),
    CALLBACK: gettext_lazy("Schedule a callback"),
    NOT_NOW: gettext_lazy("Not now: ask again at a later date"),
    NOT_INTERESTED: gettext_lazy("Not interested"),
    SOLD_OR_LISTED: gettext_lazy("Sold or listed already"),
}
HAND_OFF_NOW = gettext_lazy("Hand off: a closer calls within the hour")
HAND_OFF_ANYWAY = gettext_lazy("Hand off anyway: a closer calls once they are on shift")
OUTCOMES = {
    "SENT": gettext_lazy("Sent"),
    "NO_ANSWER": gettext_lazy("No answer"),
    "LEFT_MESSAGE": gettext_lazy("Left voicemail"),
    "REACHED": gettext_lazy("Spoke with them"),
    "REPLIED": gettext_lazy("Replied"),
    "WRONG_NUMBER": gettext_lazy("Wrong number or address"),
    "OPTED_OUT": gettext_lazy("Opted out: never contact again"),
}
# A day and hour make sense only with these; a person who opted out is not shown a next time.
OF_THE_CLOCK = frozenset(
    {"holiday", "outside_statutory_hours", "outside_contact_window", "no_windows_defined", "too_soon"}
)


NOTE_PART = 4000  # characters of a note; longer ones are shown as a continued note


def moment(at: datetime, zone: str) -> str:
    """Return an instant in the time zone, with its short name: “Tue 24 Nov, 10:05 EST”."""
    # Translators: letters of Django's filter "date"; French has months in small letters: D j b, H:i T
    return date_format(local(at, zone), _("D j M, H:i T"))


def clock(at: datetime, zone: str) -> str:
    """Return the local time in the zone: “10:05 EST”."""
    return date_format(local(at, zone), "H:i T")


def soon(at: datetime, zone: str, today: date) -> str:
    """Return a near instant for display: “today 17:30”, “tomorrow 9:00”, else its day and hour."""
    there = local(at, zone)
    hour = date_format(there, "H:i")
    if there.date() == today:
        return _("today %(hour)s") % {"hour": hour}
    if there.date() == today + timedelta(days=1):
        return _("tomorrow %(hour)s") % {"hour": hour}
    # Translators: letters of Django's filter "date"; French has months in small letters: D j b, H:i
    return date_format(there, _("D j M, H:i"))


def duration(minutes: int) -> str:
    """Return minutes for display: “35 min”, “3 h 20 min”, “2 days”."""
    if minutes < 60:
        return _("%(minutes)s min") % {"minutes": max(0, minutes)}
    if minutes < 24 * 60:
        return _("%(hours)s h %(minutes)s min") % {"hours": minutes // 60, "minutes": f"{minutes % 60:02d}"}
    days = minutes // (24 * 60)
    return ngettext("%(days)s day", "%(days)s days", days) % {"days": days}


def overdue(minutes: int) -> str:
    """Return how late a task is, in hours of allowed contact: 24 of them are two days or more, not one."""
    if minutes < 1:
        return _("just due")
    if minutes < 24 * 60:
        return _("%(time)s late") % {"time": duration(minutes)}
    return _("%(hours)s h late") % {"hours": minutes // 60}


def task_name(kind: str, step: int | None, steps: int | None) -> str:
    """Return a task's display name among the lead's tasks."""
    if kind == FollowUpTask.Kind.CALLBACK:
        return _("Scheduled callback")
    if kind == FollowUpTask.Kind.HANDOVER:
        return _("Handoff to a closer")
    if step is not None and steps:
        return _("Step %(step)s of %(steps)s") % {"step": step, "steps": steps}
    return _("Step %(step)s") % {"step": step or "?"}


def gate_sentence(reason: str, zone: str, then: datetime | None, at: datetime | None = None) -> str:
    """Return whether contact is allowed, or why not and when next."""
    if reason not in OF_THE_CLOCK:
        return sentence(reason)
    return sentence(reason, zones=(zone,), at=at, then=then)


def why_ended(reason: str) -> str:
    """Return why a ladder or task ended or is blocked: text for a code, else what a person wrote."""
    ended: Mapping[str, object] = {
        **OUTCOMES,
        **SENTENCES,
        "replaced": gettext_lazy("Another call was scheduled in its place"),
        "corrected": gettext_lazy("The outcome that created it was corrected"),
    }
    return str(ended.get(reason, reason))


def note_parts(note: str) -> list[str]:
    """Return a note in parts of at most 4,000 characters, split between words if there are any."""
    parts = []
    while len(note) > NOTE_PART:
        end = max(note.rfind(" ", 0, NOTE_PART), note.rfind("\n", 0, NOTE_PART)) + 1 or NOTE_PART
        parts.append(note[:end].rstrip())
        note = note[end:]
    return [*parts, note] if note else parts


def point_text(value: str) -> str:
    """Return a phone number in Canadian format; anything else as it is."""
    if len(value) == 12 and value.startswith("+1"):
        return f"({value[2:5]}) {value[5:8]}-{value[8:]}"
    return value


def point_link(channel: str, value: str, text: str = "") -> str:
    """Return the URL that opens the phone, messages or mail, with `text` in it if possible."""
    row = CHANNELS[channel]
    body = f"?{urlencode({'body': text}, quote_via=quote)}" if row.written and text else ""
    return f"{row.link}:{quote(value, safe='@' if row.kind == EMAIL else '+')}{body}"


def next_sentence(task: FollowUpTask | None) -> str:
    """Return a lead's next step and its time, in the lead's local time."""
    if task is None:
        return _("Nothing more is planned for this lead.")
    if task.due_at is None:
        return _("Next: %(what)s, blocked: %(why)s") % {
            "what": _what(task),
            "why": gate_sentence(task.held_reason, task.zone, None),
        }
    return _("Next: %(what)s, due %(when)s (%(zone)s).") % {
        "what": _what(task),
        "when": moment(task.due_at, task.zone),
        "zone": zone_name(task.zone),
    }


def _what(task: FollowUpTask) -> str:
    if task.kind == FollowUpTask.Kind.LADDER:
        return _("step %(step)s, %(channel)s") % {
            "step": task.step,
            "channel": str(CHANNELS[task.channel].name).lower(),
        }
    return task_name(task.kind, None, None)[:1].lower() + task_name(task.kind, None, None)[1:]
