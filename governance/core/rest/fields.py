"""Serializer fields shared by REST inputs: places, numbers, instants, JSON."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import serializers

from governance.core.numbers import read_score
from governance.core.places import ALL, read_label, read_province
from governance.core.strict_json import read_json

MONEY_MAX = Decimal("999999999.99")


class ProvinceField(serializers.CharField):
    """One of the thirteen codes, in any case."""

    def to_internal_value(self, data: Any) -> str:
        try:
            return read_province(super().to_internal_value(data))
        except DjangoValidationError as wrong:
            raise serializers.ValidationError(wrong.messages, code="unknown_province") from wrong


class LabelField(serializers.CharField):
    """A label as places.read_label stores it."""

    def to_internal_value(self, data: Any) -> str:
        try:
            return read_label(super().to_internal_value(data))
        except DjangoValidationError as wrong:
            raise serializers.ValidationError(wrong.messages, code="invalid_label") from wrong


class MarketField(LabelField):
    """A market; blank or omitted means ALL."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("default", ALL)
        kwargs.setdefault("allow_blank", True)
        super().__init__(**kwargs)

    def to_internal_value(self, data: object) -> str:
        if isinstance(data, str) and not data.strip():
            return ALL
        return super().to_internal_value(data)


class NumberField(serializers.DecimalField):
    """A finite number in ASCII digits, with its bounds."""

    def to_internal_value(self, data: object) -> Decimal:
        return super().to_internal_value(_plain_number(data))


class MoneyField(NumberField):
    """CAD with at most two decimal places, 0 to 999,999,999.99."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=11, decimal_places=2, min_value=Decimal(0), max_value=MONEY_MAX, **kwargs)


class FractionField(serializers.Field[Any, Any, Any, Any]):
    """A rate, 0 to 1."""

    def to_internal_value(self, data: object) -> Decimal:
        try:
            return read_score(data.strip() if isinstance(data, str) else data)
        except ValueError:
            raise serializers.ValidationError(_("A number from 0 to 1 is needed.")) from None

    def to_representation(self, value: object) -> object:
        return value


def _plain_number(data: object) -> str:
    """Return a number as text with ASCII digits only; floats keep the digits of the JSON."""
    if isinstance(data, bool) or not isinstance(data, int | float | str | Decimal):
        raise serializers.ValidationError(_("A number is needed."))
    text = str(data).strip()
    if not text.isascii() or len(text) > 30:
        raise serializers.ValidationError(_("A number is needed."))
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise serializers.ValidationError(_("A number is needed.")) from None
    if not number.is_finite() or abs(number.adjusted()) > 30:
        raise serializers.ValidationError(_("A finite number is needed."))
    return format(number, "f")


EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def read_instant(text: object) -> datetime:
    """Return an ISO 8601 instant with its zone, 2000 to 2099. Raises ValueError for anything else."""
    if not isinstance(text, str) or not text.isascii() or not 10 <= len(text.strip()) <= 40:
        raise ValueError(text)
    at = datetime.fromisoformat(text.strip())
    if at.tzinfo is None or not 2000 <= at.year <= 2100:
        raise ValueError(text)
    at = at.astimezone(UTC)
    if not EARLIEST <= at < LATEST:
        raise ValueError(text)
    return at


INSTANT_SENTENCE = gettext_lazy(
    "A date and time with its zone is needed, from 2000 to 2099, such as 2026-12-15T04:45:00Z."
)


class InstantField(serializers.Field[Any, Any, Any, Any]):
    """An instant with its offset; without one it could mean any of nine hours."""

    def to_internal_value(self, data: object) -> datetime:
        try:
            return read_instant(data)
        except ValueError:
            raise serializers.ValidationError(INSTANT_SENTENCE) from None

    def to_representation(self, value: object) -> object:
        return value


class WholeNumberField(serializers.IntegerField):
    """A whole number in ASCII digits."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or (
            isinstance(data, str) and not re.fullmatch(r"\s*[0-9]{1,18}\s*", data, re.ASCII)
        ):
            self.fail("invalid")
        return super().to_internal_value(data)


class JSONObjectField(serializers.Field[Any, Any, Any, Any]):
    """A JSON value of one Python type, given as it is or as JSON text (form and query string)."""

    def __init__(self, kind: type = dict, **kwargs: Any) -> None:
        self.kind = kind
        super().__init__(**kwargs)

    def to_internal_value(self, data: object) -> object:
        if isinstance(data, str):
            try:
                data = read_json(data)
            except ValueError as wrong:
                raise serializers.ValidationError(str(wrong)) from None
        if not isinstance(data, self.kind):
            name = _("object") if self.kind is dict else _("list")
            raise serializers.ValidationError(_("A JSON %(kind)s is needed.") % {"kind": name})
        return data

    def to_representation(self, value: object) -> object:
        return value
