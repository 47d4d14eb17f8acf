"""The trace: everything that one call touched, in order, across all packs, found by its correlation id.

Every model with a correlation id is included automatically.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.apps import apps
from django.contrib import admin
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from followups.models import Lead
from governance.core.versions import Versioned
from valhalla.pages.entry import for_managers

MOST_OF_A_KIND = 100
MOST_LEADS = 20
MOST_TYPED = 200  # characters of a name or an address
# when a row was written: the first of these that its model has and that is set
WHEN = (
    "history_date", "completed_at", "released_at", "created_at", "at", "tripped_at", "since", "asked_at",
    "started_at", "updated_at",
)  # fmt: skip
WHO = ("actor", "changed_by", "asked_by")
# Tables without an index on the id: people add a few rows a month to them.
FEW = frozenset(
    {
        "governance.DoNotCallImport", "governance.Removal", "governance.Erasure", "governance.RiskThrottle",
        "governance.Backup", "governance.RegressionFiring", "followups.RealignRequest",
        "governance.ScheduledChange", "governance.RoleChange",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trail:
    """A row that a call wrote; `url` is blank if the reader has no screen for it."""

    at: datetime
    kind: str
    text: str
    who: str
    url: str


@dataclass(frozen=True, slots=True)
class Further:
    """A kind of row of which a call wrote more than are shown; `url` is the full list, if there is one."""

    kind: str
    url: str


def traced() -> Iterator[type[models.Model]]:
    """Return every model that stores correlation ids; of versioned rows, only their versions."""
    for model in apps.get_models():
        names = {field.name for field in model._meta.concrete_fields}
        if "correlation_id" in names and not issubclass(model, Versioned):
            yield model


def trails(correlation_id: str, request: HttpRequest) -> tuple[list[Trail], list[Further]]:
    """Return what a call touched, oldest first, and the kinds of which it touched more."""
    found: list[Trail] = []
    further: list[Further] = []
    for model in traced():
        rows = model._default_manager.filter(correlation_id=correlation_id).order_by()
        listed = list(rows[: MOST_OF_A_KIND + 1])
        if len(listed) > MOST_OF_A_KIND:
            further.append(_further(model, correlation_id, request))
        found += [_trail(row, request) for row in listed[:MOST_OF_A_KIND]]
    found.sort(key=lambda trail: trail.at)
    return found, further


def _further(model: type[models.Model], correlation_id: str, request: HttpRequest) -> Further:
    kind, screen = capfirst(str(model._meta.verbose_name_plural)), admin.site._registry.get(model)
    searched = getattr(screen, "search_fields", ())
    if (
        screen is None
        or not screen.has_view_or_change_permission(request)
        or not any(name.strip("=^").startswith("correlation_id") for name in searched)
    ):
        return Further(kind, "")
    listed = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return Further(kind, f"{listed}?{urlencode({'q': correlation_id})}")


def _trail(row: Any, request: HttpRequest) -> Trail:
    written = next(value for name in WHEN if (value := getattr(row, name, None)))
    who = next((str(value) for name in WHO if (value := getattr(row, name, ""))), "")
    original = getattr(row, "instance_type", None)
    if original is None:
        return Trail(written, capfirst(str(row._meta.verbose_name)), str(row), who, _link(row, request))
    key = getattr(row, original._meta.pk.attname)
    text = _("%(what)s: version %(version)s") % {"what": row.instance, "version": row.version}
    return Trail(
        written,
        capfirst(str(original._meta.verbose_name)),
        text,
        who,
        _address(original, "history", key, request),
    )


def _link(row: models.Model, request: HttpRequest) -> str:
    return _address(type(row), "change", row.pk, request)


def _address(model: type[models.Model], page: str, key: object, request: HttpRequest) -> str:
    screen = admin.site._registry.get(model)
    if screen is None or not screen.has_view_or_change_permission(request):
        return ""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=[key])


def leads_like(text: str, request: HttpRequest) -> list[Lead]:
    """Return the first leads with this id, name, phone number or e-mail address, matched as in their list."""
    screen = admin.site._registry[Lead]
    found, _repeats = screen.get_search_results(request, screen.get_queryset(request), text)
    return list(found.order_by("-pk")[:MOST_LEADS])


@for_managers
def trace(request: HttpRequest) -> HttpResponse:
    """Show what the call with this `id` touched, or the leads that match if there is no such call."""
    asked = request.GET.get("id", "").strip().replace("\0", "")[:MOST_TYPED]
    rows, further = trails(asked, request) if asked else ([], [])
    context = {
        **admin.site.each_context(request),
        "title": _("Search"),
        "leads": leads_like(asked, request) if asked and not rows else [],
        "asked": asked,
        "rows": rows,
        "further": further,
        "most": MOST_OF_A_KIND,
    }
    return TemplateResponse(request, "admin/trace.html", context)
