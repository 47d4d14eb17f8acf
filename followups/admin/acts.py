"""What the lists of tasks and ladders share: acting on many rows with a reason, and whose they are."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from followups.models import FollowUpTask
from governance.actors import ACTOR_LENGTH
from governance.admin_base import ReadOnlyAdmin
from governance.errors import Refused
from governance.people.querysets import active


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


def tell(request: HttpRequest, refusal: Refused) -> None:
    for sentences in refusal.errors.values() or [[refusal.message]]:
        messages.error(request, " ".join(map(str, sentences)))
