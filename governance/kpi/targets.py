"""The service for targets."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core.actors import Actor
from governance.core.errors import Invalid, NotFound
from governance.core.verbs import needs_right
from governance.core.versions import revise
from governance.kpi.models import Target

EDIT = "governance.change_target"


@transaction.atomic
@needs_right(EDIT, refusal=gettext_lazy("Only a manager changes targets."))
def set_target(
    metric: str,
    *,
    comparison: str,
    value: Decimal,
    by: Actor,
    at: datetime,
    reason: str,
    expected_version: int | None = None,
) -> Target:
    """Change the target of a metric; a rate's `value` is a fraction. Without a change there is no version.

    Raises Forbidden without the permission, NotFound for an unknown metric, Invalid for an impossible value
    or without a reason, Refused `stale_version` when `expected_version` is not the row's.
    """
    if not reason.strip():
        raise Invalid({"change_reason": [_("Say why this changes.")]})

    def change(target: Target) -> None:
        target.comparison, target.value = comparison, value

    target, _changed = revise(
        Target.objects.filter(metric=metric),
        _unknown,
        change,
        by=by,
        at=at,
        reason=reason.strip(),
        expected_version=expected_version,
    )
    return target


def _unknown() -> Target:
    raise NotFound(_("No metric with this name has a target."))
