"""The admin's side bar: every screen under the work that it belongs to, and how much work is open there.

A screen that no section names is listed under System. The counts are the board's, as its job last computed
them: one query per page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from followups.services import COUNTED_TO
from governance.core.request_values import RequestValue
from governance.kpi.models import Figure
from governance.kpi.querysets import figures

FRESH_FOR = timedelta(minutes=15)  # older counts are not shown
FIGURES: RequestValue[dict[str, Figure]] = RequestValue("board_figures")


@dataclass(frozen=True, slots=True)
class Screen:
    """A model's screen: `title` in everyday words, if the model's name does not say enough.

    `waits` is the metric whose count is shown next to it, and `narrows` the filter that shows just those
    rows; with a `right`, for those who have it.
    """

    model: str
    title: str | Promise = ""
    waits: str = ""
    narrows: str = ""
    right: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is not a model's screen, by its URL name."""

    name: str
    title: str | Promise


Entry = Screen | Page

SECTIONS: list[tuple[str | Promise, list[Entry]]] = [
    (
        _("Operations"),
        [
            Page("admin:index", _("Operations board")),
            Page("figures", _("Reports")),
            Page("trace", _("Search")),
            Screen("governance.runbook"),
            Screen("governance.target", _("Targets")),
            Screen("governance.kpievent"),
            Page("schedules", _("Schedules")),
        ],
    ),
    (
        _("Contact policies"),
        [
            Screen("governance.marketpolicy", _("Contact policies")),
            Screen("governance.scheduledchange", _("Scheduled changes")),
            Screen("governance.statutoryhours", _("Legal calling hours")),
            Screen("governance.closure", _("Holidays and closures")),
            Screen("governance.cityzone"),
            Screen("governance.marketname", _("Market names")),
        ],
    ),
    (
        _("Follow-ups"),
        [
            Screen("followups.lead", waits="nobodys_leads", narrows="nobodys=yes"),
            Screen("followups.followuptask", _("Tasks"), waits="tasks_late", narrows="overdue=late"),
            Screen("followups.ladder"),
            Screen("followups.laddertemplate"),
            Screen("followups.inboundcontact"),
            Screen("followups.taskcorrection", _("Outcome corrections")),
            Screen("followups.slasnapshot"),
            Screen(
                "followups.lookupevent",
                _("Access log"),
                waits="lookup_bursts",
                narrows="bursts=yes",
                right="followups.review_lookups",
            ),
        ],
    ),
    (
        _("Buyers"),
        [
            Screen("buyers.buyer"),
            Screen("buyers.buyerliquiditynode", _("Liquidity by market")),
            Screen("buyers.buyerfeedbackevent", _("Buyer responses")),
        ],
    ),
    (
        _("Offers"),
        [
            Screen("offers.offer"),
            Screen("offers.offerpolicy"),
            Screen("offers.offerevidence", _("Offer evidence")),
            Screen("offers.offeroutcome"),
        ],
    ),
    (
        _("Control plane"),
        [
            Screen("governance.golivestate", _("Go-live and kill switch")),
            Screen("governance.riskpolicy", _("Risk caps")),
            Screen("governance.riskengine"),
            Screen("governance.riskledgerday"),
            Screen("governance.riskreservation"),
            Screen("governance.riskthrottle", waits="open_throttles", narrows="released_at__isempty=1"),
            Screen("governance.riskevent"),
            Screen("governance.regressionstate"),
            Screen("governance.regressionfiring"),
            Screen("governance.regressionpolicy"),
        ],
    ),
    (
        _("Automation · Heimdall"),
        [
            Screen("governance.heimdallpolicy"),
            Screen("governance.heimdallscorecardday"),
            Screen("governance.heimdallrecommendation", _("Recommendations")),
            Screen("governance.heimdallevent"),
        ],
    ),
    (
        _("Contact compliance"),
        [
            Screen("governance.contactdecision"),
            Screen("governance.suppression", _("Do-not-contact list")),
            Screen("governance.donotcallimport", _("National list imports")),
            Screen("governance.areacodelist", _("National lists by area code")),
            Screen("governance.areacodestatement", _("Area code statements")),
            Screen("governance.consent"),
            Screen("governance.consentstatement"),
            Screen("governance.retentionperiod"),
            Screen("governance.removal", _("Deleted after retention")),
            Screen("governance.erasure", _("Personal information deleted")),
        ],
    ),
    (
        _("People"),
        [
            Screen("governance.user"),
            Screen("governance.workprofile", _("Shifts and work profiles")),
            Screen("governance.absence"),
            Screen("governance.signin", _("Who is signed in")),
            Screen("governance.rolechange", _("Role changes")),
            Screen("governance.accountchange", _("Account changes")),
            Screen("governance.apitoken"),
            Screen("auth.group", _("Roles")),
            Screen("axes.accessattempt", _("Wrong passwords")),
        ],
    ),
    (
        _("System"),
        [
            Screen("django_celery_beat.periodictask", _("When jobs run")),
            Screen("governance.jobslot", _("Job runs")),
            Screen("governance.jobswitch"),
            Screen("governance.outboxmessage", _("Outgoing mail")),
            Screen("governance.backup"),
            Screen("governance.figure", _("Board metrics")),
            Screen("followups.realignrequest"),
            Screen("governance.heartbeat"),
            Screen("governance.schedulerlease"),
            Screen("governance.idempotentanswer"),
            Screen("governance.hashkeycheck", _("Contact keys")),
            Screen("django_celery_beat.crontabschedule", _("Times of day")),
            Screen("django_celery_beat.intervalschedule", _("Intervals")),
        ],
    ),
]


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the side bar for the current user, without what they may not see. Called by unfold."""
    shown = {
        model._meta.label_lower: screen
        for model, screen in admin.site._registry.items()
        if screen.has_view_or_change_permission(request)
    }
    named = {entry.model for _title, entries in SECTIONS for entry in entries if isinstance(entry, Screen)}
    others: list[Entry] = [Screen(label) for label in sorted(set(shown) - named)]
    counted = _fresh(figures_of(request))
    return [
        {
            "title": title,
            "separator": number > 0,
            "collapsible": number == len(SECTIONS) - 1,  # System: tables that few people need, collapsed
            "items": [
                _item(request, entry, counted)
                for entry in [*entries, *(others if number == len(SECTIONS) - 1 else [])]
                if isinstance(entry, Page) or entry.model in shown
            ],
        }
        for number, (title, entries) in enumerate(SECTIONS)
    ]


def places() -> dict[str, tuple[str | Promise, str | Promise]]:
    """Return the section and the title of each screen by the URL of its list."""
    return {
        _listed(entry): (section, _titled(entry))
        for section, entries in SECTIONS
        for entry in entries
        if isinstance(entry, Screen)
    }


def figures_of(request: HttpRequest) -> dict[str, Figure]:
    """Return the board's metrics, loaded once per request."""
    return FIGURES.once(request, figures)


