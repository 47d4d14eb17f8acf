"""URLs under /api/governance/go-live/."""

from django.urls import path

from governance.golive.api.viewsets import GoLiveViewSet

urlpatterns = [
    path("state", GoLiveViewSet.as_view({"get": "state"}), name="go-live-state"),
    path("checklist", GoLiveViewSet.as_view({"get": "checklist"}), name="go-live-checklist"),
    path("enable", GoLiveViewSet.as_view({"post": "enable"}), name="go-live-enable"),
    path("disable", GoLiveViewSet.as_view({"post": "disable"}), name="go-live-disable"),
    path("kill-switch/engage", GoLiveViewSet.as_view({"post": "engage"}), name="kill-switch-engage"),
    path("kill-switch/release", GoLiveViewSet.as_view({"post": "release"}), name="kill-switch-release"),
]
