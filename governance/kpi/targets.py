"""The verb of targets."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from governance.actors import By
from governance.errors import Forbidden, Invalid, NotFound, Refused
from governance.kpi.models import Target

EDIT = "governance.change_target"


@transaction.atomic
def set_target(
    metric: str,
    *,
    comparison: str,
    value: Decimal,
    by: By,
    at: datetime,
    reason: str,
    expected_version: int | None = None,
) -> Target:
    """Change what a figure should reach; a rate's `value` is a fraction. No change makes no version.

    Raises Forbidden without the right, NotFound for an unknown figure, Invalid for a value that cannot be or
    without a reason, Refused `stale_version` when `expected_version` is not the row's.
    """
    if not by.may(EDIT):
        raise Forbidden("not_allowed", _("Only a manager changes targets."))
    if not reason.strip():
        raise Invalid({"change_reason": [_("Say why this changes.")]})
    target = Target.objects.select_for_update().filter(metric=metric).first()
    if target is None:
        raise NotFound(_("No figure of that name has a target."))
    if expected_version is not None and expected_version != target.version:
        raise Refused(
            "stale_version",
            _("The target was changed meanwhile. Read it again first."),
            extra={"version": target.version},
        )
    if (target.comparison, target.value) == (comparison, value):
        return target
    target.comparison, target.value = comparison, value
    target.version += 1
    target.changed_by = by.acting_for or by.username
    target.reason = reason.strip()
    target.correlation_id = by.correlation_id
    target.updated_at = at
    try:
        target.full_clean()
    except ValidationError as wrong:
        raise Invalid(wrong.message_dict) from wrong
    target._change_reason = target.reason  # type: ignore[attr-defined]  # read by simple_history
    target._history_date = at  # type: ignore[attr-defined]  # read by simple_history
    target.save()
    return target
