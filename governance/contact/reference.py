"""Services for the gate's reference data: closures, legal hours and cities' time zones."""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from governance.contact.models import CANADA, CityZone, Closure, StatutoryHours
from governance.core import hooks
from governance.core.actors import Actor
from governance.core.errors import Invalid
from governance.core.verbs import Execution, require_right, verb

Reference = Closure | StatutoryHours | CityZone


def _where(row: Reference) -> str:
    """Return the province whose times a row affects; blank if it affects all of them."""
    if isinstance(row, StatutoryHours):
        return "" if row.jurisdiction == CANADA else row.jurisdiction
    return row.province


def _check(row: Reference, verb_name: str, by: Actor, reason: str) -> None:
    require_right(by, f"governance.{verb_name}_{row._meta.model_name}", _("Only a manager changes this."))
    if not reason.strip():
        raise Invalid({"change_reason": [_("Say why this changes.")]})


@verb(Execution.OBSERVE_ONLY)
def save_reference(row: Reference, *, by: Actor, at: datetime, reason: str) -> None:
    """Save a row with its reason in the history, and have due times there recomputed.

    Raises Forbidden without the permission, Invalid for invalid values or without a reason.
    """
    _check(row, "add" if row._state.adding else "change", by, reason)
    try:
        row.full_clean()
    except ValidationError as wrong:
        raise Invalid(wrong.message_dict) from wrong
    before = type(row)._default_manager.filter(pk=row.pk).first() if row.pk else None
    row._change_reason = reason.strip()
    row._history_date = at
    row.save()
    for place in sorted({_where(row), _where(before) if before is not None else _where(row)}):
        hooks.on_gate_changed.ask(place, by, at)


@verb(Execution.OBSERVE_ONLY)
def remove_reference(row: Reference, *, by: Actor, at: datetime, reason: str) -> None:
    """Delete a row; its history keeps it with the reason. Raises as `save_reference` does."""
    _check(row, "delete", by, reason)
    row._change_reason = reason.strip()
    row._history_date = at
    row.delete()
    hooks.on_gate_changed.ask(_where(row), by, at)
