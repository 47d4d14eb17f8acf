"""The recount finds every drift between the ledger and its reservations."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from governance.risk.models import RiskEngine, RiskLedgerDay
from governance.risk.services import recount, settle
from governance.tests.factories import NOW
from governance.tests.risking import ANYBODY, cad, cap, reserved

pytestmark = [pytest.mark.both, pytest.mark.django_db]


@pytest.fixture(autouse=True)
def _some_reservations() -> None:
    for engine in ("GLOBAL", "WHOLESALE", "CAPITAL"):
        cap(engine)
    reserved(100)
    settle(reserved(50, "CAPITAL"), cad(20), by=ANYBODY, at=NOW)
    reserved(25, at=NOW + timedelta(days=1))


def test_without_drift_it_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert recount() == []
    call_command("verify_risk")
    assert "The ledger equals its reservations." in capsys.readouterr().out


@pytest.mark.parametrize("engine", ["WHOLESALE", "GLOBAL", "CAPITAL"])
@pytest.mark.parametrize("figure", ["open_risk", "exposure", "realized_loss", "actions"])
def test_it_finds_every_figure_that_drifted_by_the_least(
    engine: str, figure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model: Any = RiskEngine if figure == "open_risk" else RiskLedgerDay
    row = model.objects.filter(engine=engine).latest("pk")
    before = getattr(row, figure)
    setattr(row, figure, before + (1 if figure == "actions" else cad("0.01")))
    row.save()
    (found,) = recount()
    assert (found.engine, found.figure, found.counted) == (engine, figure, before)
    with pytest.raises(CommandError):
        call_command("verify_risk")
    assert f"{engine}" in capsys.readouterr().out


def test_it_finds_a_day_that_is_missing() -> None:
    RiskLedgerDay.objects.filter(engine="CAPITAL").delete()
    assert {(found.engine, found.figure) for found in recount()} == {
        ("CAPITAL", "exposure"),
        ("CAPITAL", "realized_loss"),
        ("CAPITAL", "actions"),
    }
