"""Admin classes for the gate's reference data and its decisions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.forms import BaseForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
)

from governance.contact.clock import zone_name
from governance.contact.digests import EMAIL, PHONE, every_digest, read_email, read_phone
from governance.contact.do_not_call import ending_lists
from governance.contact.models import (
    AreaCodeList,
    AreaCodeStatement,
    CityZone,
    Closure,
    Consent,
    ConsentStatement,
    ContactDecision,
    DoNotCallImport,
    HashKeyCheck,
    StatutoryHours,
    Suppression,
)
from governance.contact.national_list import days_left, last_day_of
from governance.contact.reasons import SENTENCES
from governance.contact.reference import remove_reference, save_reference
from governance.contact.services import lift_suppression, record_consent, suppress
from governance.contact.statements import state_consent, state_exempt_calls
from governance.contact.transfer import TransfersStops
from governance.core.admin.base import (
    WHY_AND_VERSION,
    DeletesWithReason,
    HistoryAdmin,
    ReadOnlyAdmin,
    ReasonForm,
    RowForm,
    ServiceAdmin,
    VersionForm,
    by_of,
)
from governance.core.admin.display import column, facts, there
from governance.core.admin.filters import Choices, one_of
from governance.core.channels import CHANNEL_CHOICES, CHANNELS, channel_name
from governance.core.errors import Invalid
from governance.core.places import CANADIAN_ZONES, Province

BASIS = {
    "tzdata": _("time zones"),
    "holidays": _("holidays"),
    "suppressions": _("suppressions checked, by id"),
    "suppression": _("suppression that applies, by id"),
    "consents": _("consents checked, by id"),
    "consent": _("consent that applies, by id"),
    "statutory": _("rows of legal calling hours, by id"),
    "closures": _("closures, by id"),
    "renamed": _("keyed hashes under other keys"),
    "lists": _("national lists of area codes"),
    "exempt": _("area codes whose list is too old, and what exempts the call"),
}

MOST_CODES = 12  # in a column
DAYS = (
    (0, _("Monday")),
    (1, _("Tuesday")),
    (2, _("Wednesday")),
    (3, _("Thursday")),
    (4, _("Friday")),
    (5, _("Saturday")),
    (6, _("Sunday")),
)


class ReferenceAdmin(HistoryAdmin):
    """Reference data that applies everywhere: saving needs a reason and then recomputes due times."""

    def serve(self, request: HttpRequest, obj: Any, form: BaseForm, change: bool) -> Any:
        save_reference(obj, by=by_of(request), at=timezone.now(), reason=form.cleaned_data["change_reason"])
        return obj


class RemovableReferenceAdmin(DeletesWithReason, ReferenceAdmin):
    """A reference row that may also be deleted, with a reason."""

    def remove(self, request: HttpRequest, obj: Any, reason: str) -> None:
        remove_reference(obj, by=by_of(request), at=timezone.now(), reason=reason)


@admin.register(Closure)
class ClosureAdmin(RemovableReferenceAdmin):
    """Days that are closed in addition to public holidays, and public holidays that are worked."""

    form = ReasonForm
    list_display = ("date", "province_name", "name", "closed", "closed_from", "citation")
    list_display_links = ("date", "name")
    list_filter = ("closed", "province", "date")
    search_fields = ("name", "citation")
    ordering = ("-date", "province")
    history_list_display = ("name", "closed")
    fieldsets = (
        (None, {"fields": ("date", "province", "name")}),
        (
            _("What it means"),
            {
                "fields": ("closed", "closed_from", "citation"),
                "description": _(
                    "A row with a citation is law: it applies whatever a policy says about holidays, and "
                    "nobody can override it."
                ),
            },
        ),
        (_("Why"), {"fields": ("change_reason",)}),
    )

    @admin.display(description=_("province"), ordering="province")
    def province_name(self, closure: Closure) -> str:
        return closure.get_province_display() if closure.province else str(_("all of Canada"))


class HoursForm(ReasonForm):
    """Legal hours, with their days as checkboxes."""

    days = forms.TypedMultipleChoiceField(
        label=_("Days"), choices=DAYS, coerce=int, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )


@admin.register(StatutoryHours)
class StatutoryHoursAdmin(ReferenceAdmin):
    """Legal hours. A change in the law is a new row with its own date; the old one stays for the past."""

    form = HoursForm
    list_display = ("jurisdiction", "channel", "days_told", "start", "end", "valid_from", "citation")
    list_display_links = ("jurisdiction", "channel")
    list_filter = ("jurisdiction", "channel", "valid_from")
    search_fields = ("citation",)
    history_list_display = ("start", "end", "valid_from")
    fieldsets = (
        (
            None,
            {
                "fields": ("jurisdiction", "channel", "valid_from", "citation"),
                "description": _(
                    "For each jurisdiction, the rows with the newest date apply; every jurisdiction that "
                    "has rows for a channel must allow the minute. A policy narrows these hours and "
                    "never widens them."
                ),
            },
        ),
        (_("Hours"), {"fields": ("days", ("start", "end"))}),
        (_("Why"), {"fields": ("change_reason",)}),
    )

    days_told = column(_("days"), lambda hours: ", ".join(str(dict(DAYS)[day]) for day in hours.days))


class CityZoneForm(ReasonForm):
    """A city's time zone, one of the Canadian ones."""

    zone = forms.ChoiceField(
        label=_("Time zone"),
        choices=[(zone, zone) for zone in CANADIAN_ZONES],
        widget=UnfoldAdminSelectWidget,
    )


