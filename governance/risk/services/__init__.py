"""Services of the risk guard: change caps, reserve, end reservations, start and end throttles."""

from governance.risk.services.policies import POLICY_FIELDS, upsert_policy
from governance.risk.services.reservations import Reserved, as_caps, record_answer, reserve_exposure
from governance.risk.services.settlement import Ended, expire, release, release_stale, settle
from governance.risk.services.throttles import release_throttle, throttle
from governance.risk.services.usage import Difference, EngineUse, Snapshot, recount, snapshot

__all__ = [
    "POLICY_FIELDS",
    "Difference",
    "Ended",
    "EngineUse",
    "Reserved",
    "Snapshot",
    "as_caps",
    "expire",
    "record_answer",
    "recount",
    "release",
    "release_stale",
    "release_throttle",
    "reserve_exposure",
    "settle",
    "snapshot",
    "throttle",
    "upsert_policy",
]
