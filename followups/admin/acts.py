"""Code shared by the lists of tasks and ladders: bulk actions with a reason, and filters by owner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.widgets import UnfoldAdminTextInputWidget

from followups import services
from followups.models import FollowUpTask, Lead
from governance.accounts.querysets import active
from governance.core.actors import ACTOR_LENGTH, Role, owner_key
from governance.core.admin.base import ReadOnlyAdmin, WhyForm, act_on_each, ask_why, by_of
from governance.core.admin.filters import Choices
from governance.core.errors import Refused

MOST_OWNERS = 200
MOST_AT_ONCE = 100
MOST_LEADS = 100
WHO_OWNS = (Role.VA, Role.CLOSER, Role.MANAGER)


class OwnerForm(WhyForm):
    """The new owner of tasks; empty makes them unassigned, so that everybody is offered them."""

    owner = forms.CharField(
        label=_("New owner"),
        max_length=ACTOR_LENGTH,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=_(
            "A username. Leave empty to unassign: the tasks are then offered to everybody. The other "
            "open tasks of the same ladders move too."
        ),
    )
    field_order = ("owner", "reason")


class ActsWithReason(ReadOnlyAdmin):
    """A list whose actions ask for a reason and call a service for each row."""

    actions: Any = None

    def act_with_reason(
        self,
        request: HttpRequest,
        queryset: QuerySet[Model],
        act: Callable[..., object],
        ids: QuerySet[Model, int],
        *,
        action: str,
        title: object,
        said: Callable[[int], str],
    ) -> HttpResponse | None:
        """Ask for a reason, then call the service `act` for each id, up to 100 of them.

        Shows which were refused and why, and with `said` how many were not.
        """
        form = WhyForm(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            return self.ask(request, queryset, form, action, title, MOST_AT_ONCE)
        by, at, reason = by_of(request), timezone.now(), form.cleaned_data["reason"]
        once = dict.fromkeys(ids[:MOST_AT_ONCE])
        done = act_on_each(request, once, lambda pk: act(pk, by=by, at=at, reason=reason))
        messages.success(request, said(done) % {"count": done})
        return None

    def stop_ladders(
        self, request: HttpRequest, queryset: QuerySet[Model], ids: QuerySet[Model, int], title: object
    ) -> HttpResponse | None:
        def said(count: int) -> str:
            return ngettext("%(count)s ladder was stopped.", "%(count)s ladders were stopped.", count)

        return self.act_with_reason(
            request, queryset, services.stop_ladder, ids, action="stop", title=title, said=said
        )

    def ask(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        form: WhyForm,
        action: str,
        title: object,
        most: int,
    ) -> HttpResponse:
        """Show the form between selecting the rows and the action."""
        chosen = request.POST.getlist("_selected_action")[:most]
        more = max(0, len(chosen) - 20)
        rows = [f"{row.lead.external_id} · {row}" for row in queryset.select_related("lead")[:20]]
        return ask_why(self, request, form, action, title, chosen=chosen, rows=rows, more=more)


class OwnerFilter(admin.SimpleListFilter):
    """Filters tasks by owner, or unassigned ones."""

    title = _("owner")
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
        people = active().filter(role__in=WHO_OWNS).order_by("key").values_list("key", "username")
        return [("-", _("nobody")), ("?", _("unknown owner")), *people[:MOST_OWNERS]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        value = self.value()
        if not value:
            return queryset
        if queryset.model is not FollowUpTask:
            queryset = queryset.annotate(owner_key=Lower("owner"))
        if value == "?":
            return queryset.exclude(owner_key="").exclude(owner_key__in=active().values("key"))
        return queryset.filter(owner_key="" if value == "-" else value)


def is_known(owner: str) -> bool:
    """Return whether an owner's name is that of somebody who can work their tasks; a blank one is."""
    return not owner.strip() or active().filter(role__in=WHO_OWNS, key=owner_key(owner)).exists()


def of_leads(queryset: QuerySet[Model], search_term: str) -> QuerySet[Model]:
    """Return the rows of leads whose id begins like this, up to 100 of them, found through its index."""
    if not search_term.strip():
        return queryset
    found = Lead.objects.filter(external_id__startswith=search_term.strip()).order_by("external_id")
    return queryset.filter(lead__in=list(found.values_list("pk", flat=True)[:MOST_LEADS]))


def tell(request: HttpRequest, refusal: Refused) -> None:
    for sentence in refusal.sentences:
        messages.error(request, sentence)
