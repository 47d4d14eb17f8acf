"""Endpoints for reading the runbook."""

from __future__ import annotations

from typing import ClassVar

from django.http import HttpResponse
from django.utils import timezone
from rest_framework.response import Response

from governance.core.rest.viewsets import ServiceViewSet
from governance.runbook import services


class RunbookViewSet(ServiceViewSet):
    """The runbook's status: what still blocks go-live."""

    rights: ClassVar[dict[str, str]] = {
        "status": "governance.view_runbook",
        "markdown": "governance.view_runbook",
    }

    def status(self, request: object) -> Response:
        self.by()
        return Response(services.status(timezone.now()).as_json())

    def markdown(self, request: object) -> HttpResponse:
        self.by()
        text = services.markdown(services.status(timezone.now()))
        return HttpResponse(text, content_type="text/markdown; charset=utf-8")
