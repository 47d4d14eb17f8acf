"""URLs under /api/governance/kpi/."""

from django.urls import path

from governance.kpi.api.viewsets import KpiEventViewSet

urlpatterns = [
    path("events", KpiEventViewSet.as_view({"get": "list"}), name="kpi-events"),
    path("events/<int:pk>", KpiEventViewSet.as_view({"get": "retrieve"}), name="kpi-event"),
]