@admin.register(CityZone)
class CityZoneAdmin(RemovableReferenceAdmin):
    """The time zones of cities, for leads without a time zone of their own."""

    form = CityZoneForm
    list_display = ("city", "province", "zone")
    list_filter = ("province", "zone")
    search_fields = ("city", "city_key")
    ordering = ("province", "city")
    history_list_display = ("zone",)
    fieldsets = (
        (
            None,
            {
                "fields": ("province", "city", "zone"),
                "description": _(
                    "Add a city only with a source for its local time; a place not listed is judged by "
                    "every time zone of its province."
                ),
            },
        ),
        (_("Why"), {"fields": ("change_reason",)}),
    )


def read_point(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the kind of a phone number or e-mail address, and its keyed hashes.

    One hash for the current and for each kept key. Raises ValidationError.
    """
    kind, value = (EMAIL, read_email(text)) if "@" in text else (PHONE, read_phone(text))
    return kind, every_digest(kind, value)


class PointForm(RowForm):
    """A form that takes a phone number or address, of which only the keyed hash is stored."""

    point = forms.CharField(
        label=_("Phone or e-mail"),
        max_length=254,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text=_("Stored as a keyed hash only; it cannot be read again."),
    )

    def clean_point(self) -> tuple[str, tuple[str, ...]]:
        return read_point(self.cleaned_data["point"])

    def clean(self) -> Any:
        data = super().clean()
        kind, _hashes = self.cleaned_data.get("point", ("", ()))
        channel = self.cleaned_data.get("channel")
        if kind and channel and CHANNELS[channel].kind != kind:
            self.add_error("channel", _("This channel does not fit this kind of contact point."))
        return data


class EvidenceOfPoints(ServiceAdmin):
    """Rows about contact points: added through a service, found by the point's hash, never changed."""

    list_display_links = ("at",)
    ordering = ("-pk",)
    search_fields = ("point_digest__exact",)
    search_help_text = _("Full phone number or e-mail address")
    sortable_by = ()

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Model], search_term: str
    ) -> tuple[QuerySet[Model], bool]:
        try:
            return queryset.filter(point_digest__in=read_point(search_term)[1]), False
        except ValidationError:
            return super().get_search_results(request, queryset, search_term)

    point_told = column(_("point"), lambda row: f"{row.point_digest[:12]}…")


