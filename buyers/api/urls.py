"""URLs under /api/buyers/."""

from django.urls import path

from buyers.api.viewsets import BuyerViewSet, FeedbackEventViewSet, LiquidityViewSet

urlpatterns = [
    path("liquidity/nodes", LiquidityViewSet.as_view({"get": "nodes"}), name="liquidity-nodes"),
    path("liquidity/score", LiquidityViewSet.as_view({"get": "score"}), name="liquidity-score"),
    path("liquidity/feedback", LiquidityViewSet.as_view({"post": "feedback"}), name="liquidity-feedback"),
    path("feedback/bulk", LiquidityViewSet.as_view({"post": "feedback_many"}), name="feedback-bulk"),
    path("buyers", BuyerViewSet.as_view({"get": "list"}), name="buyers"),
    path("buyers/<int:pk>", BuyerViewSet.as_view({"get": "retrieve"}), name="buyer"),
    path("feedback-events", FeedbackEventViewSet.as_view({"get": "list"}), name="feedback-events"),
    path(
        "feedback-events/<int:pk>", FeedbackEventViewSet.as_view({"get": "retrieve"}), name="feedback-event"
    ),
]
