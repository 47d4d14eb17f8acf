"""The market policies' endpoints: parse the input, call a service, serialize the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

from django.utils import timezone
from rest_framework.response import Response

from governance.core.places import Place
from governance.core.rest.viewsets import VIA_API, Inputs, ServiceViewSet
from governance.market.api.serializers import (
    CancelInput,
    EffectiveQuestion,
    PoliciesQuestion,
    PolicyInput,
    as_change,
    as_effective,
    as_policy,
)
from governance.market.models import MarketPolicy
from governance.market.querysets import listed_policies, scheduled_for, scheduled_of
from governance.market.reading import policy_in_force
from governance.market.services import (
    cancel_scheduled,
    get_effective_policy,
    schedule_change,
    simulate_policy,
    upsert_policy,
)


class MarketPolicyViewSet(ServiceViewSet):
    """Market policies: list, look up, change, schedule, simulate."""

    rights: ClassVar[dict[str, str]] = {
        "policies": "governance.view_operations",
        "effective": "governance.view_operations",
        "upsert": upsert_policy.right,
        "cancel": cancel_scheduled.right,
        "simulate": upsert_policy.right,
    }
    inputs: ClassVar[Inputs] = {
        "policies": PoliciesQuestion,
        "effective": EffectiveQuestion,
        "upsert": PolicyInput,
        "cancel": CancelInput,
        "simulate": PolicyInput,
    }
    tagged: ClassVar[frozenset[str]] = frozenset({"policies"})

    def policies(self, request: object) -> Response:
        asked, _by = self.read()
        policies = listed_policies(
            asked.get("province"), asked["market"], asked.get("enabled"), limit=asked["limit"]
        )
        scheduled = scheduled_of(policies)
        return Response([as_policy(policy, scheduled.get(policy.pk, ())) for policy in policies])

    def effective(self, request: object) -> Response:
        asked, _by = self.read()
        place = Place(asked["province"], asked["market"])
        policy, changes = policy_in_force(place, asked.get("at") or timezone.now())
        return Response(as_effective(place, policy, scheduled_for(place) if changes else ()))

    def upsert(self, request: object) -> Response:
        given, by = self.read()
        place = Place(given["province"], given["market"])
        start = given.get("effective_from")
        changes = {
            **_changes(given),
            "reason": given.get("reason") or VIA_API,
            "expected_version": given.get("expected_version"),
        }
        if start is None:
            policy: MarketPolicy | None = upsert_policy(place, by=by, at=timezone.now(), **changes)
        else:
            schedule_change(place, by=by, at=timezone.now(), effective_from=start, **changes)
            policy = get_effective_policy(place)
        if policy is None:  # the first policy of a province, not yet in effect
            scheduled = [as_change(change) for change in scheduled_for(place)]
            return Response(
                {
                    "id": None,
                    "province": place.province,
                    "market": place.market,
                    "version": 0,
                    "scheduled": scheduled,
                }
            )
        return Response(as_policy(policy, scheduled_of([policy]).get(policy.pk, ())))

    def cancel(self, request: object) -> Response:
        given, by = self.read()
        change = cancel_scheduled(given["id"], by=by, at=timezone.now(), reason=given["reason"])
        return Response(as_change(change))

    def simulate(self, request: object) -> Response:
        given, _by = self.read()
        place = Place(given["province"], given["market"])
        moves = simulate_policy(
            place, at=timezone.now(), effective_from=given.get("effective_from"), **_changes(given)
        )
        return Response({"ok": True, "province": place.province, "market": place.market, **asdict(moves)})


def _changes(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given.get(name) for name in ("enabled", "rules", "timezone")}
