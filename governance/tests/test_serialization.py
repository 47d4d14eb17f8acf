"""JSON as the API writes it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from rest_framework import renderers

from governance.core.rest.serialization import JSONRenderer
from governance.tripwire.models import RegressionState

AT = datetime(2026, 11, 25, 15, 0, 7, tzinfo=UTC)
VALUES: list[Any] = [
    {"score": Decimal("2.50"), "mao": Decimal("412500.00"), "rate": Decimal("0E-6"), "none": None},
    {"local": AT.astimezone(ZoneInfo("America/Toronto")), "whole": Decimal("1.000000")},
    {"at": AT, "exact": AT.replace(microsecond=120_000), "day": date(2026, 11, 25)},
    {"lazy": gettext_lazy("Enabled"), "safe": mark_safe("<b>"), "choice": RegressionState.Verdict.CLEAR},
    [{"text": 'é "quoted"\n 🏠', "many": (1, 2), "number": 12345678901234567890, "true": True, "0": 0.1}],
]


@pytest.mark.parametrize("value", VALUES)
def test_it_is_the_json_that_the_encoder_of_python_would_write(value: object) -> None:
    renderer = JSONRenderer()
    plain = renderers.JSONRenderer.render(renderer, value)
    told = renderer.render(value)
    assert json.loads(told) == json.loads(plain)
    assert b".0" not in told


def test_it_is_compact_and_indented_only_for_callers_that_ask_for_it() -> None:
    value = {"at": AT, "amount": Decimal("1.50")}
    assert JSONRenderer().render(value) == b'{"at":"2026-11-25T15:00:07Z","amount":1.5}'
    indented = JSONRenderer().render(value, "application/json; indent=2")
    assert indented == b'{\n  "at": "2026-11-25T15:00:07Z",\n  "amount": 1.5\n}'


def test_an_answer_without_data_has_no_body() -> None:
    assert JSONRenderer().render(None) == b""
