"""Base classes of the admin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_permission_codename
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.core.validators import MinLengthValidator
from django.db import models
from django.db.models import Model
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, resolve, reverse
from django.utils.formats import number_format
from django.utils.functional import cached_property, lazy
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from simple_history.admin import SimpleHistoryAdmin
from simple_history.template_utils import HistoricalRecordContextHelper
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextareaWidget

from governance.core import hooks
from governance.core.actors import Actor
from governance.core.errors import Refused
from governance.core.reasons import LEAST, too_short
from governance.core.request_values import RequestValue, correlation_id_of
from governance.core.strict_json import read_json
from governance.core.versions import BOOKKEEPING, Versioned, restored

if TYPE_CHECKING:
    from django.contrib.admin.options import _FieldOpts
    from django_stubs_ext import StrPromise

ASKED_BY_FILTERS = ("exact", "gte", "lt", "isnull", "isempty", "id__exact")
MOST_LISTED = 10_000  # rows of a list that can be paged through; others are found by search and filters
CONFIRMED = "confirmed"  # form field: the stamp of the warnings that were read
VERSION = ("version", "changed_by", "reason", "updated_at", "correlation_id")
# the last fields of the forms of versioned rows
WHY_AND_VERSION: tuple[tuple[StrPromise, _FieldOpts], ...] = (
    (_("Why"), {"fields": ("change_reason", "seen_version")}),
    (_("This version"), {"fields": VERSION}),
)
REFUSAL: RequestValue[Refused] = RequestValue("refusal")
SHOWS_HISTORY: RequestValue[bool] = RequestValue("shows_history")
LINE = 76  # characters that a form's text area shows without wrapping


def by_of(request: HttpRequest) -> Actor:
    """Return the actor of an admin page's signed-in user."""
    user = request.user
    if isinstance(user, AnonymousUser):
        raise PermissionError("nobody is signed in")
    return hooks.actor_of(user, correlation_id=correlation_id_of(request))


class FirstThousands(Paginator):  # type: ignore[type-arg]  # no subscript at run time
    """Pages through the first 10,000 rows: counting ten million to number the pages takes seconds."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:MOST_LISTED].count())


class ChoosesRows(ModelAdmin):
    """A list whose actions show an error if a selected row's id is invalid; Django itself would fail.

    So it would for a row that is looked up by a column without a name, and for `id__range=1` in a URL.
    """

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        return super().get_object(request, object_id, from_field or None)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow only the list's own filters: others scan the whole table, or are invalid."""
        asked = ["pk", "id"]
        one: Any
        for one in self.get_list_filter(request):
            if isinstance(one, type):  # a filter of our own, which queries what it needs
                asked.append(str(getattr(one, "parameter_name", "")))
                continue
            name = one if isinstance(one, str) else one[0]
            asked += [name, *(f"{name}__{how}" for how in ASKED_BY_FILTERS)]
        return lookup in asked and bool(super().lookup_allowed(lookup, value, request))

    def response_action(self, request: HttpRequest, queryset: models.QuerySet[Model]) -> HttpResponse | None:  # type: ignore[override]  # the stubs know a later Django's
        try:
            for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.clean(chosen, None)
        except ValidationError:
            self.message_user(request, gettext("Select rows, then an action."), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset)


class LongList(ChoosesRows):
    """A list that opens as fast with millions of rows: nothing is counted to the end."""

    paginator = FirstThousands
    list_per_page = 50
    nothing_yet: ClassVar[Any] = ""  # the text of an empty list
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER


class ReadOnlyAdmin(LongList):
    """A read-only admin class, for superusers too."""

    actions = None
    list_fullwidth = True

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def reason_field(label: Any, max_length: int = 200, help_text: Any = "", **more: Any) -> forms.CharField:
    """Return a form field for a reason, two lines high."""
    widget = UnfoldAdminTextareaWidget(attrs={"rows": 2})
    return forms.CharField(label=label, max_length=max_length, help_text=help_text, widget=widget, **more)


class WhyForm(forms.Form):
    """The reason for changing several rows."""

    reason = reason_field(_("Reason"))


def ask_why(
    screen: admin.ModelAdmin[Model],
    request: HttpRequest,
    form: forms.Form,
    action: str,
    title: object,
    **more: object,
) -> HttpResponse:
    """Show a form between selecting the rows and an action; `more` is additional template context."""
    context = {
        **screen.admin_site.each_context(request),
        "opts": screen.opts,
        "title": title,
        "form": form,
        "action": action,
        **more,
    }
    return TemplateResponse(request, "admin/ask_why.html", context)


