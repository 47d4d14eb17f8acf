"""The page of the kill switch, for those who have no admin."""

from django.urls import path

from governance.golive.views import switches

app_name = "golive"
urlpatterns = [path("", switches, name="switches")]
