"""Services of offers: change a policy, compute an offer, record and correct outcomes, verify evidence."""

from offers.services.computation import Computed, compute_offer
from offers.services.evidence import content_of, details_of, differences, replay
from offers.services.figures import board_figures, standing_offer
from offers.services.outcomes import Figures, Recorded, correct_outcome, record_outcome
from offers.services.policies import POLICY_FIELDS, get_effective_policy, upsert_policy

__all__ = [
    "POLICY_FIELDS",
    "Computed",
    "Figures",
    "Recorded",
    "compute_offer",
    "content_of",
    "correct_outcome",
    "details_of",
    "differences",
    "board_figures",
    "get_effective_policy",
    "record_outcome",
    "replay",
    "standing_offer",
    "upsert_policy",
]
