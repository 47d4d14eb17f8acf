"""What clients may add to rows that are written once."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from governance.core.details import read_detail

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "detail",
    [{}, {"price": 450000}, {"discount": 0.07, "cash": True}, {"source": "dialer", "list_2": "ON.A/7"}, None],
)
def test_detail_holds_numbers_answers_and_codes(detail: dict[str, object] | None) -> None:
    assert read_detail(detail) == (detail or {})


@pytest.mark.parametrize(
    "detail",
    [
        {"note": "she said she would call back"},
        {"mail": "jane@example.com"},
        {"phone": 5145550123},
        {"phone": "514-555-0123"},
        {"phone": "+15145550123"},
        {"rate": float("nan")},
        {"rate": float("inf")},
        {"huge": 10**400},
        {"none": None},
        {"list": [1]},
        {"deep": {"a": 1}},
        {"Name with spaces": 1},
        {"k" * 41: 1},
        {"\ud800": 1},
        {"code": "c" * 41},
        {"code": ""},
        {f"k{n}": n for n in range(21)},
        [1],
        "text",
    ],
)
def test_detail_refuses_free_text_and_whatever_a_person_could_be_known_by(detail: object) -> None:
    with pytest.raises(ValidationError):
        read_detail(detail)
