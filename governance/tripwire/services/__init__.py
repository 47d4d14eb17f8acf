"""Services of the tripwires: change a policy, evaluate, reset an alert, and record an external event."""

from governance.tripwire.services.evaluation import evaluate_tripwires
from governance.tripwire.services.events import record_kpi
from governance.tripwire.services.policies import POLICY_FIELDS, upsert_policy
from governance.tripwire.services.release import release_tripwire
from governance.tripwire.services.series import seen_by

__all__ = [
    "POLICY_FIELDS",
    "evaluate_tripwires",
    "record_kpi",
    "release_tripwire",
    "seen_by",
    "upsert_policy",
]