def _fresh(counted: Mapping[str, Figure]) -> dict[str, int]:
    """Return the counts that are fresh enough to act on."""
    since = timezone.now() - FRESH_FOR
    return {
        name: figure.value
        for name, figure in counted.items()
        if isinstance(figure.value, int) and figure.counted_at >= since
    }


def _item(request: HttpRequest, entry: Entry, counted: Mapping[str, int]) -> dict[str, Any]:
    if isinstance(entry, Page):
        link = reverse(entry.name)
        return {"title": entry.title, "link": link, "active": request.path == link}
    screen = _listed(entry)
    item = {
        "title": _titled(entry),
        "link": screen,
        "active": request.path.startswith(screen),
    }
    waiting = counted.get(entry.waits, 0)
    if waiting and (not entry.right or request.user.has_perm(entry.right)):
        item["badge"] = _number(waiting)
        if entry.narrows:
            item["link"] = f"{screen}?{entry.narrows}"
    return item


def _listed(screen: Screen) -> str:
    return reverse("admin:{}_{}_changelist".format(*screen.model.split(".")))


def _titled(screen: Screen) -> str | Promise:
    return screen.title or capfirst(str(apps.get_model(screen.model)._meta.verbose_name_plural))


def _number(count: int) -> str:
    exceeds = count > COUNTED_TO
    return number_format(min(count, COUNTED_TO), force_grouping=True) + ("+" if exceeds else "")
