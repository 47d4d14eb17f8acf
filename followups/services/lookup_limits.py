"""Limits on look-ups of people: answering calls needs few, copying the list needs many."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.utils.translation import gettext as _

from followups.models import InboundContact, LookupEvent
from followups.services.lookup_bursts import DOMAIN, NOTICED_METRIC, REFUSED_METRIC, WINDOW, bursts_at
from governance.accounts.querysets import managers
from governance.core import hooks
from governance.core.actors import Actor, Role
from governance.core.errors import Refused
from governance.kpi.figures import keep_figures
from governance.kpi.services import emit_kpi
from governance.outbox.services import post_message

NOTICED, MOST = 30, 120  # look-ups in ten minutes without an inbound contact: to notify; the maximum
EACH = 10  # look-ups above that: notify again, so that two at the same instant cannot skip it
OFFICE_FACTOR = 10  # of an address in OFFICE_ADDRESSES


class TooManyLookups(Refused):
    """Somebody reached the limit of look-ups in ten minutes; after `wait` seconds one more is allowed."""

    status = 429

    def __init__(self, most: int, wait: int, keep: Callable[[], None]) -> None:
        sentence = _(
            "You looked up %(most)d people in ten minutes without recording a call or message from them. "
            "Try again in %(seconds)d s, or ask a manager."
        )
        super().__init__("too_many_lookups", sentence % {"most": most, "seconds": wait}, keep=keep)
        self.wait = wait


def check_lookups(*, by: Actor, at: datetime, office: bool) -> None:
    """Count the coming look-up, and notify managers of the first one above 30 in ten minutes.

    Those that ended in a recorded inbound contact are not counted, one for each contact. Service clients have
    the limit of their token. Raises TooManyLookups above 120; ten times as many from an office.
    """
    if by.is_system or by.role == Role.SERVICE:
        return
    factor = OFFICE_FACTOR if office else 1
    since = at - WINDOW
    of_late = LookupEvent.objects.filter(actor=by.username, at__gt=since)
    looked = of_late.count()  # no more than the maximum and the contacts below
    if looked < NOTICED * factor:
        return
    ended_well = InboundContact.objects.filter(actor=by.username, at__gt=since).count()
    count = looked - min(ended_well, looked) + 1
    if count > MOST * factor:
        oldest = of_late.order_by("at").values_list("at", flat=True).first() or at
        wait = max(1, int((oldest + WINDOW - at).total_seconds()) + 1)
        raise TooManyLookups(MOST * factor, wait, lambda: _note_refusal(by, at, count))
    if count > NOTICED * factor and count % EACH == 1:
        _tell(by, at, count)


def _note_refusal(by: Actor, at: datetime, count: int) -> None:
    emit_kpi(DOMAIN, REFUSED_METRIC, by=by, at=at, success=False, detail={"count": count})
    hooks.security_event.ask(REFUSED_METRIC, by, {"count": count})


def _tell(by: Actor, at: datetime, count: int) -> None:
    emit_kpi(DOMAIN, NOTICED_METRIC, by=by, at=at, success=False, detail={"count": count})
    keep_figures({"lookup_bursts": len(bursts_at(at))}, at)  # the badge need not wait for the job
    hooks.security_event.ask(NOTICED_METRIC, by, {"count": count})
    body = _(
        "%(name)s looked up %(count)d people within ten minutes without recording a call or message from "
        "them. The access log in admin shows them. Ask what they were for."
    ) % {"name": by.username, "count": count}
    for manager in managers():
        if manager.email and manager.pk != by.user_id:
            post_message(
                "lookup_burst",
                manager.email,
                _("Many people were looked up"),
                body,
                once=f"lookups:{manager.pk}:{by.user_id}:{at:%Y-%m-%dT%H}",
                at=at,
            )
