"""Offer policies as a spreadsheet: a column for each value and switch."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from django.db import models

from governance.core.actors import Actor
from governance.core.admin.policies import (
    EMPTIED,
    TransfersPolicies,
    read_cells,
    read_number,
    read_yes,
    write_number,
    write_yes,
)
from governance.core.admin.transfer import Row
from governance.core.places import Place
from offers.models import OfferPolicy
from offers.services import POLICY_FIELDS, upsert_policy

_FIELDS: dict[str, Any] = {name: OfferPolicy._meta.get_field(name) for name in POLICY_FIELDS}


def _number_or_none(text: str) -> Decimal | None:
    return None if text in EMPTIED else read_number(text)


def _reader(field: Any) -> Any:
    if isinstance(field, models.BooleanField):
        return read_yes
    return _number_or_none if field.null else read_number


class TransfersOfferPolicies(TransfersPolicies):
    """Import and export for the offer policies' admin class."""

    policy_columns: ClassVar[Any] = tuple((name, field.verbose_name) for name, field in _FIELDS.items())

    def cells_of(self, policy: OfferPolicy) -> dict[str, str]:
        values = {name: getattr(policy, name) for name in POLICY_FIELDS}
        return {
            name: write_yes(value) if isinstance(value, bool) else write_number(value)
            for name, value in values.items()
        }

    def read(self, row: Row, place: Place) -> dict[str, Any]:
        return read_cells(row, {name: _reader(field) for name, field in _FIELDS.items()})

    def upsert(
        self, place: Place, changes: dict[str, Any], *, by: Actor, at: datetime, reason: str
    ) -> OfferPolicy:
        return upsert_policy(place, changes, by=by, at=at, reason=reason)
