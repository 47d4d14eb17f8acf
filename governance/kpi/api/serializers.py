"""The serializer of KPI events."""

from __future__ import annotations

from rest_framework import serializers

from governance.kpi.models import KpiEvent


class KpiEventSerializer(serializers.ModelSerializer[KpiEvent]):
    """An event with its actor and call."""

    class Meta:
        model = KpiEvent
        fields = (
            "id",
            "domain",
            "metric",
            "success",
            "value",
            "detail",
            "actor",
            "acting_for",
            "correlation_id",
            "token_id",
            "created_at",
        )
