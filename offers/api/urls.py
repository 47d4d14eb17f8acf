"""URLs under /api/deals/offers/."""

from django.urls import path

from offers.api.viewsets import EvidenceViewSet, OfferViewSet

urlpatterns = [
    path("policies", OfferViewSet.as_view({"get": "policies"}), name="offer-policies"),
    path("policies/upsert", OfferViewSet.as_view({"post": "upsert"}), name="offer-policy-upsert"),
    path("compute", OfferViewSet.as_view({"post": "compute"}), name="offer-compute"),
    path("quote", OfferViewSet.as_view({"get": "quote"}), name="offer-quote"),
    path("<int:evidence_id>/outcome", OfferViewSet.as_view({"post": "outcome"}), name="offer-outcome"),
    path("evidence", EvidenceViewSet.as_view({"get": "list"}), name="offer-evidence-list"),
    path("evidence/<int:pk>", EvidenceViewSet.as_view({"get": "retrieve"}), name="offer-evidence"),
]
