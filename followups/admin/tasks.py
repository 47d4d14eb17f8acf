"""The admin class for tasks."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import F, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from followups import services
from followups.admin.acts import ActsWithReason, OwnerFilter, OwnerForm, is_known, of_leads, tell
from followups.models import FollowUpTask
from followups.rules.outcomes import PERSON_ACTIVE
from followups.services.planning import MOST_REASSIGNED
from followups.wording import moment, why_ended
from governance.core.actors import owner_key
from governance.core.admin.base import TellsOfLead, by_of
from governance.core.admin.display import column
from governance.core.admin.filters import Choices, on_board
from governance.core.errors import Refused

MOST_CONTACTABLE = 500


class OverdueFilter(admin.SimpleListFilter):
    """Tasks past their due time, or past the limit of two allowed hours."""

    title = _("overdue")
    parameter_name = "overdue"

    def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
        return [("due", _("due now")), ("late", _("more than 2 allowed hours late"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        now = timezone.now()
        if self.value() == "due":
            return queryset.due(now)  # type: ignore[attr-defined,no-any-return]  # tasks'
        if self.value() == "late":
            return queryset.late(now)  # type: ignore[attr-defined,no-any-return]  # tasks'
        return queryset


class ContactableFilter(admin.SimpleListFilter):
    """Due tasks whose lead may, or may not, be contacted right now.

    Asks the gate for each of the 500 that have been due longest.
    """

    title = _("contact now")
    parameter_name = "contactable"

    def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
        return [("yes", _("allowed")), ("no", _("not allowed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Model]:
        if self.value() not in ("yes", "no"):
            return queryset
        allowed = self.value() == "yes"
        due = services.due_tasks(by=by_of(request), at=timezone.now(), limit=MOST_CONTACTABLE)
        return queryset.filter(pk__in=[task["id"] for task in due if task["contact"]["ok"] is allowed])


class OutcomeFilter(admin.SimpleListFilter):
    """Filters by the outcome that counts, as the list shows it: as corrected, else as recorded."""

    title = _("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
        return FollowUpTask.Outcome.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        if not self.value():
            return queryset
        return queryset.filter(Q(corrected_to=self.value()) | Q(corrected_to="", outcome=self.value()))


class HeldFilter(admin.SimpleListFilter):
    """Tasks without a permitted contact time."""

    title = _("blocked")
    parameter_name = "held"

    def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
        waiting = ("waiting", _("waiting for another lead"))
        return [("yes", _("blocked")), waiting, ("claimed", _("claimed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        if self.value() == "yes":
            return queryset.held()  # type: ignore[attr-defined,no-any-return]  # tasks'
        if self.value() == "waiting":
            return queryset.filter(status=FollowUpTask.Status.OPEN, held_reason=PERSON_ACTIVE)
        if self.value() == "claimed":
            return queryset.filter(claim_until__gt=timezone.now())
        return queryset


OF_SLA = on_board(
    (
        "followup_sla",
        _("newest 500 due tasks"),
        lambda rows, at: rows.filter(pk__in=services.newest_due(at)),
    ),
    (
        "unknown_owner",
        _("open, with an unknown owner"),
        lambda rows, at: rows.of_unknown_owners(),
    ),
)


@admin.register(FollowUpTask)
class FollowUpTaskAdmin(TellsOfLead, ActsWithReason):
    """Open and done tasks; they are worked on the due-task page and through the API."""

    lead_key = "lead.external_id"
    list_display = (
        "id",
        "lead_link",
        "kind",
        "step",
        "channel",
        "province",
        "due_there",
        "status",
        "outcome_standing",
        "owner",
        "claimed",
        "why_held",
        "completed_by",
    )
    list_filter = (
        OF_SLA,
        "status",
        "kind",
        "channel",
        OverdueFilter,
        ContactableFilter,
        HeldFilter,
        OwnerFilter,
        OutcomeFilter,
        "province",
        "due_at",
    )
    list_select_related = ("lead",)
    search_fields = ("lead__external_id",)
    search_help_text = _("Lead id (starts with)")
    sortable_by = ("id", "due_there")
    ordering = ("-created_at", "-id")
    actions = ["reassign", "skip", "stop"]
    fields = (
        "lead_link",
        "ladder",
        "kind",
        "step",
        "channel",
        "province",
        "scheduled_for",
        "due_there",
        "deadline_at",
        "opened_at",
        "status",
        "is_current",
        "why_held",
        "snoozed_until",
        "why_closed",
        "owner",
        "claimed_by",
        "claim_until",
        "started_at",
        "started_by",
        "outcome",
        "corrected_to",
        "next",
        "next_at",
        "contacted_at",
        "contact_source",
        "entered_late",
        "gate_allowed",
        "override_reason",
        "completed_at",
        "completed_by",
        "response_minutes",
        "response_wall_minutes",
        "created_at",
        "actor",
        "acting_for",
        "correlation_id",
    )

    lead_link = column(_("lead"), "lead.external_id", ordering="lead__external_id")
    outcome_standing = column(_("outcome"), "standing_outcome_display", nothing="–")

    @admin.display(description=_("due (local time)"), ordering=F("due_at").asc(nulls_last=True))
    def due_there(self, task: FollowUpTask) -> str:
        if task.due_at is None:
            return "–"
        return format_html('<span class="whitespace-nowrap">{}</span>', moment(task.due_at, task.zone))

    why_held = column(_("blocked because"), lambda task: why_ended(task.held_reason))
    why_closed = column(_("why it was closed"), lambda task: why_ended(task.closed_reason))

    @admin.display(description=_("claimed by"))
    def claimed(self, task: FollowUpTask) -> str:
        live = task.claim_until is not None and task.claim_until > timezone.now()
        return task.claimed_by if live else ""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Model], search_term: str
    ) -> tuple[QuerySet[Model], bool]:
        return of_leads(queryset, search_term), False

    def has_skip_permission(self, request: HttpRequest) -> bool:
        # VAs skip their own on their page; the list of everybody's tasks is for managers
        return bool(request.user.has_perm(services.reassign_tasks.right))

    def has_stop_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(services.stop_ladder.right))

    @admin.action(description=_("Skip"), permissions=["skip"])
    def skip(self, request: HttpRequest, queryset: QuerySet[Model]) -> HttpResponse | None:
        return self.act_with_reason(
            request,
            queryset,
            services.skip_task,
            queryset.order_by("pk").values_list("pk", flat=True),
            action="skip",
            title=_("Skip tasks"),
            said=lambda done: ngettext("%(count)s task was skipped.", "%(count)s tasks were skipped.", done),
        )

    @admin.action(description=_("Stop the ladder"), permissions=["stop"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Model]) -> HttpResponse | None:
        running = queryset.filter(ladder__status="ACTIVE").order_by("ladder")
        ids = running.values_list("ladder", flat=True)
        return self.stop_ladders(request, queryset, ids, _("Stop the ladders of tasks"))

    def has_reassign_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(services.reassign_tasks.right))

    @admin.action(description=_("Reassign"), permissions=["reassign"])
    def reassign(self, request: HttpRequest, queryset: QuerySet[Model]) -> HttpResponse | None:
        form = OwnerForm(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            title = _("Reassign tasks")
            return self.ask(request, queryset, form, "reassign", title, MOST_REASSIGNED)
        ids = list(queryset.order_by("pk").values_list("pk", flat=True)[: MOST_REASSIGNED + 1])
        said = form.cleaned_data
        try:
            moved = services.reassign_tasks(
                ids, said["owner"], by=by_of(request), at=timezone.now(), reason=said["reason"]
            )
        except Refused as refusal:
            tell(request, refusal)
            return None
        owner = owner_key(said["owner"]) or gettext("nobody")
        text = ngettext(
            "%(count)s task reassigned to %(owner)s.", "%(count)s tasks reassigned to %(owner)s.", moved
        )
        messages.success(request, text % {"count": moved, "owner": owner})
        if not is_known(said["owner"]):
            text = gettext("No active person has the username “%(owner)s”: these tasks count as unassigned.")
            messages.warning(request, text % {"owner": owner})
        return None
