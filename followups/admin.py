"""Leads, templates, ladders and tasks on the managers' screens. Personal data is shown with leads alone."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import F, Q, QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from followups import services
from followups.models import (
    ContactPoint,
    FollowUpTask,
    InboundContact,
    Ladder,
    LadderTemplate,
    Lead,
    LookupEvent,
    Property,
    RealignRequest,
    SlaSnapshot,
    TaskCorrection,
)
from followups.points import read_point
from followups.rules import read_steps
from followups.services.planning import MOST_REASSIGNED
from followups.steps import StepsField, time_line, when
from followups.wording import CHANNELS, moment
from governance.actors import ACTOR_LENGTH, By, owner_key
from governance.admin_base import (
    ErasesPeople,
    HistoryAdmin,
    JSONText,
    ReadOnlyAdmin,
    ServiceAdmin,
    TellsOfLead,
    VersionForm,
    by_of,
)
from governance.admin_live import LiveAdmin, SwitchesMany, live
from governance.errors import Refused
from governance.people.querysets import active
from governance.places import CANADIAN_ZONES
from governance.retention.registry import LEAD

MOST_LISTED = 10_000


class FirstThousands(Paginator):  # type: ignore[type-arg]  # no subscript at run time
    """Pages through the first 10,000 rows: counting ten million to number the pages takes seconds."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows[:MOST_LISTED].count())


# --- leads --------------------------------------------------------------------------------------------------


class PointFormSet(BaseInlineFormSet):  # type: ignore[type-arg]  # no subscript at run time
    """A lead's numbers and addresses; the same one written in two ways is one too many."""

    def clean(self) -> None:
        super().clean()
        seen = set()
        for form in self.forms:
            if form in self.deleted_forms or not form.has_changed() and not form.instance.pk:
                continue
            point = (form.instance.kind, form.instance.value)
            if point in seen:
                raise ValidationError(gettext("The lead has this number or address already."))
            seen.add(point)


class ContactPointInline(TabularInline):  # type: ignore[misc]  # unfold has no types
    """How a lead can be reached, in the order in which it is tried."""

    model = ContactPoint
    formset = PointFormSet
    extra = 0
    fields = ("order", "kind", "value", "label", "whose", "status")


class PropertyInline(TabularInline):  # type: ignore[misc]  # unfold has no types
    """What the lead may sell."""

    model = Property
    extra = 0
    fields = (
        "address",
        "property_type",
        "beds",
        "size_sqft",
        "condition",
        "asking_price",
        "motivation",
        "timeline",
    )


class LeadForm(forms.ModelForm):  # type: ignore[type-arg]  # no subscript at run time
    """A lead as a manager edits one."""

    zone = forms.ChoiceField(
        label=_("Time zone"),
        required=False,
        choices=[("", _("that of the city")), *((zone, zone) for zone in CANADIAN_ZONES)],
        help_text=_("Only where it is known for sure; it beats every other clock."),
        widget=UnfoldAdminSelectWidget,
    )
    extra = JSONText(label=_("What else the source sent"), required=False)

    class Meta:
        model = Lead
        fields = (
            "external_id",
            "name",
            "province",
            "market",
            "city",
            "postal_code",
            "zone",
            "score",
            "language",
            "status",
            "follow_up_at",
            "source",
            "cost",
            "notes",
            "extra",
        )
        help_texts: ClassVar[dict[str, Any]] = {"follow_up_at": _("UTC")}

    def clean_extra(self) -> Any:
        extra = self.cleaned_data["extra"] or {}
        if not isinstance(extra, dict):
            raise ValidationError(gettext("A JSON object is needed, such as {}."))
        return extra


