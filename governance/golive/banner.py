"""What every page says of the switches, in one query a request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _

from governance.golive.models import GoLiveState
from governance.golive.services import state


@dataclass(frozen=True, slots=True)
class Banner:
    """The state of the switches in words.

    `kind` is killed, off, live or unbound (they are not obeyed here); `label` two words for the head of a
    page, `sentence` what it means for those at work; `who`, `when` and `why` tell the last turn.
    """

    kind: str
    label: str
    sentence: str = ""
    who: str = ""
    when: datetime | None = None
    why: str = ""

    @property
    def colour(self) -> str:
        """The colour of the label, in unfold's words."""
        colours = {"killed": "danger", "off": "warning", "live": "success"}
        return colours.get(self.kind, "danger" if settings.PRODUCTION else "info")


def banner_at(now: GoLiveState) -> Banner:
    """Return what a page says while the switches stand like this."""
    if not settings.GO_LIVE_ENFORCE:
        if settings.PRODUCTION:
            return Banner(
                "unbound", _("Not enforced"), _("The switches are not obeyed here: nothing is stopped.")
            )
        return Banner(
            "unbound", _("Development"), _("Development: the switches are not obeyed, nothing is stopped.")
        )
    if now.kill_switch_engaged:
        sentence = _(
            "The kill switch is engaged: no contact, no offer. What already happened can be recorded."
        )
        return Banner(
            "killed", _("Kill switch"), sentence, who=now.changed_by, when=now.updated_at, why=now.reason
        )
    if not now.go_live_enabled:
        sentence = _("Go-live is off: nobody is contacted. What already happened can be recorded.")
        return Banner("off", _("Go-live off"), sentence)
    return Banner("live", _("Live"))


def banner_of(request: HttpRequest) -> Banner | None:
    """Return what a page of this request says; None for whoever is not signed in."""
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    return banner_at(state_of(request))


def state_of(request: HttpRequest) -> GoLiveState:
    """Return the state of the switches as this request's page shows it, asked once."""
    if not hasattr(request, "go_live_state"):
        request.go_live_state = state()  # type: ignore[attr-defined]  # read here alone
    found: GoLiveState = request.go_live_state  # type: ignore[attr-defined]  # set above
    return found


def environment(request: HttpRequest) -> list[str] | None:
    """Label the head of every admin page; called by unfold."""
    banner = banner_of(request)
    return [banner.label, banner.colour] if banner is not None else None
