"""The admin class for leads, with their contact points and properties."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.forms import BaseForm
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.widgets import UnfoldAdminSelectWidget

from followups import services
from followups.admin.transfer import TransfersLeads
from followups.fields import COLUMNS, Group, columns_of
from followups.models import ContactPoint, Lead, Property
from followups.points import stored_digests
from governance.core.admin.base import (
    FewRows,
    JSONText,
    NamedCells,
    RowForm,
    ServiceAdmin,
    TellsOfLead,
    by_of,
)
from governance.core.admin.display import column
from governance.core.admin.filters import Choices
from governance.core.places import CANADIAN_ZONES
from governance.retention.registry import LEAD
from governance.retention.screen import ErasesPeople


class PointFormSet(BaseInlineFormSet):  # type: ignore[type-arg]  # no subscript at run time
    """A lead's numbers and addresses; refuses the same one in two spellings."""

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


class ContactPointInline(FewRows, NamedCells, TabularInline):  # type: ignore[misc]  # unfold has no types
    """A lead's contact points, in the order in which they are tried."""

    model = ContactPoint
    formset = PointFormSet
    extra = 0
    fields = ("order", "kind", "value", "label", "whose", "status", "shared_as")


class PropertyInline(FewRows, NamedCells, TabularInline):  # type: ignore[misc]  # unfold has no types
    """The houses that the lead may sell."""

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


class LeadForm(RowForm):
    """The form of a lead."""

    zone = forms.ChoiceField(
        label=_("Time zone"),
        required=False,
        choices=[("", _("from the city")), *((zone, zone) for zone in CANADIAN_ZONES)],
        help_text=_("Only if it is certain; it overrides every other time zone."),
        widget=UnfoldAdminSelectWidget,
    )
    extra = JSONText(label=_("Other data from the source"), required=False)

    class Meta:
        model = Lead
        fields = COLUMNS

    def clean_extra(self) -> object:
        extra = self.cleaned_data["extra"] or {}
        if not isinstance(extra, dict):
            raise ValidationError(gettext("Enter a JSON object, such as {}."))
        return extra


GROUPS = {Group.PERSON: None, Group.PLACE: _("Where"), Group.WORTH: _("Worth"), Group.NOTES: _("Notes")}


class NobodysFilter(admin.SimpleListFilter):
    """Leads without a next step, which nobody would contact again."""

    title = _("without a next step")
    parameter_name = "nobodys"

    def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
        return [("yes", _("no open task and no date"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        return queryset.nobodys() if self.value() == "yes" else queryset  # type: ignore[attr-defined]  # leads'


class ScoreFilter(admin.SimpleListFilter):
    """Filters scores by the usual limits of policies."""

    title = _("score")
    parameter_name = "score"

    def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
        return [
            ("none", _("unknown")),
            ("low", _("below 0.65")),
            ("fair", _("0.65 to 0.85")),
            ("high", _("0.85 and more")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        wanted = {
            "none": Q(score=None),
            "low": Q(score__lt="0.65"),
            "fair": Q(score__gte="0.65", score__lt="0.85"),
            "high": Q(score__gte="0.85"),
        }.get(self.value() or "")
        return queryset.filter(wanted) if wanted is not None else queryset


@admin.register(Lead)
class LeadAdmin(TransfersLeads, TellsOfLead, ErasesPeople, ServiceAdmin):
    """Leads. If one moves, their due times are moved to permitted times in the new time zone."""

    person_kind = LEAD
    lead_key = "external_id"
    actions_detail = ("time_line", "erase")
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
    search_help_text = _("Lead id (starts with), part of the name, or a full phone number or e-mail address")
    ordering = ("-created_at", "-id")
    inlines = (ContactPointInline, PropertyInline)
    readonly_fields = ("created_at", "updated_at", "actor", "acting_for", "correlation_id")
    fixed = ("external_id",)
    fieldsets: ClassVar[Any] = (
        *((title, {"fields": columns_of(group)}) for group, title in GROUPS.items()),
        (_("Dates"), {"fields": ("created_at", "updated_at", "actor", "acting_for", "correlation_id")}),
    )

    place = column(_("place"), lambda lead: f"{lead.province} · {lead.market}", ordering="province")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Model], search_term: str
    ) -> tuple[QuerySet[Model], bool]:
        """Find a number or address in any format, through its index; an id by its beginning.

        Anything else is searched in ids and names.
        """
        text = search_term.strip()
        for kind in (ContactPoint.Kind.EMAIL, ContactPoint.Kind.PHONE):
            try:
                hashes = stored_digests(kind, text)
            except ValidationError:
                continue
            holders = ContactPoint.objects.filter(digest__in=hashes).values("lead")
            found = queryset.filter(Q(pk__in=holders) | Q(external_id=text))
            if found.exists() or kind == ContactPoint.Kind.EMAIL:
                return found, False
        if any(sign.isdigit() for sign in text) and " " not in text:
            # an id: its index answers, while a part of a name needs a scan of all rows
            return queryset.filter(external_id__startswith=text), False
        return super().get_search_results(request, queryset, search_term)

    def serve(self, request: HttpRequest, obj: Lead, form: BaseForm, change: bool) -> Lead:
        return services.save_lead(obj, by=by_of(request), at=timezone.now())

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if any(formset.model is ContactPoint and formset.has_changed() for formset in formsets):
            services.settle_points(form.instance.pk, by=by_of(request), at=timezone.now())
        for point in [row for formset in formsets if formset.model is ContactPoint for row in formset.forms]:
            if "shared_as" in point.changed_data and point.instance.pk:
                mark = point.instance.shared_as
                services.mark_shared(point.instance.pk, mark, by=by_of(request), at=timezone.now())
