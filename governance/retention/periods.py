"""Retention periods: the rules of governance's own tables, and the service that changes a period."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core.actors import Actor
from governance.core.errors import Invalid, NotFound
from governance.core.seeding import SEED
from governance.core.verbs import Execution, verb
from governance.core.versions import revise
from governance.retention.models import RetentionPeriod
from governance.retention.registry import Rule

CHANGE = "governance.change_retentionperiod"
YEARS_2, YEARS_3, YEARS_5 = 731, 1096, 1827

RULES = (
    Rule(
        "contact_decisions", "governance.ContactDecision", "created_at", YEARS_3, YEARS_3,
        gettext_lazy("Contact decisions"),
        gettext_lazy(
            "the proof that a contact was lawful; the CRTC asks for three years of records, and proceedings "
            "under the anti-spam law may begin three years after an act became known"
        ),
    ),
    Rule(
        "kpi_events", "governance.KpiEvent", "created_at", YEARS_5, YEARS_2,
        gettext_lazy("KPI events"),
        gettext_lazy("rates, targets and tripwires are counted from them; they name no lead or buyer"),
    ),
    Rule(
        "risk_events", "governance.RiskEvent", "created_at", YEARS_5, YEARS_2,
        gettext_lazy("Risk events"),
        gettext_lazy("what was reserved, denied and lost, with the caps that decided it"),
    ),
    Rule(
        "risk_reservations", "governance.RiskReservation", "day", YEARS_5, YEARS_2,
        gettext_lazy("Risk reservations"),
        gettext_lazy("the ledger is recounted from them; each stays as long as an event refers to it"),
        only_if="t.state <> 'PENDING' AND NOT EXISTS "
        "(SELECT 1 FROM governance_riskevent AS e WHERE e.reservation_id = t.id)",
    ),
    Rule(
        "risk_ledger_days", "governance.RiskLedgerDay", "day", YEARS_5, YEARS_2,
        gettext_lazy("Risk ledger days"),
        gettext_lazy("what each engine used in a day; a day stays as long as a reservation of it"),
        only_if="NOT EXISTS (SELECT 1 FROM governance_riskreservation AS r "
        "WHERE r.day = t.day AND (r.engine = t.engine OR t.engine = 'GLOBAL'))",
    ),
    Rule(
        "messages_sent", "governance.OutboxMessage", "sent_at", 30, 7,
        gettext_lazy("Messages sent"),
        gettext_lazy("to see what was sent; the recipient and the text are personal information"),
    ),
    Rule(
        "messages_given_up", "governance.OutboxMessage", "dead_at", 90, 7,
        gettext_lazy("Messages that failed permanently"),
        gettext_lazy("to find out why they could not be sent"),
    ),
    Rule(
        "job_runs", "governance.JobSlot", "started_at", 14, 2,
        gettext_lazy("Job runs"),
        gettext_lazy("to see that jobs ran; a run is not repeated as long as its row is kept"),
    ),
    Rule(
        "tokens", "governance.ApiToken", "expiry", 90, 1,
        gettext_lazy("Tokens, after their end"),
        gettext_lazy("an expired token lets nobody in; its row says whose it was"),
    ),
    Rule(
        "sign_ins", "governance.SignIn", "ended_at", 30, 1,
        gettext_lazy("Sessions, after their end"),
        gettext_lazy("who was signed in, from where and with what; the address is personal information"),
    ),
    Rule(
        "role_changes", "governance.RoleChange", "changed_at", YEARS_5, YEARS_2,
        gettext_lazy("Role changes"),
        gettext_lazy("who could do what and when, and who decided it"),
    ),
    Rule(
        "account_changes", "governance.AccountChange", "at", YEARS_5, YEARS_2,
        gettext_lazy("Account changes"),
        gettext_lazy("who gave whom which role, password or token"),
    ),
    Rule(
        "admin_log", "admin.LogEntry", "action_time", YEARS_3, 366,
        gettext_lazy("Entries of the admin’s log"),
        gettext_lazy("who changed what in admin"),
    ),
)  # fmt: skip


@verb(
    Execution.OBSERVE_ONLY,
    right=CHANGE,
    refusal=gettext_lazy("Only a manager changes how long something is kept."),
)
def set_period(
    subject: str,
    days: int | None,
    *,
    by: Actor,
    at: datetime,
    reason: str,
    expected_version: int | None = None,
) -> RetentionPeriod:
    """Change how many days a subject's rows are kept, None for forever; create a version if it differs.

    Raises Forbidden without the permission, NotFound for an unknown subject, Invalid for a period below the
    minimum or without a reason, Refused `stale_version` when `expected_version` is not the row's.
    """
    if not reason.strip():
        raise Invalid({"change_reason": [_("Say why this changes.")]})
    rows = RetentionPeriod.objects.filter(subject=subject)
    if not rows.exists():
        raise NotFound(_("Nothing of that name has a retention period."))

    def change(period: RetentionPeriod) -> None:
        period.days = days

    period, _changed = revise(
        rows, RetentionPeriod, change, by=by, at=at, reason=reason.strip(), expected_version=expected_version
    )
    return period


def periods(rules: list[Rule], at: datetime) -> dict[str, int | None]:
    """Return the days that each subject is kept, None for forever; a new subject gets its default row."""
    known = dict(RetentionPeriod.objects.values_list("subject", "days"))
    for rule in rules:
        if rule.subject not in known:
            row = RetentionPeriod(subject=rule.subject, days=rule.days, changed_by=SEED, reason=SEED)
            row.updated_at = at
            RetentionPeriod.objects.bulk_create([row], ignore_conflicts=True)
            known[rule.subject] = rule.days
    return known