class SuppressionForm(PointForm):
    """A suppression, or its end."""

    class Meta:
        model = Suppression
        fields = ("action", "channel", "source", "reason")

    def clean(self) -> Any:
        data = super().clean()
        if (
            self.cleaned_data.get("action") == Suppression.Action.LIFT
            and not self.cleaned_data.get("reason", "").strip()
        ):
            self.add_error("reason", _("Say why the suppression ends."))
        return data


@admin.register(Suppression)
class SuppressionAdmin(TransfersStops, EvidenceOfPoints):
    """Suppressions. Rows are never deleted; another row ends a suppression."""

    form = SuppressionForm
    list_display = ("at", "point_told", "action", "channel_told", "source", "reason", "actor")
    list_filter = ("action", "source", "channel", "at")
    fieldsets = (
        (None, {"fields": ("point", "action", "channel", "source")}),
        (_("Why"), {"fields": ("reason",), "description": _("Required to end a suppression.")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: object = None) -> Any:
        if obj is None:
            return super().get_fieldsets(request, obj)
        fields = (
            "at",
            "point_digest",
            "action",
            "channel",
            "source",
            "reason",
            "press",
            "actor",
            "acting_for",
            "correlation_id",
            "token_id",
        )
        return ((None, {"fields": fields}),)

    def serve(self, request: HttpRequest, obj: Suppression, form: BaseForm, change: bool) -> Suppression:
        _kind, (hashed, *others) = form.cleaned_data["point"]
        by, at = by_of(request), timezone.now()
        if obj.action == Suppression.Action.LIFT:
            lift_suppression([hashed], by=by, at=at, reason=obj.reason, channel=obj.channel, others=others)
        else:
            suppress([hashed], by=by, at=at, source=obj.source, channel=obj.channel, others=others)
        saved: Suppression = Suppression.objects.filter(point_digest=hashed).latest("pk")
        return saved

    channel_told = column(_("channel"), "get_channel_display", nothing=_("all"), ordering="channel")


class ConsentForm(PointForm):
    """A consent, or its withdrawal, as it was obtained."""

    channel = forms.ChoiceField(label=_("Channel"), choices=CHANNEL_CHOICES, widget=UnfoldAdminSelectWidget)
    at = forms.SplitDateTimeField(
        label=_("Obtained"), widget=UnfoldAdminSplitDateTimeWidget, initial=timezone.now
    )

    class Meta:
        model = Consent
        fields = ("channel", "kind", "obtained_how", "evidence", "at")

    def clean_at(self) -> datetime:
        """Return the instant in UTC: when a consent ends must not depend on where it was typed."""
        at: datetime = self.cleaned_data["at"]
        return at.astimezone(UTC)


@admin.register(Consent)
class ConsentAdmin(EvidenceOfPoints):
    """Consents under Canada's anti-spam law; the kind decides when one ends."""

    form = ConsentForm
    list_display = ("at", "point_told", "channel", "kind", "obtained_how", "expires_at", "actor")
    list_filter = ("kind", "channel", "at", "expires_at")
    fieldsets = (
        (None, {"fields": ("point", "channel", "kind", "at")}),
        (
            _("How it was obtained"),
            {
                "fields": ("obtained_how", "evidence"),
                "description": _("Words a regulator can follow; no phone number, address or name."),
            },
        ),
    )

    def get_fieldsets(self, request: HttpRequest, obj: object = None) -> Any:
        if obj is None:
            return super().get_fieldsets(request, obj)
        fields = (
            "at", "point_digest", "channel", "kind", "obtained_how", "evidence", "expires_at", "actor",
            "acting_for",
            "correlation_id",
            "token_id",
        )  # fmt: skip
        return ((None, {"fields": fields}),)

    def serve(self, request: HttpRequest, obj: Consent, form: BaseForm, change: bool) -> Consent:
        kind, (hashed, *others) = form.cleaned_data["point"]
        if CHANNELS[obj.channel].kind != kind:
            raise Invalid({"channel": [_("This channel does not fit this kind of contact point.")]})
        return record_consent(
            hashed, obj.channel, obj.kind, by=by_of(request), at=timezone.now(), obtained_at=obj.at,
            how=obj.obtained_how, evidence=obj.evidence, others=others,
        )  # fmt: skip


@admin.register(ConsentStatement)
class ConsentStatementAdmin(HistoryAdmin):
    """Statements on how consent for texts and e-mail is obtained; go-live requires both."""

    form = VersionForm
    nothing_yet = _("State how consent for texts and for e-mail is obtained: go-live requires both.")
    list_display = ("channel", "how", "version", "changed_by", "updated_at")
    history_list_display = ("version", "how")
    fixed = ("channel",)
    fieldsets = (
        (None, {"fields": ("channel", "how")}),
        *WHY_AND_VERSION,
    )

    def serve(
        self, request: HttpRequest, obj: ConsentStatement, form: BaseForm, change: bool
    ) -> ConsentStatement:
        return state_consent(
            obj.channel,
            obj.how,
            by=by_of(request),
            at=timezone.now(),
            reason=form.cleaned_data["change_reason"],
            expected_version=form.cleaned_data["seen_version"] if change else 0,
        )


@admin.register(AreaCodeStatement)
class AreaCodeStatementAdmin(HistoryAdmin):
    """Area codes where only exempt numbers are called; go-live waits for a list or a statement for each."""

    form = VersionForm
    nothing_yet = _("State where only exempt numbers are called: such an area code needs no national list.")
    list_display = ("area_code", "only_exempt", "reason", "version", "changed_by", "updated_at")
    list_filter = ("only_exempt",)
    search_fields = ("area_code",)
    history_list_display = ("version", "only_exempt")
    fixed = ("area_code",)
    fieldsets = (
        (None, {"fields": ("area_code", "only_exempt")}),
        *WHY_AND_VERSION,
    )

    def serve(
        self, request: HttpRequest, obj: AreaCodeStatement, form: BaseForm, change: bool
    ) -> AreaCodeStatement:
        return state_exempt_calls(
            obj.area_code,
            obj.only_exempt,
            by=by_of(request),
            at=timezone.now(),
            reason=form.cleaned_data["change_reason"],
            expected_version=form.cleaned_data["seen_version"] if change else 0,
        )


class EndsFilter(admin.SimpleListFilter):
    """Lists that expire within a week, or have expired."""

    title = _("state")
    parameter_name = "ends"

    def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
        return (("soon", _("ends within 7 days or has ended")),)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        if self.value() == "soon":
            return queryset.filter(pk__in=ending_lists(timezone.now()).values("pk"))
        return queryset


@admin.register(AreaCodeList)
class AreaCodeListAdmin(ReadOnlyAdmin):
    """The newest national do-not-call list of each area code, and until when it may be used."""

    nothing_yet = _("No list has been imported yet: run manage.py import_do_not_call.")
    list_display = ("area_code", "list_date", "usable_until", "state_told", "since")
    list_filter = (EndsFilter, "list_date")
    search_fields = ("area_code",)
    ordering = ("list_date", "area_code")

    usable_until = column(_("usable until"), lambda row: last_day_of(row.list_date), ordering="list_date")

    @admin.display(description=_("state"))
    def state_told(self, row: AreaCodeList) -> str:
        left = days_left(row.list_date, timezone.now())
        if left < 0:
            return gettext("too old: calls are blocked")
        return ngettext("%(days)s day left", "%(days)s days left", left) % {"days": left}


@admin.register(DoNotCallImport)
class DoNotCallImportAdmin(ReadOnlyAdmin):
    """Imports of the national do-not-call list by manage.py import_do_not_call."""

    nothing_yet = _("The national list was never imported: run manage.py import_do_not_call.")
    list_display = ("list_date", "at", "codes_told", "numbers", "added", "unreadable", "actor")
    list_filter = ("list_date",)
    ordering = ("-list_date", "-id")

    @admin.display(description=_("area codes"))
    def codes_told(self, row: DoNotCallImport) -> str:
        codes = row.area_codes or []
        return ", ".join(codes[:MOST_CODES]) + (" …" if len(codes) > MOST_CODES else "") or "–"


@admin.register(ContactDecision)
class ContactDecisionAdmin(ReadOnlyAdmin):
    """The gate's decisions where somebody contacted a lead or was refused."""

    list_display = (
        "created_at", "lead_id", "channel_told", "door", "ok", "why", "all_the_same", "where", "local_time",
        "actor",
    )  # fmt: skip
    list_filter = (
        "ok",
        one_of("reason", _("reason"), SENTENCES.items),
        one_of("channel", _("channel"), lambda: CHANNEL_CHOICES),
        "door",
        "overridden",
        "happened",
        one_of("province", _("province"), lambda: Province.choices),
        "created_at",
    )
    search_fields = ("lead_id__exact", "correlation_id__exact")
    search_help_text = _("Full lead id, correlation id, phone number or e-mail address")
    sortable_by = ("created_at",)
    ordering = ("-created_at", "-pk")
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("created_at", "door", "ok", "why", "overridden", "happened")}),
        (_("Whom"), {"fields": ("lead_id", "task_id", "phone_hash", "email_hash", "lead_score")}),
        (_("Where and when"), {"fields": ("province_told", "market", "channel_told", "at", "judged_there")}),
        (_("Judged by"), {"fields": ("policy_told", "basis_told")}),
        (_("Who asked"), {"fields": ("actor", "acting_for", "correlation_id", "token_id")}),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Model], search_term: str
    ) -> tuple[QuerySet[Model], bool]:
        found, twice = super().get_search_results(request, queryset, search_term)
        try:
            hashes = read_point(search_term)[1]
        except ValidationError:
            return found, twice
        return found | queryset.filter(Q(phone_digest__in=hashes) | Q(email_digest__in=hashes)), twice

    @admin.display(description=_("contacted anyway"))
    def all_the_same(self, decision: ContactDecision) -> str:
        if decision.overridden:
            return str(_("overridden"))
        return str(_("it took place")) if decision.happened else ""

    channel_told = column(_("channel"), lambda decision: channel_name(decision.channel), ordering="channel")
    province_told = column(_("province"), "province", words=dict(Province.choices))
    why = column(_("answer"), "reason", words=SENTENCES, ordering="reason")
    phone_hash = column(_("keyed hash of the phone number"), "phone_digest")
    email_hash = column(_("keyed hash of the e-mail address"), "email_digest")

    @admin.display(description=_("market policy"))
    def policy_told(self, decision: ContactDecision) -> str:
        if decision.policy_id is None:
            return str(_("there was none"))
        return gettext("no. %(id)s, version %(version)s") % {
            "id": decision.policy_id,
            "version": decision.policy_version,
        }

    basis_told = column(_("versions used"), lambda decision: facts(decision.basis, BASIS))
    where = column(_("place"), lambda decision: f"{decision.province}/{decision.market}", ordering="province")

    @admin.display(description=_("local time"))
    def local_time(self, decision: ContactDecision) -> str:
        return there(decision.at, decision.zones[0]) if decision.zones else "–"

    @admin.display(description=_("local times"))
    def judged_there(self, decision: ContactDecision) -> str:
        return ", ".join(f"{there(decision.at, zone)} ({zone_name(zone)})" for zone in decision.zones) or "–"


@admin.register(HashKeyCheck)
class HashKeyCheckAdmin(ReadOnlyAdmin):
    """The keys that hash the contact points, shown by their fingerprints, the newest first."""

    list_display = ("id", "fingerprint", "added_at", "moved_at", "dropped_at")
    list_display_links = None
    ordering = ("-id",)
