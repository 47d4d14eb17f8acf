"""Amounts that the database adds up: whole cents, because SQLite would add decimals as floats."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    Base = models.DecimalField[Any, Any]
else:
    Base = models.DecimalField  # generic only in the stubs

CENT = Decimal("0.01")


class CentsField(Base):
    """CAD with two decimal places in Python, whole cents in the database, so that both databases add exactly.

    In an update wrap the amount: ``F("open_risk") + Value(amount, CentsField())``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 11)
        kwargs.setdefault("decimal_places", 2)
        super().__init__(*args, **kwargs)

    def get_internal_type(self) -> str:
        return "BigIntegerField"

    def from_db_value(self, value: Any, expression: object, connection: object) -> Decimal | None:
        return None if value is None else Decimal(int(value)).scaleb(-2)

    def get_db_prep_value(self, value: Any, connection: object, prepared: bool = False) -> object:
        if value is None or hasattr(value, "as_sql"):
            return value
        cents = Decimal(value).scaleb(2)
        if cents != int(cents):
            raise ValueError(f"{value} has fractions of a cent")
        return int(cents)