def act_on_each(request: HttpRequest, rows: Iterable[Any], act: Callable[[Any], object]) -> int:
    """Apply an action to each row, show a warning for each refusal, and return how many succeeded."""
    done = 0
    for row in rows:
        try:
            act(row)
        except Refused as refusal:
            messages.warning(request, f"{row}: {refusal}")
        else:
            done += 1
    return done


class Warned(Refused):
    """Saving would be dangerous: the user has to read the warnings and confirm them."""

    def __init__(self, warnings: list[str]) -> None:
        super().__init__("confirm", gettext("Nothing is saved yet: read the warning and confirm it."))
        self.warnings = warnings

    @property
    def stamp(self) -> str:
        return stamp(self.warnings)


def stamp(warnings: list[str]) -> str:
    """Return a stamp that confirms exactly these warnings."""
    return hashlib.sha256("\n".join(warnings).encode()).hexdigest()[:32]


def explained(form: forms.BaseForm, name: str = "change_reason") -> None:
    """Make a form require a reason of at least 10 characters."""
    if field := form.fields.get(name):
        field.validators.append(MinLengthValidator(LEAST, lazy(too_short, str)()))
        field.help_text = (
            format_lazy("{} {}", _("At least 10 characters."), field.help_text)
            if field.help_text
            else _("At least 10 characters.")
        )


class ChangeReasonForm(forms.Form):
    """A form with a reason for a change."""

    change_reason = reason_field(
        _("Reason for this change"),
        max_length=500,
        help_text=_("Stored with the version, so that the change can be explained later."),
    )


class RowForm(forms.ModelForm):  # type: ignore[type-arg]  # no subscript at run time
    """A form of a row, of the model that its `Meta` or the admin names."""


class ReasonForm(ChangeReasonForm, RowForm):
    """A row's form that always requires a reason."""


def pretty_json(value: object, margin: str = "") -> str:
    """Return JSON for display: what fits on a line on one line, the rest indented."""
    line = json.dumps(value, ensure_ascii=False)
    if len(margin) + len(line) <= LINE or not value or not isinstance(value, dict | list):
        return line
    deeper = margin + "  "
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(key, ensure_ascii=False)}: {pretty_json(item, deeper)}"
            for key, item in value.items()
        ]
        start, end = "{", "}"
    else:
        parts = [pretty_json(item, deeper) for item in value]
        start, end = "[", "]"
    return start + "\n" + ",\n".join(deeper + part for part in parts) + "\n" + margin + end


class JSONText(forms.JSONField):
    """JSON typed by a person: shown indented, parsed as strictly as in the API."""

    empty_values: Any = (None, "")  # an empty list or object is a value
    widget = UnfoldAdminTextareaWidget(attrs={"rows": 14, "class": "font-mono", "spellcheck": "false"})

    def prepare_value(self, value: object) -> Any:
        return value if isinstance(value, str) else pretty_json(value)

    def to_python(self, value: object) -> Any:
        if value in self.empty_values:
            return None
        try:
            return read_json(value) if isinstance(value, str) else value
        except ValueError as wrong:
            sentence = _("This is not readable JSON: %(why)s")
            raise forms.ValidationError(sentence, code="invalid", params={"why": wrong}) from None

    def bound_data(self, data: Any, initial: object) -> object:
        return initial if self.disabled else data

    def has_changed(self, initial: object, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != initial)
        except forms.ValidationError:
            return True


class VersionForm(ReasonForm):
    """A form of a versioned row; `seen_version` detects concurrent changes."""

    seen_version = forms.IntegerField(
        label=_("Version that was read"),
        widget=forms.HiddenInput,
        required=False,
        min_value=0,
        max_value=2**31 - 1,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "seen_version" in self.fields:
            self.fields["seen_version"].initial = self.instance.version if self.instance.pk else 0


class ShowsRefusals(ModelAdmin):
    """A form that shows a service's refusal at the fields that it names, and keeps the input."""

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        if not REFUSAL.is_on(request):
            return form
        refusal = REFUSAL.required(request)

        class Told(form):  # type: ignore[misc,valid-type]  # made by the admin
            def clean(self) -> Any:
                data = super().clean()
                told = [
                    (field, sentences) for field, sentences in refusal.errors.items() if field in self.fields
                ]
                for field, sentences in told:
                    self.add_error(field, [str(sentence) for sentence in sentences])
                if not told:
                    self.add_error(None, str(refusal.message) or refusal.code)
                return data

        return Told

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, object] | None = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except Refused as refusal:
            REFUSAL.put(request, refusal)  # read by get_form in the second pass
            return super().changeform_view(request, object_id, form_url, extra_context)


