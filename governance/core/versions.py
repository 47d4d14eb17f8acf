"""Versioned rows: who changed them, when and why, without overwriting unseen changes."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from simple_history.models import HistoricalRecords

from governance.core.actors import ACTOR_LENGTH, CORRELATION_LENGTH, Actor
from governance.core.compiled import insert_rows, update_rows
from governance.core.errors import Invalid, Refused


class Versioned(models.Model):
    """A row that people change; each change is a version in its `history`, with its author and reason."""

    version = models.PositiveIntegerField(gettext_lazy("version"), default=1, editable=False)
    changed_by = models.CharField(gettext_lazy("changed by"), max_length=ACTOR_LENGTH, editable=False)
    reason = models.TextField(gettext_lazy("reason"), blank=True, default="")
    correlation_id = models.CharField(
        gettext_lazy("correlation id"), max_length=CORRELATION_LENGTH, default="", blank=True, editable=False
    )
    updated_at = models.DateTimeField(gettext_lazy("updated"), editable=False)

    history = HistoricalRecords(inherit=True)

    _change_reason: str  # read by simple_history, as is the date
    _history_date: datetime

    class Meta:
        abstract = True


BOOKKEEPING = frozenset({"version", "changed_by", "reason", "correlation_id", "updated_at"})
V = TypeVar("V", bound=Versioned)


def revise(
    rows: models.QuerySet[Any],
    fresh: Callable[[], V],
    change: Callable[[V], None],
    *,
    by: Actor,
    at: datetime,
    reason: str = "",
    expected_version: int | None = None,
    lock: Callable[[], V | None] | None = None,
) -> tuple[V, bool]:
    """Change the one row that `rows` finds, or a `fresh` one; return it and whether there is a new version.

    Call it inside a transaction: the row stays locked to its end, by `lock` if given, a compiled query for
    the same row. `change` sets the values; if nothing differs afterwards, no version is created. Raises
    Invalid for what the model's own validation refuses, Refused `stale_version` when `expected_version`
    (0: there is none yet) is not the row's, or when somebody else created the row at the same moment.
    """
    row: V | None = lock() if lock is not None else rows.select_for_update().first()
    current = row.version if row is not None else 0
    if expected_version is not None and expected_version != current:
        raise Refused(
            "stale_version",
            _(
                "This was changed in the meantime: it has version %(now)s, not %(expected)s. Read it "
                "again first."
            )
            % {"now": current, "expected": expected_version},
            extra={"version": current},
        )
    row = row or fresh()
    before = _values(row)
    change(row)
    checked(row)
    if current and _values(row) == before:
        return row, False
    row.version = current + 1
    row.changed_by, row.reason, row.updated_at = by.working_name, reason, at
    row.correlation_id = by.correlation_id
    row._change_reason, row._history_date = reason, at
    if current:
        _write(row)
        return row, True
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        if not rows.exists():
            raise
        raise Refused(
            "stale_version", _("Someone else created this at the same moment. Read it again first.")
        ) from None
    return row, True


def _write(row: Versioned) -> None:
    """Write a changed row and its version in the history, as `save` and simple_history would."""
    fields = [field for field in row._meta.concrete_fields if not field.primary_key]
    update_rows([row], [field.name for field in fields])
    user = getattr(getattr(HistoricalRecords.context, "request", None), "user", None)
    version = _history_of(type(row))(
        **{field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields},
        history_type="~",
        history_date=row._history_date,
        history_change_reason=row._change_reason,
        history_user=user if user is not None and user.is_authenticated else None,
    )
    insert_rows([version])


@functools.cache
def _history_of(model: type[Versioned]) -> Any:
    return model.history.model  # each look at `history` makes a manager's class


def checked(row: Versioned) -> None:
    """Normalize a row's values to their stored form. Raises Invalid for what the model refuses."""
    try:
        row.full_clean(exclude=BOOKKEEPING, validate_unique=False, validate_constraints=False)
    except ValidationError as wrong:
        raise Invalid(wrong.message_dict) from wrong


def _values(row: Versioned) -> dict[str, object]:
    """Return the values that people decide; copies, since JSON may be changed in place."""
    return {
        field.attname: copy.deepcopy(getattr(row, field.attname))
        for field in row._meta.concrete_fields
        if field.name not in BOOKKEEPING and not field.primary_key
    }


def restored(row: V, old: object) -> V:
    """Return the row with the values of an old version; unsaved, for the service that changes it."""
    fresh = copy.copy(row)
    for name, value in _values(row).items():
        setattr(fresh, name, copy.deepcopy(getattr(old, name, value)))
    return fresh
