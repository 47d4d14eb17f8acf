"""The order of an offer's outcomes, and how they count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from governance.kpi import names

ACCEPTED, REJECTED, CONTRACTED = "ACCEPTED", "REJECTED", "CONTRACTED"
ASSIGNED, FELL_THROUGH = "ASSIGNED", "FELL_THROUGH"
OPEN, SUPERSEDED = "OPEN", "SUPERSEDED"
# An offer is answered, contracted and ended: each happens once.
STAGES = {ACCEPTED: 1, REJECTED: 1, CONTRACTED: 2, ASSIGNED: 3, FELL_THROUGH: 3}
LIVE_STATES = (OPEN, ACCEPTED, CONTRACTED)
ACCEPT_RATE, CONTRACT_RATE = names.OFFER_ACCEPT_RATE.name, names.CONTRACT_RATE.name
METRIC_OF_STAGE = {1: ACCEPT_RATE, 2: CONTRACT_RATE, 3: CONTRACT_RATE}


class OutcomeRow(Protocol):
    """The fields of a recorded outcome."""

    evidence_id: int
    outcome: str
    stage: int
    voided: bool


Row = TypeVar("Row", bound=OutcomeRow)


def latest_by_stage(rows: Iterable[Row]) -> dict[int, Row]:
    """Return the last row of each stage, from rows in the order in which they were written."""
    return {row.stage: row for row in rows}


def standing(rows: Iterable[Row]) -> dict[int, str]:
    """Return the current outcome per stage: corrections replace, withdrawn ones do not count."""
    return {stage: row.outcome for stage, row in latest_by_stage(rows).items() if not row.voided}


def follows(outcome: str, held: Mapping[int, str]) -> bool:
    """Return whether `outcome` can come next: ACCEPTED or REJECTED, then CONTRACTED, then how it ended.

    CONTRACTED may come first, since it implies ACCEPTED.
    """
    stage = STAGES[outcome]
    if any(later in held for later in range(stage, 4)):
        return False
    if stage == 2:
        return held.get(1) != REJECTED
    return stage == 1 or 2 in held


def is_coherent(held: Mapping[int, str]) -> bool:
    """Return whether these are consistent: no contract without acceptance, no end without a contract."""
    if 3 in held and 2 not in held:
        return False
    return 2 not in held or held.get(1) == ACCEPTED


def state_of(held: Mapping[int, str]) -> str:
    """Return the state of an offer with these outcomes."""
    return held[max(held)] if held else OPEN


def verdicts(held: Mapping[int, str]) -> dict[str, bool | None]:
    """Return how an offer counts in each rate; None if it does not count (yet)."""
    signed = True if 2 in held else None
    return {
        ACCEPT_RATE: held[1] == ACCEPTED if 1 in held else None,
        CONTRACT_RATE: False if held.get(3) == FELL_THROUGH else signed,
    }


def lead_verdict(rows: Iterable[Row], metric: str) -> bool | None:
    """Return how a lead counts in a rate: by the newest offer that counts."""
    by_offer: dict[int, list[Row]] = {}
    for row in rows:
        by_offer.setdefault(row.evidence_id, []).append(row)
    said = (verdicts(standing(by_offer[offer]))[metric] for offer in sorted(by_offer, reverse=True))
    return next((verdict for verdict in said if verdict is not None), None)
