"""The verb of ladder templates: a change is a version with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from followups.models import LadderTemplate
from followups.rules import read_steps
from followups.services.completing import require_right
from governance.actors import By
from governance.errors import Invalid, Refused
from governance.golive.services import Execution, verb
from governance.places import fold

EDIT = "followups.edit_templates"


@verb(Execution.OBSERVE_ONLY)
def save_template(
    province: str,
    market: str,
    *,
    by: By,
    at: datetime,
    enabled: bool,
    steps: Sequence[Any],
    reason: str,
    expected_version: int | None = None,
) -> LadderTemplate:
    """Create or change a place's template (a blank province holds for all) and return it.

    No change makes no version; running ladders keep the steps that they began with. Raises Forbidden without
    the right, Invalid without a reason or for steps that cannot be, Refused `stale_version` when
    `expected_version` (0 for a new one) is not the row's.
    """
    require_right(by, EDIT)
    if not reason.strip():
        raise Invalid({"change_reason": [_("Say why the template changes.")]})
    try:
        wanted = [step.as_json() for step in read_steps(steps)]
    except ValidationError as wrong:
        raise Invalid({"steps": wrong.messages}) from wrong
    rows = LadderTemplate.objects.select_for_update().filter(province=province, market_key=fold(market))
    template: LadderTemplate | None = rows.first()
    current = template.version if template is not None else 0
    if expected_version is not None and expected_version != current:
        raise Refused(
            "stale_version",
            _(
                "The template was changed meanwhile: it has version %(now)s, not %(expected)s. "
                "Read it again first."
            )
            % {"now": current, "expected": expected_version},
            extra={"version": current},
        )
    if template is None:
        template = LadderTemplate(province=province, market=market, version=0)
    elif (template.enabled, template.steps) == (enabled, wanted):
        return template
    template.enabled, template.steps = enabled, wanted
    template.version = current + 1
    template.changed_by, template.reason, template.updated_at = by.working_name, reason.strip(), at
    template._change_reason = reason.strip()  # type: ignore[attr-defined]  # read by simple_history
    template._history_date = at  # type: ignore[attr-defined]  # read by simple_history
    try:
        with transaction.atomic():
            template.save()
    except IntegrityError as taken:
        raise Refused(
            "stale_version", _("Someone else created this template at the same moment. Read it again first.")
        ) from taken
    return template
