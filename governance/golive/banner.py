"""The switches' state for every page, in one query per request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _

from governance.core.request_values import RequestValue
from governance.golive.models import GoLiveState
from governance.golive.services import Standing, standing_at, state


@dataclass(frozen=True, slots=True)
class Banner:
    """The state of the switches for display.

    `kind` is killed, off, live or unbound (not enforced here); `label` is two words for the page header,
    `sentence` what it means for people at work; `who`, `when` and `why` are those of the last change.
    """

    kind: str
    label: str
    sentence: str = ""
    who: str = ""
    when: datetime | None = None
    why: str = ""

    @property
    def stops(self) -> bool:
        """Return whether anything is stopped: contacts, or everything that the kill switch stops."""
        return self.kind in (Standing.KILLED.value, Standing.OFF.value)

    @property
    def colour(self) -> str:
        """Return the label's colour, as unfold names it."""
        colours = {"killed": "danger", "off": "warning", "live": "success"}
        return colours.get(self.kind, "danger" if settings.PRODUCTION else "info")


def banner_at(now: GoLiveState) -> Banner:
    """Return the banner for this state of the switches."""
    standing = standing_at(now)
    if standing is Standing.NOT_ENFORCED:
        label, sentence = (
            _("Development"),
            _("Development mode: go-live and the kill switch are not enforced. Nothing is stopped."),
        )
        if settings.PRODUCTION:
            label = _("Not enforced")
            sentence = _("Go-live and the kill switch are not enforced here. Nothing is stopped.")
        if now.kill_switch_engaged:
            sentence += " " + _("The kill switch is engaged, without effect.")
        return Banner(standing.value, label, sentence)
    if standing is Standing.KILLED:
        sentence = _(
            "The kill switch is engaged: no contact, no offer. What already happened can be recorded."
        )
        return Banner(
            standing.value,
            _("Kill switch"),
            sentence,
            who=now.changed_by,
            when=now.updated_at,
            why=now.reason,
        )
    if standing is Standing.OFF:
        sentence = _("Go-live is off: nobody is contacted. What already happened can be recorded.")
        return Banner(standing.value, _("Go-live off"), sentence)
    return Banner(standing.value, _("Live"))


STATE: RequestValue[GoLiveState] = RequestValue("go_live_state")


def banner_of(request: HttpRequest) -> Banner | None:
    """Return the banner for this request's page; None if nobody is signed in."""
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    return banner_at(state_of(request))


def state_of(request: HttpRequest) -> GoLiveState:
    """Return the state of the switches for this request's page, queried once."""
    return STATE.once(request, state)


def environment(request: HttpRequest) -> list[str] | None:
    """Label the header of every admin page; called by unfold."""
    banner = banner_of(request)
    return [banner.label, banner.colour] if banner is not None else None
