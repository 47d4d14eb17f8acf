"""The pages under /followups/."""

from django.urls import path

from followups import views

app_name = "followups"
urlpatterns = [
    path("", views.due, name="due"),
    path("claim/", views.claim, name="claim"),
    path("release/", views.release_all, name="release_all"),
    path("task/<int:pk>/", views.task, name="task"),
    path("task/<int:pk>/start/", views.start, name="start"),
    path("task/<int:pk>/complete/", views.complete, name="complete"),
    path("task/<int:pk>/release/", views.release, name="release"),
    path("task/<int:pk>/snooze/", views.snooze, name="snooze"),
    path("task/<int:pk>/skip/", views.skip, name="skip"),
    path("task/<int:pk>/opt-out/", views.opt_out, name="opt_out"),
]
