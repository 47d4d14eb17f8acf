"""The pack's URLs, mounted by valhalla under /api/deals/offers/."""

from django.urls import include, path

urlpatterns = [path("", include("offers.api.urls"))]