class NobodysFilter(admin.SimpleListFilter):
    """Leads that nobody will ever hear of again unless somebody looks."""

    title = _("nobody’s leads")
    parameter_name = "nobodys"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [("yes", _("no open task and no date"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.nobodys() if self.value() == "yes" else queryset  # type: ignore[attr-defined]  # leads'


class ScoreFilter(admin.SimpleListFilter):
    """Scores by the bounds that policies are wont to have."""

    title = _("score")
    parameter_name = "score"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [
            ("none", _("unknown")),
            ("low", _("below 0.65")),
            ("fair", _("0.65 to 0.85")),
            ("high", _("0.85 and more")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = {
            "none": Q(score=None),
            "low": Q(score__lt="0.65"),
            "fair": Q(score__gte="0.65", score__lt="0.85"),
            "high": Q(score__gte="0.85"),
        }.get(self.value() or "")
        return queryset.filter(wanted) if wanted is not None else queryset


@admin.register(Lead)
class LeadAdmin(TellsOfLead, ErasesPeople, ServiceAdmin):
    """Leads. A change of where one lives puts her due times where her own clock allows them."""

    person_kind = LEAD
    lead_key = "external_id"
    actions_detail: ClassVar[Any] = ["time_line", "erase"]
    form = LeadForm
    list_display = (
        "external_id",
        "name",
        "place",
        "city",
        "status",
        "score",
        "language",
        "source",
        "follow_up_at",
        "created_at",
    )
    list_display_links = ("external_id", "name")
    list_filter = ("status", NobodysFilter, ScoreFilter, "language", "province", "created_at")
    search_fields = ("external_id__startswith", "name")
    search_help_text = _(
        "Lead id from the beginning, a part of the name, or a whole phone number or e-mail address"
    )
    ordering = ("-created_at", "-id")
    paginator = FirstThousands
    show_full_result_count = False
    inlines: ClassVar[list[Any]] = [ContactPointInline, PropertyInline]
    readonly_fields = ("created_at", "updated_at", "actor", "acting_for", "correlation_id")
    fieldsets = (
        (None, {"fields": ("external_id", "name", "language", "status", "follow_up_at")}),
        (_("Where"), {"fields": ("province", "market", "city", "postal_code", "zone")}),
        (_("Worth"), {"fields": ("score", "source", "cost")}),
        (_("Notes"), {"fields": ("notes", "extra")}),
        (_("Kept since"), {"fields": ("created_at", "updated_at", "actor", "acting_for", "correlation_id")}),
    )

    @admin.display(description=_("place"), ordering="province")
    def place(self, lead: Lead) -> str:
        return f"{lead.province} · {lead.market}"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "external_id") if obj is not None else self.readonly_fields

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find a number or address however it is written, through its index; anything else by id and name."""
        text = search_term.strip()
        for kind in (ContactPoint.Kind.EMAIL, ContactPoint.Kind.PHONE):
            try:
                _value, digest = read_point(kind, text)
            except ValidationError:
                continue
            holders = ContactPoint.objects.filter(digest=digest).values("lead")
            found = queryset.filter(Q(pk__in=holders) | Q(external_id=text))
            if found.exists() or kind == ContactPoint.Kind.EMAIL:
                return found, False
        return super().get_search_results(request, queryset, search_term)  # type: ignore[no-any-return]  # untyped

    def serve(self, request: HttpRequest, obj: Lead, form: Any, change: bool) -> Lead:
        return services.save_lead(obj, by=by_of(request), at=timezone.now())

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if any(formset.model is ContactPoint and formset.has_changed() for formset in formsets):
            services.settle_points(form.instance.pk, by=by_of(request), at=timezone.now())


# --- templates ----------------------------------------------------------------------------------------------


class TemplateForm(VersionForm):
    """A ladder template as a manager edits it."""

    steps = StepsField(
        label=_("Steps"),
        help_text=_(
            "How long after the first step was due each comes; the first comes at once. They are put in "
            "order by themselves, and a row without a channel is no step. Ladders that run keep their steps."
        ),
    )

    class Meta:
        model = LadderTemplate
        fields = ("province", "market", "enabled", "steps")


@admin.register(LadderTemplate)
class LadderTemplateAdmin(SwitchesMany, LiveAdmin, HistoryAdmin):
    """The steps that new ladders take; every save is a version with its reason."""

    form = TemplateForm
    list_display = ("where", "market", "enabled", "told", "version", "changed_by", "updated_at")
    list_display_links = ("where", "market")
    list_filter = ("enabled", "province", "updated_at")
    search_fields = ("market_key",)
    search_help_text = _("Market, without accents")
    ordering = ("province", "market")
    history_list_display = ("version", "enabled", "changed_by")
    readonly_fields = (
        "version", "changed_by", "reason", "updated_at", "correlation_id", "line", "scripts",
    )  # fmt: skip
    shown_instead: ClassVar[dict[str, str]] = {"steps": "scripts"}
    fieldsets = (
        (None, {"fields": ("province", "market", "enabled")}),
        (_("What is done"), {"fields": ("steps", "line")}),
        (_("Why"), {"fields": ("change_reason", "seen_version")}),
        (_("This version"), {"fields": ("version", "changed_by", "reason", "updated_at", "correlation_id")}),
    )

    @admin.display(description=_("province"), ordering="province")
    def where(self, template: LadderTemplate) -> str:
        return str(template.get_province_display() or _("everywhere else"))

    @admin.display(description=_("steps"))
    def told(self, template: LadderTemplate) -> str:
        return " · ".join(step.channel for step in read_steps(template.steps))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        # a template that moved would hold for a place that nobody decided it for
        return (*fields, "province", "market") if obj is not None else fields

    def serve(self, request: HttpRequest, obj: LadderTemplate, form: Any, change: bool) -> LadderTemplate:
        return services.save_template(
            obj.province,
            obj.market,
            by=by_of(request),
            at=timezone.now(),
            enabled=obj.enabled,
            steps=obj.steps,
            reason=form.cleaned_data["change_reason"],
            expected_version=form.cleaned_data["seen_version"] if change else 0,
        )

    def switch(self, row: LadderTemplate, *, enabled: bool, by: By, reason: str) -> None:
        services.save_template(
            row.province, row.market, by=by, at=timezone.now(), enabled=enabled, steps=row.steps,
            reason=reason, expected_version=row.version,
        )  # fmt: skip

    @admin.display(description=_("on a line of time"))
    def line(self, template: LadderTemplate) -> str:
        return live("line", time_line(read_steps(template.steps)))

    @admin.display(description=_("steps"))
    def scripts(self, template: LadderTemplate) -> str:
        rows = [
            (number, CHANNELS[step.channel], when(step), step.script_en or "–", step.script_fr or "–")
            for number, step in enumerate(read_steps(template.steps), start=1)
        ]
        return format_html_join("", "<p>{}. {}, {}<br>{}<br>{}</p>", rows)


# --- ladders and tasks --------------------------------------------------------------------------------------


class WhyForm(forms.Form):
    """Why many rows are changed."""

    reason = forms.CharField(
        label=_("Reason"), max_length=200, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2})
    )


class OwnerForm(WhyForm):
    """To whom tasks go; empty: to nobody, so that everybody is offered them."""

    owner = forms.CharField(
        label=_("New owner"), max_length=ACTOR_LENGTH, required=False, widget=UnfoldAdminTextInputWidget,
        help_text=_("A username; empty: nobody’s, so that everybody is offered them."),
    )  # fmt: skip
    field_order = ("owner", "reason")


class ActsWithReason(ReadOnlyAdmin):
    """A list whose rows change by actions that ask why and call a service."""

    actions: Any = None

    def ask(
        self, request: HttpRequest, queryset: QuerySet[Any], form: WhyForm, action: str, title: Any, most: int
    ) -> HttpResponse:
        """Show the form between the choice of rows and the action."""
        chosen = request.POST.getlist("_selected_action")[:most]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "form": form,
            "action": action,
            "chosen": chosen,
            "rows": queryset[:20],
            "more": max(0, len(chosen) - 20),
        }
        return TemplateResponse(request, "admin/followups/ask_why.html", context)


class OverdueFilter(admin.SimpleListFilter):
    """Tasks past their due time, or past the limit of two allowed hours."""

    title = _("overdue")
    parameter_name = "overdue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [("due", _("due now")), ("late", _("more than 2 allowed hours late"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now = timezone.now()
        if self.value() == "due":
            return queryset.filter(is_current=True, due_at__lte=now)
        if self.value() == "late":
            return queryset.filter(status=FollowUpTask.Status.OPEN, sla_2h_at__lte=now)
        return queryset


class HeldFilter(admin.SimpleListFilter):
    """Tasks that no lawful time is known for."""

    title = _("held")
    parameter_name = "held"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [("yes", _("held")), ("claimed", _("claimed by somebody"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "yes":
            return queryset.filter(status=FollowUpTask.Status.OPEN, due_at=None)
        if self.value() == "claimed":
            return queryset.filter(claim_until__gt=timezone.now())
        return queryset


class OwnerFilter(admin.SimpleListFilter):
    """Whose tasks: of one person, or nobody's."""

    title = _("owner")
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        owners = (
            model_admin.model._default_manager.order_by().exclude(owner="").values_list("owner", flat=True)
        )
        if model_admin.model is FollowUpTask:
            owners = owners.filter(status=FollowUpTask.Status.OPEN)
        return [
            ("-", _("nobody")),
            ("?", _("a name that is nobody’s")),
            *((owner, owner) for owner in sorted(set(owners.distinct()[:100]))),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        if value == "?":
            return queryset.exclude(owner_key="").exclude(owner_key__in=active().values("key"))
        return queryset.filter(owner="" if value == "-" else value)


@admin.register(FollowUpTask)
class FollowUpTaskAdmin(TellsOfLead, ActsWithReason):
    """What is to be done and what was done; tasks are worked on the due-task page and through the API."""

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
        "outcome",
        "owner",
        "claimed",
        "held_reason",
        "completed_by",
    )
    list_filter = (
        "status",
        "kind",
        "channel",
        OverdueFilter,
        HeldFilter,
        OwnerFilter,
        "outcome",
        "province",
        "due_at",
    )
    list_select_related = ("lead",)
    search_fields = ("lead__external_id__startswith", "owner__startswith", "correlation_id__startswith")
    search_help_text = _("Lead id, owner or correlation id, from the beginning")
    ordering = ("-created_at", "-id")
    paginator = FirstThousands
    show_full_result_count = False
    actions = ["reassign"]
    fields = (
        "lead_link",
        "ladder",
        "kind",
        "step",
        "channel",
        "province",
        "scheduled_for",
        "due_at",
        "zone",
        "status",
        "is_current",
        "held_reason",
        "snoozed_until",
        "closed_reason",
        "owner",
        "claimed_by",
        "claim_until",
        "started_at",
        "started_by",
        "outcome",
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

    @admin.display(description=_("lead"), ordering="lead__external_id")
    def lead_link(self, task: FollowUpTask) -> str:
        return task.lead.external_id

    @admin.display(description=_("due there"), ordering=F("due_at").asc(nulls_last=True))
    def due_there(self, task: FollowUpTask) -> str:
        if task.due_at is None:
            return "–"
        return format_html('<span class="whitespace-nowrap">{}</span>', moment(task.due_at, task.zone))

    @admin.display(description=_("claimed by"))
    def claimed(self, task: FollowUpTask) -> str:
        live = task.claim_until is not None and task.claim_until > timezone.now()
        return task.claimed_by if live else ""

    def has_reassign_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("followups.reassign"))

    @admin.action(description=_("Give to another owner"), permissions=["reassign"])
    def reassign(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        form = OwnerForm(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            title = _("Give tasks to another owner")
            return self.ask(request, queryset, form, "reassign", title, MOST_REASSIGNED)
        ids = list(queryset.order_by("pk").values_list("pk", flat=True)[: MOST_REASSIGNED + 1])
        said = form.cleaned_data
        try:
            moved = services.reassign_tasks(
                ids, said["owner"], by=by_of(request), at=timezone.now(), reason=said["reason"]
            )
        except Refused as refusal:
            _tell(request, refusal)
            return None
        owner = owner_key(said["owner"]) or gettext("nobody")
        text = ngettext(
            "%(count)s task now goes to %(owner)s.", "%(count)s tasks now go to %(owner)s.", moved
        )
        messages.success(request, text % {"count": moved, "owner": owner})
        return None


@admin.register(Ladder)
class LadderAdmin(ActsWithReason):
    """Each lead's way through a template."""

    list_display = (
        "id",
        "lead_id_text",
        "province",
        "status",
        "owner",
        "template_version",
        "started_at",
        "ended_at",
        "stop_reason",
    )
    list_filter = ("status", "lead__province", OwnerFilter, "started_at")
    list_select_related = ("lead",)
    search_fields = ("lead__external_id__startswith", "owner__startswith", "correlation_id__startswith")
    search_help_text = _("Lead id, owner or correlation id, from the beginning")
    ordering = ("-started_at", "-id")
    paginator = FirstThousands
    show_full_result_count = False
    actions = ["stop"]
    fields = (
        "lead_id_text",
        "template",
        "template_version",
        "status",
        "owner",
        "started_at",
        "ended_at",
        "stop_reason",
        "steps_shown",
        "actor",
        "acting_for",
        "correlation_id",
    )

    @admin.display(description=_("lead"), ordering="lead__external_id")
    def lead_id_text(self, ladder: Ladder) -> str:
        return ladder.lead.external_id

    @admin.display(description=_("province"), ordering="lead__province")
    def province(self, ladder: Ladder) -> str:
        return ladder.lead.province

    @admin.display(description=_("steps"))
    def steps_shown(self, ladder: Ladder) -> str:
        text = json.dumps(ladder.steps, indent=2, ensure_ascii=False)
        return format_html('<pre class="font-mono text-sm whitespace-pre-wrap">{}</pre>', text)

    def has_stop_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("followups.stop_ladder"))

    @admin.action(description=_("Stop"), permissions=["stop"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        form = WhyForm(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            return self.ask(request, queryset, form, "stop", _("Stop ladders"), 100)
        by, at, stopped = by_of(request), timezone.now(), 0
        for pk in queryset.order_by("pk").values_list("pk", flat=True)[:100]:
            try:
                services.stop_ladder(pk, by=by, at=at, reason=form.cleaned_data["reason"])
            except Refused as refusal:
                messages.warning(request, f"{pk}: {refusal}")
            else:
                stopped += 1
        text = ngettext("%(count)s ladder was stopped.", "%(count)s ladders were stopped.", stopped)
        messages.success(request, text % {"count": stopped})
        return None


def _tell(request: HttpRequest, refusal: Refused) -> None:
    for sentences in refusal.errors.values() or [[refusal.message]]:
        messages.error(request, " ".join(map(str, sentences)))


# --- what jobs leave ----------------------------------------------------------------------------------------


@admin.register(RealignRequest)
class RealignRequestAdmin(ReadOnlyAdmin):
    """Due times that must be judged anew, and how far that is."""

    list_display = ("id", "province", "asked_by", "asked_at", "moved", "done_at")
    list_filter: ClassVar[list[Any]] = [("done_at", admin.EmptyFieldListFilter), "province", "asked_at"]
    ordering = ("-id",)
    show_full_result_count = False
    fields = ("province", "asked_by", "asked_at", "moved", "done_at", "correlation_id")


@admin.register(TaskCorrection)
class TaskCorrectionAdmin(ReadOnlyAdmin):
    """Outcomes that were corrected, and why."""

    list_display = ("task", "from_outcome", "to_outcome", "actor", "reason", "at")
    list_filter = ("from_outcome", "to_outcome", "at")
    list_select_related = ("task",)
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(InboundContact)
class InboundContactAdmin(ReadOnlyAdmin):
    """Who called or wrote, and what came of it."""

    list_display = ("at", "lead", "channel", "outcome", "next", "actor")
    list_filter = ("channel", "outcome", "at")
    list_select_related = ("lead",)
    ordering = ("-at", "-id")
    show_full_result_count = False


@admin.register(LookupEvent)
class LookupEventAdmin(ReadOnlyAdmin):
    """Who looked a person up; by what is kept as a hash."""

    list_display = ("at", "actor", "kind", "found")
    list_filter = ("kind", "at")
    ordering = ("-at", "-id")
    show_full_result_count = False


@admin.register(SlaSnapshot)
class SlaSnapshotAdmin(ReadOnlyAdmin):
    """How quickly each day's tasks were answered."""

    list_display = (
        "day",
        "dimension",
        "value",
        "count",
        "share_5m",
        "share_30m",
        "share_2h",
        "median_minutes",
        "p90_minutes",
        "overdue_open",
    )
    list_filter = ("dimension", "day")
    search_fields = ("value__startswith",)
    search_help_text = _("Province, channel, step or owner, from the beginning")
    ordering = ("-day", "dimension", "value")
    show_full_result_count = False
    fields = (
        "day",
        "dimension",
        "value",
        "count",
        "share_5m",
        "share_30m",
        "share_2h",
        "median_minutes",
        "p90_minutes",
        "overdue_open",
    )

    @admin.display(description=_("within 5 minutes"), ordering="within_5m")
    def share_5m(self, row: SlaSnapshot) -> str:
        return _share(row.within_5m)

    @admin.display(description=_("within 30 minutes"), ordering="within_30m")
    def share_30m(self, row: SlaSnapshot) -> str:
        return _share(row.within_30m)

    @admin.display(description=_("within 2 hours"), ordering="within_2h")
    def share_2h(self, row: SlaSnapshot) -> str:
        return _share(row.within_2h)


def _share(fraction: Any) -> str:
    return "–" if fraction is None else f"{fraction:.0%}"
