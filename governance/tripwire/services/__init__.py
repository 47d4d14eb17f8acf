"""Verbs of the tripwires: change a policy, evaluate, release, and record an event from outside."""

from governance.tripwire.services.evaluating import evaluate_tripwires
from governance.tripwire.services.policies import POLICY_FIELDS, upsert_policy
from governance.tripwire.services.recording import record_kpi
from governance.tripwire.services.releasing import RELEASE, release_tripwire
from governance.tripwire.services.showing import seen_by

__all__ = [
    "POLICY_FIELDS",
    "RELEASE",
    "evaluate_tripwires",
    "record_kpi",
    "release_tripwire",
    "seen_by",
    "upsert_policy",
]
