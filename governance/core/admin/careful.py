"""Edits that can do harm: old and new side by side, a reason, and warnings to confirm.

A warning keeps the form with its input; it is saved once the same warnings were confirmed.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import NON_FIELD_ERRORS
from django.db import models
from django.db.models import Model
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from governance.core.admin.base import CONFIRMED, REFUSAL, HistoryAdmin, VersionForm, Warned, explained, stamp
from governance.core.admin.live import LiveAdmin, live
from governance.core.versions import BOOKKEEPING

Difference = tuple[str, str, str]  # the field's label, its old value and its new one


class CarefulForm(VersionForm):
    """A form of a versioned row whose reason needs at least 10 characters."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        explained(self)


class CarefulAdmin(LiveAdmin, HistoryAdmin):
    """An admin class of policies that shows changes while somebody types, and asks to confirm warnings."""

    careful = True
    form = CarefulForm
    change_form_before_template = "admin/careful.html"
    derived: ClassVar[frozenset[str]] = frozenset({"market_key"})  # columns derived from others

    def look_again(self, request: HttpRequest, after: object) -> None:
        """Raise Warned unless there is nothing to warn of, or exactly these warnings were confirmed."""
        warnings = self.warnings_of(self._before(after), after)
        if warnings and request.POST.get(CONFIRMED) != stamp(warnings):
            raise Warned(warnings)

    def save_model(self, request: HttpRequest, obj: Model, form: BaseForm, change: bool) -> None:
        self.look_again(request, obj)
        super().save_model(request, obj, form, change)

    def differences_of(self, before: models.Model | None, after: models.Model) -> list[Difference]:
        """Return the changed fields of a row, for display."""
        helper = self.differences(self.model, None)
        found = []
        for field in self.model._meta.concrete_fields:
            if before is None or field.primary_key or field.name in BOOKKEEPING | self.derived:
                continue
            change = SimpleNamespace(
                field=field.name, old=getattr(before, field.name), new=getattr(after, field.name)
            )
            if change.old != change.new:
                shown = [
                    str(helper.prepare_delta_change_value(change, one)) for one in (change.old, change.new)
                ]
                found.append((capfirst(str(field.verbose_name)), shown[0], shown[1]))
        return found

    def _before(self, after: Any) -> Any:
        return self.model._default_manager.filter(pk=after.pk).first() if after.pk else None

    @admin.display(description=_("what changes"))
    def old_and_new(self, draft: Any) -> str:
        typed = getattr(draft, "is_typed", False)
        changes = self.differences_of(self._before(draft), draft) if typed else []
        return live("changes", render_to_string("admin/differences.html", {"changes": changes}))

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return (*super().get_readonly_fields(request, obj), "old_and_new")

    def get_fieldsets(self, request: HttpRequest, obj: object = None) -> Any:
        """On a form that changes a row, show the changes before the reason."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            return fieldsets
        found = []
        for title, options in fieldsets:
            fields = list(options["fields"])
            if "change_reason" in fields:
                fields.insert(fields.index("change_reason"), "old_and_new")
            found.append((title, {**options, "fields": fields}))
        return found

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
        form.instance.is_typed = form.is_bound
        refusal = REFUSAL.of(request)
        if isinstance(refusal, Warned):
            changes = self.differences_of(self._before(form.instance), form.instance)
            form.errors.pop(NON_FIELD_ERRORS, None)  # shown at the top, with its subject
            context = {**context, "warned": refusal, "changes": changes, "errors": None}
        return super().render_change_form(request, context, add, change, form_url, obj)
