"""Recording an event from another system."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core.actors import Actor
from governance.core.details import read_detail
from governance.core.errors import Invalid
from governance.core.verbs import Execution, verb
from governance.kpi.querysets import is_event_of
from governance.kpi.services import emit_kpi
from governance.tripwire.names import read_names

RECORD = "governance.record_kpi"


@verb(Execution.OBSERVE_ONLY, right=RECORD, refusal=gettext_lazy("Your role does not record events."))
def record_kpi(
    domain: str,
    metric: str,
    *,
    by: Actor,
    at: datetime,
    success: bool | None = None,
    value: Decimal | None = None,
    detail: Mapping[str, object] | None = None,
) -> int:
    """Record an event of a metric and return its id; `value` is in the metric's own unit.

    `detail` holds numbers and codes; its `corrects` is the id of an earlier event of the same metric that
    this one replaces. Raises Forbidden without the permission, Invalid naming the field.
    """
    domain, metric = read_names(domain, metric)
    try:
        kept = read_detail(dict(detail or {}))
    except ValidationError as wrong:
        raise Invalid({"detail": wrong.messages}) from wrong
    if "corrects" in kept and not is_event_of(kept["corrects"], domain, metric):
        raise Invalid({"detail": [_("“corrects” must be the id of an event of this metric.")]})
    return emit_kpi(domain, metric, by=by, at=at, success=success, value=value, detail=kept)
