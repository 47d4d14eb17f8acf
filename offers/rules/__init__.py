"""The sums of an offer, on plain values, so that a kept evidence can be computed again.

A change of any sum needs a new `RULES_VERSION`: old evidence says by which it was computed.
"""

from offers.rules.assumptions import read_assumptions
from offers.rules.comps import Comp, comps_statistics, read_comps
from offers.rules.formula import (
    FORMULA,
    MAO_FLOOR,
    MULTIPLIER_MAX,
    MULTIPLIER_MIN,
    OFFER_FLOOR,
    Calculation,
    Terms,
    calculate,
    max_allowable_offer,
)
from offers.rules.numbers import CENT, MONEY_MAX, digest, money_text, number_text, read_number
from offers.rules.outcomes import (
    ACCEPTED,
    ASSIGNED,
    CONTRACTED,
    FELL_THROUGH,
    LIVE_STATES,
    METRIC_OF_STAGE,
    OPEN,
    REJECTED,
    STAGES,
    SUPERSEDED,
    follows,
    is_coherent,
    latest_by_stage,
    lead_verdict,
    standing,
    state_of,
    verdicts,
)

RULES_VERSION = 1

__all__ = [
    "ACCEPTED",
    "ASSIGNED",
    "CENT",
    "CONTRACTED",
    "Calculation",
    "Comp",
    "FELL_THROUGH",
    "FORMULA",
    "LIVE_STATES",
    "MAO_FLOOR",
    "METRIC_OF_STAGE",
    "MONEY_MAX",
    "MULTIPLIER_MAX",
    "MULTIPLIER_MIN",
    "OFFER_FLOOR",
    "OPEN",
    "REJECTED",
    "RULES_VERSION",
    "STAGES",
    "SUPERSEDED",
    "Terms",
    "calculate",
    "comps_statistics",
    "digest",
    "follows",
    "is_coherent",
    "latest_by_stage",
    "lead_verdict",
    "max_allowable_offer",
    "money_text",
    "number_text",
    "read_assumptions",
    "read_comps",
    "read_number",
    "standing",
    "state_of",
    "verdicts",
]
