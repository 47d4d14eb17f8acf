"""Managers' statements: how consent is obtained, and where only exempt numbers are called."""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.contact.models import (
    STATEMENT_LENGTH,
    AreaCodeStatement,
    ConsentStatement,
    validate_area_code,
)
from governance.core.actors import Actor
from governance.core.channels import WRITTEN_CHOICES
from governance.core.errors import Invalid
from governance.core.reasons import require_explanation
from governance.core.verbs import Execution, verb
from governance.core.versions import revise

CONSENT, EXEMPT = "governance.record_consent", "governance.state_exempt_calls"


@verb(
    Execution.OBSERVE_ONLY,
    right=CONSENT,
    refusal=gettext_lazy("Only a manager states how consent is obtained."),
)
def state_consent(
    channel: str, how: str, *, by: Actor, at: datetime, reason: str, expected_version: int | None = None
) -> ConsentStatement:
    """State how consent for a written channel is obtained; without a change no version is created.

    Raises Forbidden without the permission, Invalid without a text or a reason, Refused `stale_version` when
    `expected_version` (0 for the first) is not the row's.
    """
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
        change,
        by=by,
        at=at,
        reason=reason.strip(),
        expected_version=expected_version,
    )
    return row


def unstated_channels() -> list[str]:
    """Return the channels without a statement on how consent is obtained."""
    stated = set(ConsentStatement.objects.values_list("channel", flat=True))
    return [channel for channel, _noun in WRITTEN_CHOICES if channel not in stated]


@verb(
    Execution.OBSERVE_ONLY,
    right=EXEMPT,
    refusal=gettext_lazy("Only a manager states which numbers are called."),
)
def state_exempt_calls(
    area_code: str,
    only_exempt: bool,
    *,
    by: Actor,
    at: datetime,
    reason: str,
    expected_version: int | None = None,
) -> AreaCodeStatement:
    """State that only exempt numbers of an area code are called; with False, that this no longer applies.

    Without a change no version is created. Raises Forbidden without the permission, Invalid for an invalid
    area code or a reason of fewer than 10 or more than 1,000 characters, Refused `stale_version` when
    `expected_version` (0 for the first) is not the row's.
    """
    why = require_explanation(reason, most=STATEMENT_LENGTH, field="change_reason")
    code = area_code.strip()
    try:
        validate_area_code(code)
    except ValidationError as wrong:
        raise Invalid({"area_code": wrong.messages}) from wrong

    def change(row: AreaCodeStatement) -> None:
        row.only_exempt = only_exempt

    row, _changed = revise(
        AreaCodeStatement.objects.filter(area_code=code),
        lambda: AreaCodeStatement(area_code=code),
        change,
        by=by,
        at=at,
        reason=why,
        expected_version=expected_version,
    )
    return row
