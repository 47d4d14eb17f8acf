"""The collection of KPI events."""

from __future__ import annotations

from typing import ClassVar

from governance.core.rest.viewsets import CollectionViewSet
from governance.kpi.api.filters import KpiEventFilter
from governance.kpi.api.serializers import KpiEventSerializer
from governance.kpi.models import KpiEvent


class KpiEventViewSet(CollectionViewSet):
    """KPI events, newest first."""

    rights: ClassVar[dict[str, str]] = {
        "list": "governance.view_kpievent",
        "retrieve": "governance.view_kpievent",
    }
    queryset = KpiEvent.objects.order_by("-created_at", "-id")
    serializer_class = KpiEventSerializer
    filterset_class = KpiEventFilter
    ordering = ("-created_at", "-id")
    ordering_fields = ("id", "created_at")
