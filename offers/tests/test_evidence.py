"""Evidence follows from its inputs to the cent, and an altered one is found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from governance.core.append_only import install, remove
from offers import rules
from offers.models import OfferEvidence
from offers.services import content_of, differences, replay
from offers.tests.factories import AT, compute, kept, switch_on

pytestmark = [pytest.mark.both, pytest.mark.django_db]

TABLE = OfferEvidence._meta.db_table


@contextmanager
def unguarded() -> Iterator[None]:
    connection.check_constraints()  # PostgreSQL alters no table that has checks to come
    remove(connection, TABLE)
    yield
    connection.check_constraints()
    install(connection, TABLE)


def tamper(pk: int, column: str, value: Any) -> None:
    """Change a column as somebody with the database in hand would."""
    with unguarded(), connection.cursor() as cursor:
        cursor.execute(f'UPDATE "{TABLE}" SET "{column}" = %s WHERE id = %s', [value, pk])


def verify() -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("verify_evidence", stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_replaying_gives_what_is_stored(chance: random.Random) -> None:
    for _round in range(30):
        switch_on(
            max_arv_multiplier=Decimal(chance.randint(5000, 9000)).scaleb(-4),
            default_assignment_fee=Decimal(chance.randint(0, 3_000_000)).scaleb(-2),
            default_fees_buffer=Decimal(chance.randint(0, 999_999)).scaleb(-2),
            offer_net_of_assignment_fee=chance.random() < 0.5,
            min_liquidity_score=None,
        )
        comps = rules.read_comps(
            [
                {
                    "price": chance.randint(30_000_000, 60_000_000) / 100,
                    "sqft": chance.randint(900, 2400),
                    "distance_miles": chance.randint(0, 800) / 1000,
                    "months_ago": chance.randint(0, 9),
                }
                for _comp in range(chance.randint(0, 8))
            ],
            today=AT.date(),
        )
        pk = kept(
            f"L-{chance.randint(1, 9)}",
            arv=Decimal(chance.randint(0, 99_999_999_999)).scaleb(-2),
            repairs=Decimal(chance.randint(0, 9_999_999_999)).scaleb(-2),
            comps=comps,
            assumptions={"subject_sqft": "1500"},
            at=AT + timedelta(microseconds=chance.randint(0, 10**9)),
        )
        stored = OfferEvidence.objects.get(pk=pk)
        for name, value in replay(stored).items():
            assert getattr(stored, name) == value, name
        assert differences(stored) == []
    assert verify() == (0, "30 offers verified, 0 differ\n")


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        ("mao", "262500.01", ["mao", "digest"]),
        ("recommended_offer", "1.00", ["recommended_offer", "digest"]),
        ("arv", "460000", ["mao", "recommended_offer", "comps_statistics", "digest"]),
        ("binding", "mao_floor", ["binding", "digest"]),
        ("comps_grade", "A", ["comps_grade", "digest"]),
        ("comps", "[]", ["comps_statistics", "comps_grade", "digest"]),
        ("comps", '[{"price": "cheap"}]', ["unreadable"]),
        ("policy_values", "{}", ["unreadable"]),
        ("digest", "0" * 64, ["digest"]),
    ],
)
def test_an_altered_figure_is_found(column: str, value: str, found: list[str]) -> None:
    switch_on()
    comps = rules.read_comps([{"price": 400_000}] * 3, today=AT.date())
    good, bad = kept(comps=comps), kept(comps=comps)
    tamper(bad, column, value)
    assert differences(OfferEvidence.objects.get(pk=bad)) == found
    code, text = verify()
    assert code == 1
    assert f"evidence {bad}: " in text
    assert f"evidence {good}: " not in text


def test_the_digest_covers_every_column_but_the_id() -> None:
    switch_on()
    kept("L-1")
    evidence = OfferEvidence.objects.get()
    evidence.heimdall = {"reason": "gate_pass"}  # without a verdict it has none to cover
    evidence.token_id = "0123456789abcdef"  # and without a token none
    covered = set(content_of(evidence))
    columns = {field.attname for field in OfferEvidence._meta.concrete_fields}
    assert columns - covered == {"id", "digest", "market_key"}  # market_key follows from market


@pytest.mark.parametrize(
    "column",
    ["lead_id", "recommendation_id", "actor", "acting_for", "correlation_id", "market", "property_type"],
)
def test_whose_offer_it_is_cannot_be_altered_unnoticed(column: str) -> None:
    switch_on()
    pk = kept("L-1")
    tamper(pk, column, "LAND")
    assert differences(OfferEvidence.objects.get(pk=pk)) == ["digest"]


@pytest.mark.parametrize("statement", ["UPDATE {} SET mao = 0", "DELETE FROM {}"])
def test_the_database_itself_keeps_evidence(statement: str) -> None:
    switch_on()
    kept()
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format(f'"{TABLE}"'))


def test_the_same_inputs_have_the_same_figures_and_another_digest_for_another_person() -> None:
    switch_on()
    first, second = compute("L-1").evidence, compute("L-2").evidence
    assert first is not None
    assert second is not None
    assert replay(first) == replay(second)
    assert first.digest != second.digest


def test_minus_zero_is_kept_as_zero() -> None:
    switch_on()
    pk = kept(repairs=Decimal("-0"))
    assert differences(OfferEvidence.objects.get(pk=pk)) == []
