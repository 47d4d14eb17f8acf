"""URLs under /api/governance/heimdall/."""

from django.urls import path

from governance.heimdall.api.viewsets import HeimdallViewSet

urlpatterns = [
    path("policies", HeimdallViewSet.as_view({"get": "policies"}), name="heimdall-policies"),
    path("policies/upsert", HeimdallViewSet.as_view({"post": "upsert"}), name="heimdall-policy-upsert"),
    path("scorecard", HeimdallViewSet.as_view({"get": "scorecard"}), name="heimdall-scorecard"),
    path("scorecard/today", HeimdallViewSet.as_view({"get": "today"}), name="heimdall-scorecard-today"),
    path("sandbox/trial", HeimdallViewSet.as_view({"post": "trial"}), name="heimdall-trial"),
    path("recommend", HeimdallViewSet.as_view({"post": "recommend"}), name="heimdall-recommend"),
    path("promote", HeimdallViewSet.as_view({"post": "promote"}), name="heimdall-promote"),
]
