"""URLs under /api/governance/risk/."""

from django.urls import path

from governance.risk.api.viewsets import RiskEventViewSet, RiskViewSet

urlpatterns = [
    path("policies", RiskViewSet.as_view({"get": "policies"}), name="risk-policies"),
    path("policies/upsert", RiskViewSet.as_view({"post": "upsert"}), name="risk-policy-upsert"),
    path("ledger/today", RiskViewSet.as_view({"get": "ledger"}), name="risk-ledger-today"),
    path("snapshot", RiskViewSet.as_view({"get": "snapshot"}), name="risk-snapshot"),
    path("check-and-reserve", RiskViewSet.as_view({"post": "reserve"}), name="risk-reserve"),
    path("settle", RiskViewSet.as_view({"post": "settle"}), name="risk-settle"),
    path("release", RiskViewSet.as_view({"post": "release"}), name="risk-release"),
    path("events", RiskEventViewSet.as_view({"get": "list"}), name="risk-events"),
    path("events/<int:pk>", RiskEventViewSet.as_view({"get": "retrieve"}), name="risk-event"),
]
