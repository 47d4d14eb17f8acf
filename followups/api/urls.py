"""URLs under /api/followups/."""

from django.urls import path

from followups.api.viewsets import LadderViewSet, LeadCollection, TaskCollection, TaskViewSet

urlpatterns = [
    path("ladder/create", LadderViewSet.as_view({"post": "create"}), name="api-ladder-create"),
    path("ladders/bulk", LadderViewSet.as_view({"post": "create_many"}), name="api-ladders-bulk"),
    path("ladder/<int:pk>/stop", LadderViewSet.as_view({"post": "stop"}), name="api-ladder-stop"),
    path("due", TaskViewSet.as_view({"get": "due"}), name="api-due"),
    path("due/claim", TaskViewSet.as_view({"post": "claim"}), name="api-claim"),
    path("sla", TaskViewSet.as_view({"get": "sla"}), name="api-sla"),
    path("task/<int:pk>/start", TaskViewSet.as_view({"post": "start"}), name="api-task-start"),
    path("task/<int:pk>/complete", TaskViewSet.as_view({"post": "complete"}), name="api-task-complete"),
    path("task/<int:pk>/renew", TaskViewSet.as_view({"post": "renew"}), name="api-task-renew"),
    path("task/<int:pk>/release", TaskViewSet.as_view({"post": "release"}), name="api-task-release"),
    path("task/<int:pk>/snooze", TaskViewSet.as_view({"post": "snooze"}), name="api-task-snooze"),
    path("task/<int:pk>/skip", TaskViewSet.as_view({"post": "skip"}), name="api-task-skip"),
    path("task/<int:pk>/reassign", TaskViewSet.as_view({"post": "reassign"}), name="api-task-reassign"),
    path("task/<int:pk>/correct", TaskViewSet.as_view({"post": "correct"}), name="api-task-correct"),
    path("lookup", TaskViewSet.as_view({"get": "lookup", "post": "lookup"}), name="api-lookup"),
    path("lead/<str:lead_id>/inbound", TaskViewSet.as_view({"post": "inbound"}), name="api-inbound"),
    path("reassign", TaskViewSet.as_view({"post": "reassign_many"}), name="api-reassign"),
    path("leads", LeadCollection.as_view({"get": "list", "post": "upsert"}), name="api-leads"),
    path("leads/bulk", LeadCollection.as_view({"post": "upsert_many"}), name="api-leads-bulk"),
    path("leads/<int:pk>", LeadCollection.as_view({"get": "retrieve", "patch": "change"}), name="api-lead"),
    path("leads/<int:pk>/next", LeadCollection.as_view({"get": "next_step"}), name="api-lead-next"),
    path("leads/<int:pk>/won", LeadCollection.as_view({"post": "won"}), name="api-lead-won"),
    path("leads/<int:pk>/dead", LeadCollection.as_view({"post": "dead"}), name="api-lead-dead"),
    path("leads/<int:pk>/not-now", LeadCollection.as_view({"post": "not_now"}), name="api-lead-not-now"),
    path(
        "leads/<int:pk>/contact-points",
        LeadCollection.as_view({"post": "add_point"}),
        name="api-contact-points",
    ),
    path(
        "leads/<int:pk>/contact-points/<int:point_id>/retire",
        LeadCollection.as_view({"post": "retire_point"}),
        name="api-contact-point-retire",
    ),
    path("tasks", TaskCollection.as_view({"get": "list"}), name="api-tasks"),
    path("tasks/<int:pk>", TaskCollection.as_view({"get": "retrieve"}), name="api-task"),
]
