"""The hallway: the models of each room."""

from governance.contact.models import (
    CityZone,
    Closure,
    Consent,
    ConsentStatement,
    ContactDecision,
    DoNotCallImport,
    HashKeyCheck,
    StatutoryHours,
    Suppression,
)
from governance.golive.models import GoLiveState
from governance.heimdall.models import (
    HeimdallEvent,
    HeimdallPolicy,
    HeimdallRecommendation,
    HeimdallScorecardDay,
)
from governance.kpi.models import Figure, KpiEvent, Target
from governance.market.models import MarketPolicy
from governance.outbox.models import (
    Heartbeat,
    IdempotentAnswer,
    JobSlot,
    JobSwitch,
    OutboxMessage,
    SchedulerLease,
)
from governance.people.models import Absence, ApiToken, SignIn, User, WorkProfile
from governance.retention.models import Erasure, Removal, RetentionPeriod
from governance.risk.models import (
    RiskEngine,
    RiskEvent,
    RiskLedgerDay,
    RiskPolicy,
    RiskReservation,
    RiskThrottle,
)
from governance.runbook.models import Backup, Runbook
from governance.tripwire.models import RegressionFiring, RegressionPolicy, RegressionState

__all__ = [
    "Absence",
    "ApiToken",
    "Backup",
    "CityZone",
    "Closure",
    "Consent",
    "ConsentStatement",
    "ContactDecision",
    "DoNotCallImport",
    "Figure",
    "Erasure",
    "GoLiveState",
    "HashKeyCheck",
    "Heartbeat",
    "HeimdallEvent",
    "HeimdallPolicy",
    "HeimdallRecommendation",
    "HeimdallScorecardDay",
    "IdempotentAnswer",
    "JobSlot",
    "JobSwitch",
    "KpiEvent",
    "MarketPolicy",
    "OutboxMessage",
    "RegressionFiring",
    "RegressionPolicy",
    "RegressionState",
    "RiskEngine",
    "RiskEvent",
    "RiskLedgerDay",
    "RiskPolicy",
    "RiskReservation",
    "RiskThrottle",
    "Removal",
    "RetentionPeriod",
    "Runbook",
    "SchedulerLease",
    "SignIn",
    "StatutoryHours",
    "Suppression",
    "Target",
    "User",
    "WorkProfile",
]
