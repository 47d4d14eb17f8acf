"""The market policies' endpoints: shape in, one call, shape out."""

from __future__ import annotations

from dataclasses import asdict
from typing import ClassVar

from django.utils import timezone
from rest_framework.response import Response

from governance.doors import DoorViewSet
from governance.market.api.serializers import EffectiveQuestion, PoliciesQuestion, PolicyInput, as_policy
from governance.market.querysets import listed_policies
from governance.market.services import get_effective_policy, simulate_policy, upsert_policy
from governance.places import Place

VIA_API = "via API"


class MarketPolicyViewSet(DoorViewSet):
    """Which rules a market has, and changing them."""

    rights: ClassVar[dict[str, str]] = {
        "policies": "governance.view_operations",
        "effective": "governance.view_operations",
        "upsert": "governance.edit_policies",
        "simulate": "governance.edit_policies",
    }

    def policies(self, request: object) -> Response:
        asked, _by = self.read(PoliciesQuestion)
        rows = listed_policies(asked.get("province"), asked["market"], asked.get("enabled"))
        return Response([as_policy(policy) for policy in rows[: asked["limit"]]])

    def effective(self, request: object) -> Response:
        asked, _by = self.read(EffectiveQuestion)
        place = Place(asked["province"], asked["market"])
        policy = get_effective_policy(place)
        return Response(
            {
                "found": policy is not None,
                "province": place.province,
                "market": policy.market if policy else None,
                "requested_market": place.market,
                "enabled": policy.enabled if policy else None,
                "rules": policy.rules if policy else None,
                "policy_id": policy.pk if policy else None,
                "version": policy.version if policy else None,
            }
        )

    def upsert(self, request: object) -> Response:
        given, by = self.read(PolicyInput)
        policy = upsert_policy(
            Place(given["province"], given["market"]),
            by=by,
            at=timezone.now(),
            enabled=given.get("enabled"),
            rules=given.get("rules"),
            timezone=given.get("timezone"),
            reason=given.get("reason") or VIA_API,
            expected_version=given.get("expected_version"),
        )
        return Response(as_policy(policy))

    def simulate(self, request: object) -> Response:
        given, _by = self.read(PolicyInput)
        place = Place(given["province"], given["market"])
        moves = simulate_policy(
            place,
            at=timezone.now(),
            enabled=given.get("enabled"),
            rules=given.get("rules"),
            timezone=given.get("timezone"),
        )
        return Response({"ok": True, "province": place.province, "market": place.market, **asdict(moves)})
