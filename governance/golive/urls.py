"""The URL of the kill switch page, for users without admin."""

from django.urls import path

from governance.golive.views import switches

app_name = "golive"
urlpatterns = [path("", switches, name="switches")]
