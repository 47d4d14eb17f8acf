"""What each role may do, said as a manager would say it: the table is in valhalla/roles.py."""

from __future__ import annotations

from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from governance.actors import Role

ROLE_SAYS = {
    Role.VA: _(
        "sees her own leads and those nobody owns, works their tasks, starts follow-ups, records inbound "
        "contacts and do-not-contact wishes, and notes what buyers answer."
    ),
    Role.CLOSER: _(
        "does what a virtual assistant does, sees every lead, buyer and figure, computes offers and records "
        "their outcomes, may override our own contact rules and may engage the kill switch."
    ),
    Role.MANAGER: _(
        "does all of that on everybody’s tasks, gives work to others, imports, and changes policies, "
        "switches, schedules, people and their tokens; the only one who erases a person’s data."
    ),
    Role.AUDITOR: _("sees everything, these screens too, and changes nothing."),
    Role.SERVICE: _(
        "is a program with a token: it reads leads, buyers, offers and figures, works tasks, records "
        "contacts and outcomes and computes offers; it changes policies only with the token scope “policy”, "
        "and never sees these screens."
    ),
}


def roles_in_words() -> SafeString:
    """Return a line for each role."""
    lines = ((capfirst(str(role.label)), ROLE_SAYS[role]) for role in Role)
    return format_html_join(SafeString("<br>"), "<strong>{}</strong> – {}", lines)
