"""How consent is obtained: stated by a manager, kept in every version."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from governance.actors import By
from governance.contact.models import STATEMENT_LENGTH, ConsentStatement
from governance.errors import Forbidden, Invalid
from governance.golive.services import Execution, verb
from governance.versions import revise

CONSENT = "governance.record_consent"


@verb(Execution.OBSERVE_ONLY)
def state_consent(
    channel: str, how: str, *, by: By, at: datetime, reason: str, expected_version: int | None = None
) -> ConsentStatement:
    """State how consent for a channel (SMS or EMAIL) is obtained; no change makes no version.

    Raises Forbidden without the right, Invalid without words or a reason, Refused `stale_version` when
    `expected_version` (0 for the first) is not the row's.
    """
    if not by.may(CONSENT):
        raise Forbidden("not_allowed", _("Only a manager states how consent is obtained."))
    if not reason.strip():
        raise Invalid({"change_reason": [_("Say why this changes.")]})
    if len(how.strip()) > STATEMENT_LENGTH or "\0" in how:
        most = _("At most %(most)s characters, without NUL.") % {"most": STATEMENT_LENGTH}
        raise Invalid({"how": [most]})

    def change(row: ConsentStatement) -> None:
        row.how = how.strip()

    row, _changed = revise(
        ConsentStatement.objects.filter(channel=channel),
        lambda: ConsentStatement(channel=channel),
        change, by=by, at=at, reason=reason.strip(), expected_version=expected_version,
    )  # fmt: skip
    return row


def unstated_channels() -> list[str]:
    """Return the channels for which nobody has said how consent is obtained."""
    stated = set(ConsentStatement.objects.values_list("channel", flat=True))
    return [channel for channel in ConsentStatement.Channel.values if channel not in stated]
