"""The gate's URL (under /api/governance/market/) and those under /api/governance/contact/."""

from django.urls import path

from governance.contact.api.viewsets import DecisionViewSet, GateViewSet

gate_patterns = [
    path(
        "can-contact", GateViewSet.as_view({"get": "can_contact", "post": "can_contact"}), name="can-contact"
    ),
]
urlpatterns = [
    path("decisions", DecisionViewSet.as_view({"get": "list"}), name="contact-decisions"),
    path("decisions/<int:pk>", DecisionViewSet.as_view({"get": "retrieve"}), name="contact-decision"),
]
