"""Heimdall's endpoints: parse the input, call a service, serialize the result."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from django.conf import settings
from django.utils import timezone
from rest_framework.response import Response

from governance.core.rest.viewsets import VIA_API, Inputs, ServiceViewSet
from governance.heimdall.api.serializers import (
    DomainQuestion,
    PolicyInput,
    PromoteInput,
    RecommendInput,
    TrialInput,
    as_card,
    as_policy,
    as_scorecard,
    as_verdict,
)
from governance.heimdall.models import HeimdallPolicy
from governance.heimdall.querysets import card_of
from governance.heimdall.rules import Scorecard
from governance.heimdall.services import (
    POLICY_FIELDS,
    PROMOTE,
    promote,
    recommend,
    record_trial,
    upsert_policy,
    window,
)

DOMAINS = 200


class HeimdallViewSet(ServiceViewSet):
    """Policies, scorecards, trials, recommendations and promotion of machines."""

    rights: ClassVar[dict[str, str]] = {
        "policies": "governance.view_operations",
        "upsert": upsert_policy.right,
        "scorecard": "governance.view_heimdall",
        "today": "governance.view_heimdall",
        "trial": record_trial.right,
        "recommend": recommend.right,
        "promote": PROMOTE,
    }
    inputs: ClassVar[Inputs] = {
        "policies": DomainQuestion,
        "scorecard": DomainQuestion,
        "today": DomainQuestion,
        "upsert": PolicyInput,
        "promote": PromoteInput,
        "trial": TrialInput,
        "recommend": RecommendInput,
    }
    tagged: ClassVar[frozenset[str]] = frozenset({"policies"})

    def policies(self, request: object) -> Response:
        return Response({"ok": True, "policies": [as_policy(policy) for policy in self._asked()]})

    def scorecard(self, request: object) -> Response:
        since, today = window(timezone.now())
        rows = [as_scorecard(policy, card_of(policy), since) for policy in self._asked(since, today)]
        return Response({"ok": True, "days": settings.HEIMDALL_TRIAL_DAYS, "scorecard": rows})

    def today(self, request: object) -> Response:
        _since, today = window(timezone.now())
        rows = [{"domain": policy.domain, **as_card(card_of(policy))} for policy in self._asked(today, today)]
        return Response({"ok": True, "day": today, "scorecard": rows})

    def _asked(self, since: date | None = None, until: date | None = None) -> list[HeimdallPolicy]:
        """Return the requested policies, by domain; with days, including their scorecards over these."""
        asked, _by = self.read()
        rows = HeimdallPolicy.objects.order_by("domain")
        if "domain" in asked:
            rows = rows.filter(domain=asked["domain"])
        if since and until:
            rows = rows.with_scorecard(since, until)
        return list(rows[:DOMAINS])

    def upsert(self, request: object) -> Response:
        given, by = self.read()
        policy = upsert_policy(
            given["domain"],
            {name: given[name] for name in POLICY_FIELDS if name in given},
            by=by,
            at=timezone.now(),
            reason=given.get("reason") or VIA_API,
            expected_version=given.get("expected_version"),
        )
        return Response({"ok": True, "policy": as_policy(policy)})

    def promote(self, request: object) -> Response:
        given, by = self.read()
        policy = promote(
            given["domain"],
            by=by,
            at=timezone.now(),
            reason=given.get("reason") or VIA_API,
            expected_version=given.get("expected_version"),
        )
        return Response({"ok": True, "policy": as_policy(policy)})

    def trial(self, request: object) -> Response:
        given, by = self.read()
        day = record_trial(given["domain"], success=given["success"], by=by, at=timezone.now())
        card = as_card(Scorecard(day.trials, day.successes))
        return Response({"ok": True, "domain": day.domain, "day": day.day, **card})

    def recommend(self, request: object) -> Response:
        given, by = self.read()
        recommendation, verdict = recommend(
            given["domain"],
            given["confidence"],
            subject=given["subject"],
            detail=given.get("detail"),
            by=by,
            at=timezone.now(),
        )
        return Response(as_verdict(verdict, recommendation.pk))
