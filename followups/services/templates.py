"""The service of ladder templates: a change is a version with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from followups.models import LadderTemplate
from governance.core.actors import Actor
from governance.core.errors import Invalid
from governance.core.places import Place
from governance.core.verbs import Execution, verb
from governance.core.versions import revise
from governance.market.names import spelled

EDIT = "followups.edit_templates"


@dataclass(frozen=True, slots=True)
class Rest:
    """The plan after an unanswered ladder: days of rest, then the nurture steps; None is the default."""

    days: int | None = None
    steps: Sequence[Any] | None = None


@verb(Execution.OBSERVE_ONLY, right=EDIT)
def save_template(
    province: str,
    market: str,
    *,
    by: Actor,
    at: datetime,
    enabled: bool,
    steps: Sequence[object],
    reason: str,
    rest: Rest | None = None,
    expected_version: int | None = None,
) -> LadderTemplate:
    """Create or change a place's template (a blank province applies everywhere) and return it.

    Without `rest` that part keeps its values. Without a change there is no version; running ladders keep the
    steps that they started with. Raises Forbidden without the permission, Invalid without a reason or for
    invalid steps, Refused `stale_version` when `expected_version` (0 for a new one) is not the row's.
    """
    if not reason.strip():
        raise Invalid({"change_reason": [_("Say why the template changes.")]})

    def change(template: LadderTemplate) -> None:
        template.enabled, template.steps = enabled, steps
        if rest is not None:
            template.rest_days, template.nurture_steps = rest.days, rest.steps

    template, _changed = revise(
        LadderTemplate.objects.of(Place(province, market)),
        lambda: LadderTemplate(province=province, market=spelled(Place(province, market)).market),
        change,
        by=by,
        at=at,
        reason=reason.strip(),
        expected_version=expected_version,
    )
    return template
