"""Texts about roles, devices and shifts for people; the table of permissions is in valhalla/roles.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.timesince import timesince
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from governance.core.actors import Role
from governance.core.hours import DAYS, Window, hours_in_words

ROLE_SAYS = {
    Role.VA: _(
        "sees their own leads and unassigned ones, works their tasks, starts follow-ups, "
        "records inbound contacts and do-not-contact requests, and records buyers’ responses."
    ),
    Role.CLOSER: _(
        "does what a virtual assistant does, sees every lead, buyer and metric, computes "
        "offers and records their outcomes, may override our own contact rules and may "
        "engage the kill switch."
    ),
    Role.MANAGER: _(
        "does all of that on everybody’s tasks, reassigns work, imports, and changes "
        "policies, switches, schedules, people and their tokens; the only role that deletes "
        "personal information."
    ),
    Role.AUDITOR: _("sees everything, these screens too, and changes nothing."),
    Role.SERVICE: _(
        "is a program with a token: it reads leads, buyers, offers and metrics, works tasks, "
        "records contacts and outcomes and computes offers; it changes policies only with "
        "the token scope “policy”, and never sees these screens."
    ),
}


def roles_in_words() -> SafeString:
    """Return a line for each role."""
    lines = ((capfirst(str(role.label)), ROLE_SAYS[role]) for role in Role)
    return format_html_join(SafeString("<br>"), "<strong>{}</strong> – {}", lines)


def device_in_words(browser: str, system: str) -> str:
    """Return the device of a sign-in, such as “Firefox on Windows”."""
    known = {"browser": "" if browser == "Other" else browser, "system": "" if system == "Other" else system}
    if all(known.values()):
        return gettext("%(browser)s on %(system)s") % known
    return known["browser"] or known["system"] or gettext("an unknown device")


def week_in_words(shifts: Sequence[Window]) -> str:
    """Return weekly shifts as text, days with the same hours together; empty without shifts."""
    week = [
        tuple(sorted((window.start, window.end) for window in shifts if day in window.days)) for day in DAYS
    ]
    return hours_in_words(week)


def ago(at: datetime) -> str:
    """Return how long ago something was, in its largest unit."""
    if timezone.now() - at < timedelta(minutes=1):
        return gettext("less than a minute ago")
    return gettext("%(time)s ago") % {"time": timesince(at, depth=1)}
