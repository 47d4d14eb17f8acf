"""Code shared by the accounts' admin classes."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.widgets import AutocompleteSelect
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from governance.core.admin.base import (
    ChoosesRows,
    ask_why,
)
from governance.core.errors import Refused


class PersonSelect(AutocompleteSelect):
    """An autocomplete field for a person; the form refuses a value that is not an id without a query."""

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        ids = [one for one in value if str(one).isascii() and str(one).isdecimal() and len(str(one)) < 19]
        return super().optgroups(name, ids, attr)


class FindsPerson(ChoosesRows):
    """An admin class whose `user` is an autocomplete field."""

    autocomplete_fields = ("user",)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "user":
            kwargs["widget"] = PersonSelect(db_field, self.admin_site)
            kwargs["label"] = _("Person")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


def tell_form(form: forms.Form, refusal: Refused) -> None:
    """Add a refusal's errors to the form's fields that it names, or else to the reason."""
    told = {name: said for name, said in refusal.errors.items() if name in form.fields}
    for name, said in (told or {"reason": [refusal.message]}).items():
        form.add_error(name, [str(sentence) for sentence in said])


def ask(
    screen: ModelAdmin,
    request: HttpRequest,
    form: forms.Form,
    name: str,
    chosen: list[Any],
    rows: list[str],
    says: list[str],
) -> HttpResponse:
    """Show the form between selecting the rows and the action."""
    title = getattr(screen, name).short_description
    return ask_why(
        screen, request, form, name, title, chosen=[row.pk for row in chosen], rows=rows, says=says
    )
