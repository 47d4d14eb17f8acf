"""The URLs of each package."""

from django.urls import URLPattern, URLResolver, include, path

from governance.contact.api.urls import gate_patterns

urlpatterns: list[URLPattern | URLResolver] = [
    path("market/", include("governance.market.api.urls")),
    path("market/", include(gate_patterns)),
    path("contact/", include("governance.contact.api.urls")),
    path("kpi/", include("governance.kpi.api.urls")),
    path("heimdall/", include("governance.heimdall.api.urls")),
    path("runbook/", include("governance.runbook.api.urls")),
    path("go-live/", include("governance.golive.api.urls")),
    path("risk/", include("governance.risk.api.urls")),
    path("regression/", include("governance.tripwire.api.urls")),
]
