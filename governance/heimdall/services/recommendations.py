"""Sandbox trials, recommendations, and their single use in production."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core.actors import Actor
from governance.core.details import read_detail
from governance.core.errors import Invalid, Refused
from governance.core.verbs import Execution, verb
from governance.heimdall import rules
from governance.heimdall.models import (
    SUBJECT_LENGTH,
    HeimdallEvent,
    HeimdallRecommendation,
    HeimdallScorecardDay,
)
from governance.heimdall.querysets import with_use
from governance.heimdall.rules import Misuse, Reason, Recommended
from governance.heimdall.services.verdicts import Verdict, gate, in_words, policy_of, read, tell

RUN = "governance.run_heimdall"
Kind = HeimdallEvent.Kind


@verb(
    Execution.SANDBOX_EXEC,
    right=RUN,
    refusal=gettext_lazy("Your role does not allow recording sandbox trials."),
)
def record_trial(domain: str, *, success: bool, by: Actor, at: datetime) -> HeimdallScorecardDay:
    """Count a sandbox trial in its domain's scorecard of the day (UTC) and return that day.

    Raises Forbidden without the permission, Invalid for a domain without a policy, Unavailable under the kill
    switch.
    """
    policy = policy_of(domain)
    day = at.astimezone(UTC).date()
    rows = HeimdallScorecardDay.objects.filter(domain=policy.domain, day=day)
    one_more = {"trials": F("trials") + 1, "successes": F("successes") + int(success)}
    if not rows.update(**one_more):
        try:
            with transaction.atomic():
                HeimdallScorecardDay.objects.create(
                    domain=policy.domain, day=day, trials=1, successes=int(success)
                )
        except IntegrityError:  # another request created the day's row at the same moment
            rows.update(**one_more)
    tell(policy.domain, Kind.TRIAL, by=by, at=at, success=success, policy_version=policy.version)
    counted: HeimdallScorecardDay = rows.get()
    return counted


@verb(
    Execution.OBSERVE_ONLY,
    right=RUN,
    refusal=gettext_lazy("Your role does not allow recording recommendations."),
)
def recommend(
    domain: str,
    confidence: Decimal,
    *,
    by: Actor,
    at: datetime,
    subject: str = "",
    detail: Mapping[str, Any] | None = None,
) -> tuple[HeimdallRecommendation, Verdict]:
    """Store a machine's recommendation and return it with the gate's current verdict.

    Storing it triggers nothing: the gate is asked again when it is used. Raises Forbidden without the
    permission, Invalid for a domain without a policy, an invalid confidence, a detail with free text.
    """
    policy = policy_of(domain)
    if len(subject) > SUBJECT_LENGTH:
        raise Invalid({"subject": [_("At most %(length)s characters.") % {"length": SUBJECT_LENGTH}]})
    confidence = read("confidence", rules.read_confidence, confidence)
    kept = read("detail", read_detail, dict(detail) if detail is not None else None)
    verdict = gate(policy.domain, confidence, at)
    recommendation = HeimdallRecommendation.objects.create(
        domain=policy.domain,
        subject=subject,
        confidence=confidence,
        detail=kept,
        reason=verdict.reason,
        policy_version=policy.version,
        trials=verdict.card.trials,
        successes=verdict.card.successes,
        created_at=at,
        **by.written(),
    )
    return recommendation, verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judgement on a recommendation: `reason` is GATE_PASS or a refusal's.

    `recommendation` is None if there is none, `verdict` if the gate was not asked.
    """

    reason: Reason | Misuse
    domain: str
    recommendation: HeimdallRecommendation | None = None
    verdict: Verdict | None = None

    @property
    def ok(self) -> bool:
        return self.reason is Reason.GATE_PASS

    def refusal(self) -> Refused:
        """Return the refusal to raise if it may not."""
        found = self.recommendation
        extra = {"reason": str(self.reason), "recommendation_id": found.pk if found else None}
        return Refused("heimdall_refused", self._sentence(), extra=extra)

    def refusal_on_record(self, *, by: Actor, at: datetime) -> Refused:
        """Return the same with an event that is kept when the refused action is rolled back."""
        refusal = self.refusal()
        refusal.keep = partial(
            tell,
            self.domain,
            Kind.REFUSED,
            by=by,
            at=at,
            recommendation_id=refusal.extra["recommendation_id"],
            reason=refusal.extra["reason"],
        )
        return refusal

    def _sentence(self) -> str:
        found, verdict = self.recommendation, self.verdict
        if verdict is not None and isinstance(self.reason, Reason):
            return in_words(self.reason, self.domain, verdict.asked, verdict.card, verdict.confidence)
        sentences = {
            Misuse.MISSING: _("A recommendation is needed here: name its recommendation_id."),
            Misuse.UNKNOWN: _("There is no recommendation with this recommendation_id."),
            Misuse.OTHER_DOMAIN: _("This recommendation was made for something else: %(domain)s."),
            Misuse.OTHER_SUBJECT: _("This recommendation was made for %(subject)s and no other."),
            Misuse.USED: _(
                "This recommendation was used before, and each can be used once. Request a new one."
            ),
        }
        names = {"domain": found.domain, "subject": found.subject} if found else {}
        return sentences[Misuse(self.reason)] % names


