"""Sandbox trials, recommendations, and their one use in production."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from governance.actors import By
from governance.details import read_detail
from governance.errors import Forbidden, Invalid, Refused
from governance.golive.services import Execution, verb
from governance.heimdall import rules
from governance.heimdall.models import (
    SUBJECT_LENGTH,
    HeimdallEvent,
    HeimdallRecommendation,
    HeimdallScorecardDay,
)
from governance.heimdall.rules import Misuse
from governance.heimdall.services.judging import Verdict, gate, in_words, policy_of, read, tell

RUN = "governance.run_heimdall"
Kind = HeimdallEvent.Kind


@verb(Execution.SANDBOX_EXEC)
def record_trial(domain: str, *, success: bool, by: By, at: datetime) -> HeimdallScorecardDay:
    """Count a sandbox trial in its domain's scorecard of the day (UTC) and return that day.

    Raises Forbidden without the right, Invalid for a domain without a policy, Unavailable under the kill
    switch.
    """
    if not by.may(RUN):
        raise Forbidden("not_allowed", _("Your role does not allow recording sandbox trials."))
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
        except IntegrityError:  # another made the day's first trial at the same moment
            rows.update(**one_more)
    tell(policy.domain, Kind.TRIAL, by=by, at=at, success=success, policy_version=policy.version)
    counted: HeimdallScorecardDay = rows.get()
    return counted


@verb(Execution.OBSERVE_ONLY)
def recommend(
    domain: str,
    confidence: Decimal,
    *,
    by: By,
    at: datetime,
    subject: str = "",
    detail: Mapping[str, Any] | None = None,
) -> tuple[HeimdallRecommendation, Verdict]:
    """Keep a machine's recommendation and return it with the gate's verdict of now.

    Keeping it sets nothing in motion: the gate is asked again when it is used. Raises Forbidden without the
    right, Invalid for a domain without a policy, a confidence that is no fraction, a detail with free text.
    """
    if not by.may(RUN):
        raise Forbidden("not_allowed", _("Your role does not allow recording recommendations."))
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


def may_drive(recommendation_id: str, domain: str, at: datetime, *, subject: str = "") -> Verdict:
    """Say on which verdict a recommendation may drive production in `domain` for `subject` now.

    It may if it was made for that domain and for that subject (or for any), was not used before, and passes
    the gate of this moment. Changes nothing. Raises Refused `heimdall_refused`, with the reason and in words,
    where it may not.
    """
    return _judged(recommendation_id, domain, subject, at)[1]


def use_recommendation(
    recommendation_id: str, domain: str, *, by: By, at: datetime, subject: str = ""
) -> Verdict:
    """Let a recommendation drive production, once, and return the verdict on which it did.

    Call it inside the transaction of what it drives: both are done or neither. Raises what `may_drive`
    raises; the refusal is kept as an event.
    """
    try:
        found, verdict = _judged(recommendation_id, domain, subject, at)
        try:
            with transaction.atomic():
                tell(
                    domain, Kind.USED, by=by, at=at, recommendation=found, reason=verdict.reason,
                    policy_version=verdict.policy_version,
                )  # fmt: skip
        except IntegrityError:  # another used it at the same moment
            raise _used(found) from None
    except Refused as refusal:
        refusal.keep = partial(
            tell, domain, Kind.REFUSED, by=by, at=at,
            recommendation_id=refusal.extra["recommendation_id"], reason=refusal.extra["reason"],
        )  # fmt: skip
        raise
    return verdict


def _judged(
    recommendation_id: str, domain: str, subject: str, at: datetime
) -> tuple[HeimdallRecommendation, Verdict]:
    found = _find(recommendation_id)
    if found.domain != domain:
        told = _("This recommendation was made for something else: %(domain)s.") % {"domain": found.domain}
        raise _refusal(Misuse.OTHER_DOMAIN, told, found)
    if found.subject and found.subject != subject:
        told = _("This recommendation was made for %(subject)s and no other.") % {"subject": found.subject}
        raise _refusal(Misuse.OTHER_SUBJECT, told, found)
    if HeimdallEvent.objects.uses_of(found.pk).exists():
        raise _used(found)
    verdict = gate(domain, found.confidence, at)
    if not verdict.ok:
        told = in_words(verdict.reason, domain, verdict.asked, verdict.card, found.confidence)
        raise _refusal(verdict.reason, told, found)
    return found, verdict


def _find(recommendation_id: str) -> HeimdallRecommendation:
    text = recommendation_id.strip()
    if not text:
        raise _refusal(Misuse.MISSING, _("A recommendation is needed here: name its recommendation_id."))
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0
    found: HeimdallRecommendation | None = HeimdallRecommendation.objects.filter(pk=number).first()
    if found is None:
        raise _refusal(Misuse.UNKNOWN, _("There is no recommendation with this recommendation_id."))
    return found


def _used(found: HeimdallRecommendation) -> Refused:
    return _refusal(
        Misuse.USED,
        _("This recommendation was used before, and holds once. Ask for a new one."),
        found,
    )


def _refusal(reason: str, message: str, found: HeimdallRecommendation | None = None) -> Refused:
    extra = {"reason": str(reason), "recommendation_id": found.pk if found else None}
    return Refused("heimdall_refused", message, extra=extra)
