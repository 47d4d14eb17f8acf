"""Forms that show, before anything is saved, what the input means and what it would do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from governance.core.actors import Actor
from governance.core.admin.base import SHOWS_HISTORY, ChangeReasonForm, act_on_each, ask_why, by_of, explained
from governance.core.errors import Refused
from governance.core.request_values import RequestValue

MOST_SWITCHED = 200
DRAW, FORESEE = "_draw", "_foresee"


def live(name: str, content: object) -> SafeString:
    """Mark a part of a form to be redrawn while somebody types."""
    return format_html('<div id="live-{}" class="live">{}</div>', name, content)


def sentences(said: list[str]) -> SafeString:
    return format_html_join("", "<p>{}</p>", ((text,) for text in said))


DRAFT: RequestValue[QueryDict] = RequestValue("draft")


class LiveAdmin(ModelAdmin):
    """A form whose parts marked by `live` follow the input; previewing saves nothing.

    If the form has the read-only field `what_would_change`, its button asks what saving would do, and
    `foresee` answers it from the draft.
    """

    # the fields of a new row that a URL may fill in
    asked_by_address: ClassVar[tuple[str, ...]] = ("province", "market")
    change_form_after_template = "admin/live.html"

    class Media:
        css: ClassVar[dict[str, object]] = {"all": ["policies.css"]}
        js: ClassVar[list[str]] = ["policies.js"]

    def foresee(self, request: HttpRequest, draft: Any) -> list[str]:
        """Return sentences on what saving `draft` would do. Raises Refused."""
        raise NotImplementedError

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, str | list[str]]:
        return {name: request.GET[name] for name in self.asked_by_address if name in request.GET}

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, object] | None = None,
    ) -> HttpResponse:
        wanted = request.method == "POST" and (DRAW in request.POST or FORESEE in request.POST)
        may = self.has_change_permission(request) if object_id else self.has_add_permission(request)
        if wanted and may:
            DRAFT.put(request, request.POST)
            request.method = "GET"  # shown with the input, and not saved
        return super().changeform_view(request, object_id, form_url, extra_context)

    def get_form(
        self, request: HttpRequest, obj: object = None, change: bool = False, **kwargs: object
    ) -> type[forms.ModelForm[Any]]:
        form = super().get_form(request, obj, change, **kwargs)
        typed = DRAFT.of(request)
        if typed is None:
            return form

        class Draft(form):  # type: ignore[misc,valid-type]  # made by the admin
            def __init__(self, *args: object, **kwargs: object) -> None:
                super().__init__(typed, *args, **kwargs)
                if "change_reason" in self.fields:
                    self.fields["change_reason"].required = False
                    self.fields["change_reason"].validators = []

        return Draft

    def get_fieldsets(self, request: HttpRequest, obj: object = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if self.has_change_permission(request) and not SHOWS_HISTORY.of(request):
            return fieldsets
        kept = [
            (
                title,
                {**options, "fields": [name for name in options["fields"] if name != "what_would_change"]},
            )
            for title, options in fieldsets
        ]
        return [(title, options) for title, options in kept if options["fields"]]

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Model | None = None,
    ) -> HttpResponse:
        form = context["adminform"].form
        form.instance.unusable = set(form.errors)
        if FORESEE in (DRAFT.of(request) or {}):
            form.instance.foreseen = self._foreseen(request, form)
        return super().render_change_form(request, context, add, change, form_url, obj)

    @admin.display(description=_("before saving"))
    def what_would_change(self, draft: object) -> str:
        return render_to_string("admin/foresee.html", {"foreseen": getattr(draft, "foreseen", [])})

    def _foreseen(self, request: HttpRequest, form: Any) -> list[str]:
        if not form.is_valid():
            return [gettext("First correct what is marked above.")]
        try:
            return self.foresee(request, form.instance)
        except Refused as refusal:
            return refusal.sentences


class SwitchesMany(ModelAdmin):
    """A list whose rows can be switched on and off together, with a reason: `switch` calls the service."""

    actions: Sequence[str] | None = ("switch_on", "switch_off")

    def switch(self, row: Any, *, enabled: bool, by: Actor, reason: str) -> None:
        raise NotImplementedError

    def has_switch_permission(self, request: HttpRequest) -> bool:
        return bool(self.has_change_permission(request))

    def _switch(self, request: HttpRequest, rows: QuerySet[Model], action: str) -> HttpResponse | None:
        form = ChangeReasonForm(request.POST if "apply" in request.POST else None)
        if getattr(self, "careful", False):
            explained(form)
        chosen = list(rows.order_by("pk")[:MOST_SWITCHED])
        if not form.is_valid():
            title = getattr(self, action).short_description
            pks = [row.pk for row in chosen]
            return ask_why(self, request, form, action, title, chosen=pks, rows=chosen)
        by, reason = by_of(request), form.cleaned_data["change_reason"]

        @transaction.atomic
        def switch(row: object) -> None:
            self.switch(row, enabled=action == "switch_on", by=by, reason=reason)

        done = act_on_each(request, chosen, switch)
        text = (
            ngettext("%(count)s is on.", "%(count)s are on.", done)
            if action == "switch_on"
            else ngettext("%(count)s is off.", "%(count)s are off.", done)
        )
        messages.success(request, text % {"count": done})
        return None

    @admin.action(description=_("Switch on"), permissions=["switch"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[Model]) -> HttpResponse | None:
        return self._switch(request, queryset, "switch_on")

    @admin.action(description=_("Switch off"), permissions=["switch"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Model]) -> HttpResponse | None:
        return self._switch(request, queryset, "switch_off")
