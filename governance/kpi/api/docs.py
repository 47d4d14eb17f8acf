"""What the schema says about KPI events."""

from __future__ import annotations

from rest_framework import serializers

from governance.core.rest.describe import Doc, Tag

TAG = Tag(
    "KPI events", "What happened, counted by domain and metric. Every KPI is computed from these.", "Kpi"
)
REFUSALS: dict[str, tuple[int, str]] = {}
SHAPES = {"KpiEventSerializer.detail": serializers.DictField()}
DOCS = {
    "KpiEventViewSet.list": Doc("List KPI events", "Newest first. `value` is in the metric's own unit."),
    "KpiEventViewSet.retrieve": Doc("Get a KPI event"),
}