class ServiceAdmin(ShowsRefusals, LongList):
    """An admin class whose saving calls a service.

    Subclasses implement `serve(request, obj, form, change)`. A refusal is shown in the form, which keeps the
    input. Rows are never deleted here.
    """

    list_fullwidth = True
    actions: Sequence[str] | None = None
    # form field -> what read-only users see instead
    shown_instead: ClassVar[dict[str, str]] = {}
    # read-only once the row exists: changing them would apply the policy elsewhere
    fixed: ClassVar[tuple[str, ...]] = ()

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return (*fields, *self.fixed) if obj is not None else fields

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def serve(self, request: HttpRequest, obj: Any, form: BaseForm, change: bool) -> models.Model:
        """Save through the service and return the row. Raises Refused."""
        raise NotImplementedError

    def save_model(self, request: HttpRequest, obj: Model, form: BaseForm, change: bool) -> None:
        saved = self.serve(request, obj, form, change)
        obj.pk = saved.pk
        obj._state.adding = False

    def get_fieldsets(self, request: HttpRequest, obj: object = None) -> Any:
        """Leave out, for read-only users, the fields that only the form needs."""
        fieldsets = super().get_fieldsets(request, obj)
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        if may and not SHOWS_HISTORY.of(request):
            return fieldsets
        form: Any = self.form
        asked = set(form.base_fields) - {field.name for field in self.model._meta.get_fields()}
        shown = []
        for title, options in fieldsets:
            fields = [
                self.shown_instead.get(name, name) if isinstance(name, str) else name
                for name in options["fields"]
                if name not in asked
            ]
            if fields:
                shown.append((title, {**options, "fields": fields}))
        return shown


class RestoreForm(ChangeReasonForm):
    """The reason for restoring an old version; `seen_version` detects concurrent changes."""

    seen_version = forms.IntegerField(widget=forms.HiddenInput, min_value=0, max_value=2**31 - 1)


class DifferencesInWords(HistoricalRecordContextHelper):
    """Shows the differences of two versions like the other pages: yes and no, choices by label."""

    DEFAULT_MAX_DISPLAYED_DELTA_CHANGE_CHARS = 400

    def prepare_delta_change_value(self, change: Any, value: object) -> object:
        field = self.model._meta.get_field(change.field)
        if value is None or value == "":
            return "–"
        if isinstance(value, bool):
            return gettext("yes") if value else gettext("no")
        if isinstance(value, Decimal):
            return number_format(f"{value.normalize():f}", force_grouping=True)
        if isinstance(field, models.Field) and field.choices:
            return dict(field.flatchoices).get(value, value)
        return super().prepare_delta_change_value(change, value)


