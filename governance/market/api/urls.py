"""URLs of the policies under /api/governance/market/."""

from django.urls import path

from governance.market.api.viewsets import MarketPolicyViewSet

urlpatterns = [
    path("policies", MarketPolicyViewSet.as_view({"get": "policies"}), name="market-policies"),
    path("policies/upsert", MarketPolicyViewSet.as_view({"post": "upsert"}), name="market-policy-upsert"),
    path("policies/cancel", MarketPolicyViewSet.as_view({"post": "cancel"}), name="market-policy-cancel"),
    path("simulate", MarketPolicyViewSet.as_view({"post": "simulate"}), name="market-policy-simulate"),
    path("effective", MarketPolicyViewSet.as_view({"get": "effective"}), name="market-effective"),
]
