"""URLs under /api/governance/regression/."""

from django.urls import path

from governance.tripwire.api.viewsets import RegressionViewSet

urlpatterns = [
    path("policies", RegressionViewSet.as_view({"get": "policies"}), name="regression-policies"),
    path("policies/upsert", RegressionViewSet.as_view({"post": "upsert"}), name="regression-policy-upsert"),
    path("state", RegressionViewSet.as_view({"get": "state"}), name="regression-state"),
    path("evaluate", RegressionViewSet.as_view({"post": "evaluate"}), name="regression-evaluate"),
    path("kpi", RegressionViewSet.as_view({"post": "kpi"}), name="regression-kpi"),
    path("release", RegressionViewSet.as_view({"post": "release"}), name="regression-release"),
]
