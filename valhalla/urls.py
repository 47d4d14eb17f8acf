"""The root URL configuration."""

from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from django.views.generic import RedirectView

from valhalla import views
from valhalla.pages.api import api_reference, api_schema, api_start
from valhalla.pages.lead import lead_line
from valhalla.pages.passkeys import new_passkey, passkey_options, second_factors
from valhalla.pages.password import own_password, password_link, use_password_link
from valhalla.pages.plots import plots
from valhalla.pages.schedules import act_on_schedule, schedules
from valhalla.pages.second_factor import enrol, second_page
from valhalla.pages.sessions import sessions
from valhalla.pages.tokens import tokens
from valhalla.pages.trace import trace

urlpatterns = [
    path("", views.home, name="home"),
    path("livez", views.livez, name="livez"),
    path("readyz", views.readyz, name="readyz"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("login/code/", second_page, name="second_factor"),
    path("login/code/new/", enrol, name="second_factor_new"),
    path("login/passkey/", passkey_options, name="passkey_options"),
    path("login/passkey/new/", new_passkey, name="passkey_new"),
    path("second-factors/", second_factors, name="second_factors"),
    path("password/", own_password, name="password"),
    path("password/new/", use_password_link, name="use_password_link"),
    path("sessions/", sessions, name="sessions"),
    path("tokens/", tokens, name="tokens"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("language/", include("django.conf.urls.i18n")),
    path("admin/trace/", trace, name="trace"),
    path("admin/figures/", plots, name="figures"),
    path("admin/lead/", lead_line, name="lead_line"),
    path("admin/schedules/", schedules, name="schedules"),
    path("admin/schedules/<int:pk>/", act_on_schedule, name="schedule_act"),
    path("admin/password-link/<int:pk>/", password_link, name="password_link"),
    path("admin/password_change/", login_required(RedirectView.as_view(pattern_name="password"))),
    path("admin/", admin.site.urls),
    path("api/", api_start, name="api"),
    path("api", RedirectView.as_view(pattern_name="api")),
    path("api/docs", api_reference, name="api_reference"),
    path("api/docs/", RedirectView.as_view(pattern_name="api_reference")),
    path("api/schema", api_schema, name="api_schema"),
    path("api/governance/", include("governance.urls")),
    path("api/followups/", include("followups.api.urls")),
    path("api/buyers/", include("buyers.urls")),
    path("api/deals/offers/", include("offers.urls")),
    path("go-live/", include("governance.golive.urls")),
    path("followups/", include("followups.urls")),
]

handler403 = "valhalla.views.forbidden"
handler404 = "valhalla.views.not_found"
handler500 = "valhalla.views.server_error"
