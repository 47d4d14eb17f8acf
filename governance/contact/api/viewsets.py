"""The gate's endpoint and its stored decisions."""

from __future__ import annotations

from typing import ClassVar

from django.utils import timezone
from rest_framework.response import Response

from governance.contact.api.filters import DecisionFilter
from governance.contact.api.serializers import ContactQuestion, DecisionSerializer, as_answer, asked_of_gate
from governance.contact.models import ContactDecision
from governance.contact.services import can_contact
from governance.core.rest.viewsets import CollectionViewSet, Inputs, ServiceViewSet


class GateViewSet(ServiceViewSet):
    """May this person be contacted? A query; nothing is stored."""

    rights: ClassVar[dict[str, str]] = {"can_contact": "governance.view_operations"}
    inputs: ClassVar[Inputs] = {
        "can_contact": ContactQuestion,
    }
    questions: ClassVar[frozenset[str]] = frozenset({"can_contact"})

    def can_contact(self, request: object) -> Response:
        asked, _by = self.read()
        return Response(as_answer(can_contact(at=asked.get("at") or timezone.now(), **asked_of_gate(asked))))


class DecisionViewSet(CollectionViewSet):
    """The gate's decisions where somebody contacted a lead or was refused, newest first."""

    rights: ClassVar[dict[str, str]] = {
        "list": "governance.view_contactdecision",
        "retrieve": "governance.view_contactdecision",
    }
    queryset = ContactDecision.objects.order_by("-created_at", "-id")
    serializer_class = DecisionSerializer
    filterset_class = DecisionFilter
    ordering = ("-created_at", "-id")
    ordering_fields = ("id", "created_at")
