"""URLs under /api/governance/runbook/."""

from django.urls import path

from governance.runbook.api.viewsets import RunbookViewSet

urlpatterns = [
    path("status", RunbookViewSet.as_view({"get": "status"}), name="runbook-status"),
    path("markdown", RunbookViewSet.as_view({"get": "markdown"}), name="runbook-markdown"),
]
