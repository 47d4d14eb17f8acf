"""Every address of Valhalla."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from valhalla import views
from valhalla.pages.lead import lead_line
from valhalla.pages.plots import plots
from valhalla.pages.schedules import act_on_schedule, schedules
from valhalla.pages.second_factor import enrol, second_page
from valhalla.pages.sessions import sessions
from valhalla.pages.trace import trace

urlpatterns = [
    path("", views.home, name="home"),
    path("livez", views.livez, name="livez"),
    path("readyz", views.readyz, name="readyz"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("login/code/", second_page, name="second_factor"),
    path("login/code/new/", enrol, name="second_factor_new"),
    path("sessions/", sessions, name="sessions"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("language/", include("django.conf.urls.i18n")),
    path("admin/trace/", trace, name="trace"),
    path("admin/figures/", plots, name="figures"),
    path("admin/lead/", lead_line, name="lead_line"),
    path("admin/schedules/", schedules, name="schedules"),
    path("admin/schedules/<int:pk>/", act_on_schedule, name="schedule_act"),
    path("admin/", admin.site.urls),
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