class HistoryAdmin(SimpleHistoryAdmin, ServiceAdmin):
    """A service's admin class with every earlier version, which can be compared and restored as a new one.

    Restoring goes through `serve`, like any other change: with its reason, its validation and its refusals.
    """

    careful: ClassVar[bool] = False  # whether every reason needs at least 10 characters
    differences: ClassVar[type[DifferencesInWords]] = DifferencesInWords
    object_history_list_template = "admin/versions.html"
    object_history_form_template = "admin/version.html"

    def get_historical_record_context_helper(self, request: HttpRequest, historical_record: object) -> Any:
        return self.differences(self.model, historical_record)

    def set_history_delta_changes(
        self, request: HttpRequest, historical_records: Any, foreign_keys_are_objs: bool = True
    ) -> None:
        """Compare each version with the previous one, in the fields that people decide."""
        newer: Any = None
        for record in historical_records:
            if newer is not None:
                kept = BOOKKEEPING & {field.name for field in record.tracked_fields}
                delta = newer.diff_against(
                    record, excluded_fields=kept, foreign_keys_are_objs=foreign_keys_are_objs
                )
                helper = self.get_historical_record_context_helper(request, newer)
                newer.history_delta_changes = helper.context_for_delta_changes(delta)
            newer = record

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_restore"
        restore = self.admin_site.admin_view(self.restore_view)
        return [
            path("<path:object_id>/history/<int:version_id>/restore/", restore, name=name),
            *super().get_urls(),
        ]

    def warnings_of(self, before: Any, after: Any) -> list[str]:
        """Return sentences on the dangers of saving `after` over `before` (None: a new row)."""
        return []

    def look_again(self, request: HttpRequest, after: object) -> None:
        """Raise Warned if saving this is dangerous and was not confirmed."""

    def may_restore(self, request: HttpRequest, obj: object) -> bool:
        return issubclass(self.model, Versioned) and self.has_change_permission(request, obj)

    def restore_view(self, request: HttpRequest, object_id: str, version_id: int) -> HttpResponse:
        """Show what an old version would change, ask why, and save it as a new one."""
        row = self.get_object(request, unquote(object_id))
        old = row.history.filter(pk=version_id).first() if hasattr(row, "history") else None
        if old is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.may_restore(request, row):
            raise PermissionDenied
        history = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_history", args=[row.pk])
        form = RestoreForm(request.POST or None, initial={"seen_version": row.version})
        if self.careful:
            explained(form)
        refusal, warned = "", None
        if form.is_valid():
            again = restored(row, old)
            try:
                self.look_again(request, again)
                self.serve(request, again, form, True)
            except Warned as found:
                warned = found
            except Refused as refused:
                refusal = " ".join(refused.sentences)
            else:
                messages.success(request, gettext("The old version is in force again."))
                return HttpResponseRedirect(history)
        helper = self.get_historical_record_context_helper(request, old)
        delta = old.diff_against(
            row.history.order_by("history_id").last(), excluded_fields=BOOKKEEPING, foreign_keys_are_objs=True
        )
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "title": gettext("Restore version %(version)s of %(what)s")
            % {"version": old.version, "what": row},
            "changes": helper.context_for_delta_changes(delta),
            "form": form,
            "refusal": refusal,
            "warned": warned,
        }
        return TemplateResponse(request, "admin/restore.html", context)

    def render_history_view(
        self, request: HttpRequest, template: str, context: Any, **kwargs: object
    ) -> HttpResponse:
        # the links of the page are the model's, not those of the table of its versions
        shown = {**context, "opts": self.opts}
        if template == self.object_history_form_template and self.may_restore(request, context["original"]):
            name = f"admin:{self.opts.app_label}_{self.opts.model_name}_restore"
            shown["restore"] = reverse(name, args=resolve(request.path).args)
        return super().render_history_view(request, template, shown, **kwargs)

    def revert_disabled(self, request: HttpRequest, obj: object = None) -> bool:
        return True

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        if issubclass(self.model, Versioned):
            fields = (*fields, *VERSION)
        if not SHOWS_HISTORY.of(request):
            return fields
        return tuple({*fields, *(field.name for field in self.model._meta.fields)})

    def history_form_view(
        self,
        request: HttpRequest,
        object_id: str,
        version_id: str,
        extra_context: dict[str, object] | None = None,
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied  # it would save with view permission only
        SHOWS_HISTORY.put(request, True)
        return super().history_form_view(request, object_id, version_id, extra_context)


class DeletesWithReason(ModelAdmin):
    """An admin class whose deletion asks why and calls a service: `remove(request, obj, reason)`."""

    delete_confirmation_template = "admin/delete_with_reason.html"

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        right = get_permission_codename("delete", self.opts)
        return bool(request.user.has_perm(f"{self.opts.app_label}.{right}"))

    def remove(self, request: HttpRequest, obj: object, reason: str) -> None:
        raise NotImplementedError

    def delete_model(self, request: HttpRequest, obj: object) -> None:
        self.remove(request, obj, request.POST.get("change_reason", "").replace("\0", "")[:500])

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        try:
            return super().delete_view(request, object_id, extra_context)
        except Refused as refusal:
            for sentence in refusal.sentences:
                messages.error(request, sentence)
            return HttpResponseRedirect(request.get_full_path())


class TellsOfLead(ModelAdmin):
    """An admin class of rows that belong to a lead, with a link to their timeline.

    `lead_key` is the lead's id.
    """

    lead_key: str
    actions_detail: Sequence[str] = ("time_line",)

    @action(description=_("Timeline of the lead"), url_path="time-line", permissions=["view"])
    def time_line(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        lead_id = row
        for part in self.lead_key.split("."):
            lead_id = getattr(lead_id, part)
        return HttpResponseRedirect(f"{reverse('lead_line')}?{urlencode({'lead': lead_id})}")


class FewRows:
    """Refuse an inline form with thousands of rows: rendering them takes ten seconds and more."""

    most_rows = 200

    def get_max_num(self, request: HttpRequest, obj: object = None, **given: object) -> int:
        most = super().get_max_num(request, obj, **given)  # type: ignore[misc]  # an inline's
        return self.most_rows if most is None else int(most)

    def get_formset(self, request: HttpRequest, obj: object = None, **given: object) -> object:
        return super().get_formset(request, obj, absolute_max=self.most_rows, **given)  # type: ignore[misc]  # an inline's


class NamedCells:
    """Give each cell of an inline table its column's name: the theme shows it only above the column."""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **given: object) -> object:
        field = super().formfield_for_dbfield(db_field, request, **given)  # type: ignore[misc]  # an inline's
        if field is not None:
            field.widget.attrs.setdefault("aria-label", field.label or capfirst(str(db_field.verbose_name)))
        return field