def judge_recommendation(
    recommendation_id: str, domain: str, at: datetime, *, subject: str = ""
) -> Judgement:
    """Judge whether a recommendation may drive production in `domain` for `subject` now; change nothing.

    It may if it was made for that domain and for that subject (or for any), was not used before, and passes
    the gate at this moment.
    """
    text = recommendation_id.strip()
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0
    found = with_use(number).first() if text else None
    known = Recommended(found.domain, found.subject, found.is_used) if found else None
    misuse = rules.misuse(known, is_named=bool(text), domain=domain, subject=subject)
    if found is None or misuse:
        return Judgement(misuse or Misuse.UNKNOWN, domain, found)
    verdict = gate(domain, found.confidence, at)
    return Judgement(Reason(verdict.reason), domain, found, verdict)


def mark_used(judgement: Judgement, *, by: Actor, at: datetime) -> None:
    """Record that a recommendation drives production: the event of its single use.

    Call it inside the transaction of what it drives: both are done or neither. Raises Refused
    `heimdall_refused` if another request has used it since it was judged.
    """
    verdict, found = judgement.verdict, judgement.recommendation
    assert verdict is not None  # nothing is marked that the gate did not pass
    try:
        with transaction.atomic():
            tell(
                judgement.domain,
                Kind.USED,
                by=by,
                at=at,
                recommendation=found,
                reason=verdict.reason,
                policy_version=verdict.policy_version,
            )
    except IntegrityError:  # another request used it at the same moment
        raise replace(judgement, reason=Misuse.USED).refusal_on_record(by=by, at=at) from None


def may_drive(recommendation_id: str, domain: str, at: datetime, *, subject: str = "") -> Verdict:
    """Return the verdict that lets a recommendation drive production in `domain` for `subject` now.

    Changes nothing. Raises Refused `heimdall_refused`, with the reason and a sentence, if it may not.
    """
    judgement = judge_recommendation(recommendation_id, domain, at, subject=subject)
    if not judgement.ok or judgement.verdict is None:
        raise judgement.refusal()
    return judgement.verdict


def use_recommendation(
    recommendation_id: str, domain: str, *, by: Actor, at: datetime, subject: str = ""
) -> Verdict:
    """Use a recommendation to drive production, once, and return the verdict that allowed it.

    Call it inside the transaction of what it drives: both are done or neither. Raises what `may_drive`
    raises; the refusal is stored as an event.
    """
    judgement = judge_recommendation(recommendation_id, domain, at, subject=subject)
    if not judgement.ok or judgement.verdict is None:
        raise judgement.refusal_on_record(by=by, at=at)
    mark_used(judgement, by=by, at=at)
    return judgement.verdict
