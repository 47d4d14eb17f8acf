"""The admin page for erasing a person, for packs that keep records of people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldBooleanWidget

from governance.core.admin.base import by_of
from governance.core.errors import Refused
from governance.retention.erasing import erase_person, preview
from governance.retention.reasons import Why


class EraseForm(forms.Form):
    """The reason for erasing a person, and a confirmation."""

    why = forms.ChoiceField(
        label=_("Why"),
        choices=[("", "–"), *Why.choices],
        widget=UnfoldAdminSelectWidget,
        help_text=_(
            "If the person asked for it, their numbers and addresses also go on our do-not-contact "
            "list, as keyed hashes, so that a list bought later does not bring them back."
        ),
    )
    sure = forms.BooleanField(
        label=_("This cannot be undone, and I mean this person"), widget=UnfoldBooleanWidget
    )


class ErasesPeople(ModelAdmin):
    """An admin class for records of people, each of which can be erased; erased ones are read-only.

    `person_kind` is the registered kind of the records.
    """

    person_kind: str
    actions_detail: Sequence[str] = ("erase",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        erased = obj is not None and obj.erasure_id is not None
        return not erased and super().has_change_permission(request, obj)

    def has_erase_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        if not request.user.has_perm(erase_person.right):
            return False
        found = self.get_object(request, unquote(str(object_id)))
        return found is None or found.erasure_id is None

    @action(
        description=_("Erase this person"),
        url_path="erase",
        permissions=["erase"],
        variant=ActionVariant.DANGER,
    )
    def erase(self, request: HttpRequest, object_id: str) -> HttpResponse:
        record = self.get_object(request, unquote(object_id))
        if record is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        listed = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        by = by_of(request)
        form = EraseForm(request.POST or None)
        try:
            if form.is_valid():
                why = form.cleaned_data["why"]
                done = erase_person(self.person_kind, record.pk, why=why, by=by, at=timezone.now())
                text = ngettext(
                    "Personal information deleted, with %(count)s related row.",
                    "Personal information deleted, with %(count)s related rows.",
                    done.rows,
                )
                messages.success(request, text % {"count": done.rows})
                return HttpResponseRedirect(listed)
            seen = preview(self.person_kind, record.pk, by=by)
        except Refused as refusal:
            messages.error(request, str(refusal.message))
            return HttpResponseRedirect(listed)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": record,
            "title": gettext("Erase a person"),
            "form": form,
            "seen": seen,
        }
        return TemplateResponse(request, "admin/erase.html", context)
