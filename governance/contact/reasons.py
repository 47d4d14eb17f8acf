"""The gate's reasons as sentences that a VA can act on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.contact.national_list import BUSINESS, EXPRESS, INQUIRY
from governance.core.moments import local

SENTENCES = {
    "policy_missing": gettext_lazy("No market policy covers this place; a manager must add one."),
    "policy_disabled": gettext_lazy("Contact is switched off in this market."),
    "channel_not_allowed": gettext_lazy("This channel is not allowed in this market."),
    "suppressed": gettext_lazy(
        "This person must not be contacted: they opted out or are on a do-not-call list."
    ),
    "consent_missing": gettext_lazy("No valid consent for this channel is on record."),
    "lead_score_below_minimum": gettext_lazy("The lead’s score is below the market’s minimum."),
    "dncl_stale": gettext_lazy(
        "The national do-not-call list of this number’s area code is more than 31 days old: a manager must "
        "import a newer one."
    ),
    "holiday": gettext_lazy("It is a holiday there."),
    "outside_statutory_hours": gettext_lazy("The law does not allow this channel at that hour there."),
    "outside_contact_window": gettext_lazy("It is outside our contact hours there."),
    "no_windows_defined": gettext_lazy("The market’s policy has no contact hours."),
    "too_soon": gettext_lazy(
        "This number or address has been contacted as often as our own policy allows for now."
    ),
    "no_contact_point": gettext_lazy("The lead has no usable number or address for this channel."),
    "within_window": gettext_lazy("Contact is allowed."),
    # used only by follow-ups, never by the gate
    "person_active": gettext_lazy(
        "Another lead with this number or address is being followed up; this one continues when that ends."
    ),
}

# why a call needs no list
EXEMPTIONS = {
    EXPRESS: gettext_lazy("express consent to calls at this number"),
    BUSINESS: gettext_lazy("business relationship in the last 18 months"),
    INQUIRY: gettext_lazy("inquiry in the last 6 months"),
}


def sentence(
    reason: str, *, zones: Sequence[str] = (), at: datetime | None = None, then: datetime | None = None
) -> str:
    """Return a reason as a sentence with the local time it was judged by and the next allowed one."""
    said = str(SENTENCES.get(reason, reason))
    if at is not None and zones:
        said += " " + _("It is %(time)s there (%(zone)s).") % {
            "time": f"{local(at, zones[0]):%H:%M}",
            "zone": zones[0],
        }
    if then is not None and zones:
        moment = local(then, zones[0])
        said += " " + _("Contact is allowed again on %(day)s at %(time)s there.") % {
            "day": date_format(moment, "l j F"),
            "time": f"{moment:%H:%M}",
        }
    return said
