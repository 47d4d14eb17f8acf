"""The pack's URLs, mounted by valhalla under /api/buyers/."""

from django.urls import include, path

urlpatterns = [path("", include("buyers.api.urls"))]
