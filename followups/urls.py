"""The URLs under /followups/."""

from django.urls import path

from followups.pages import acts, calls, desk, team

app_name = "followups"
urlpatterns = [
    path("", desk.due, name="due"),
    path("news/", desk.news, name="news"),
    path("next/", desk.next_one, name="next"),
    path("day/", team.day, name="day"),
    path("team/", team.team, name="team"),
    path("team/give/", team.give, name="give"),
    path("find/", calls.find, name="find"),
    path("lead/<int:pk>/inbound/", calls.inbound, name="inbound"),
    path("release/", desk.release_all, name="release_all"),
    path("task/<int:pk>/", desk.task, name="task"),
    path("task/<int:pk>/start/", acts.start, name="start"),
    path("task/<int:pk>/complete/", acts.complete, name="complete"),
    path("task/<int:pk>/release/", desk.release, name="release"),
    path("task/<int:pk>/renew/", desk.renew, name="renew"),
    path("task/<int:pk>/snooze/", acts.snooze, name="snooze"),
    path("task/<int:pk>/skip/", acts.skip, name="skip"),
    path("task/<int:pk>/opt-out/", acts.opt_out, name="opt_out"),
    path("task/<int:pk>/consent/", acts.consent, name="consent"),
    path("opt-out/<int:pk>/undo/", acts.undo_opt_out, name="undo_opt_out"),
    path("task/<int:pk>/reassign/", team.reassign, name="reassign"),
    path("task/<int:pk>/correct/", acts.correct, name="correct"),
]
