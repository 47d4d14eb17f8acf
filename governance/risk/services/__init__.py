"""Verbs of the risk guard: change caps, hold an engine back and let it go."""

from governance.risk.services.policies import POLICY_FIELDS, upsert_policy
from governance.risk.services.throttles import release_throttle, throttle

__all__ = ["POLICY_FIELDS", "release_throttle", "throttle", "upsert_policy"]
