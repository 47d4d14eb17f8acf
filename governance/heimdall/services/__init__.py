"""Services of Heimdall: policies, sandbox trials, recommendations, and the gate at the moment of use."""

from governance.heimdall.services.policies import POLICY_FIELDS, PROMOTE, promote, upsert_policy
from governance.heimdall.services.recommendations import (
    Judgement,
    judge_recommendation,
    mark_used,
    may_drive,
    recommend,
    record_trial,
    use_recommendation,
)
from governance.heimdall.services.verdicts import Verdict, gate, in_words, scorecard, shown_rate, window

__all__ = [
    "POLICY_FIELDS",
    "PROMOTE",
    "Judgement",
    "Verdict",
    "gate",
    "in_words",
    "judge_recommendation",
    "mark_used",
    "may_drive",
    "promote",
    "recommend",
    "record_trial",
    "scorecard",
    "shown_rate",
    "upsert_policy",
    "use_recommendation",
    "window",
]
