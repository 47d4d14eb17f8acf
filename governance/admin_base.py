"""What the admin screens of all rooms and packs share."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextareaWidget

from governance.actors import By
from governance.errors import Refused
from governance.people.rules import by_user


def by_of(request: HttpRequest) -> By:
    """Return the signed-in person of an admin screen or page."""
    user = request.user
    if isinstance(user, AnonymousUser):
        raise PermissionError("nobody is signed in")
    return by_user(user, correlation_id=str(getattr(request, "correlation_id", "")))


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """A screen that shows and changes nothing; superusers included."""

    actions = None
    list_fullwidth = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReasonForm(forms.ModelForm):  # type: ignore[type-arg]  # the admin sets the model
    """A form that asks why, every time."""

    change_reason = forms.CharField(
        label=_("Reason for this change"), widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}), max_length=500,
        help_text=_("Kept with the version, for whoever asks later."),
    )  # fmt: skip


class ServiceAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """A screen whose saving calls a service.

    Subclasses implement `serve(request, obj, form, change)`. A refusal is shown and the person is sent back.
    Rows are never deleted here.
    """

    list_fullwidth = True
    actions: ClassVar[Any] = None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def serve(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> models.Model:
        """Save through the service and return the row. Raises Refused."""
        raise NotImplementedError

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        saved = self.serve(request, obj, form, change)
        obj.pk = saved.pk
        obj._state.adding = False

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)  # type: ignore[no-any-return]  # untyped
        except Refused as refusal:
            messages.error(request, str(refusal.message) or refusal.code)
            for field, sentences in refusal.errors.items():
                messages.error(request, f"{field}: {' '.join(map(str, sentences))}")
            return HttpResponseRedirect(request.get_full_path())
