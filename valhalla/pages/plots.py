"""The reports page: the metrics of the last 30 days as charts, each with its table.

All of them were computed before by jobs or are in bounded rows: a fixed number of queries, however large the
tables are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _

from buyers.models import BuyerLiquidityNode
from buyers.rules import CLOSE_RATE, LOWER_END, RESPONSE_RATE, beta_quantile
from followups.models import SlaSnapshot
from governance.core.numbers import percent
from governance.core.property_types import PropertyType
from governance.kpi.querysets import RATES_OVER, targets
from governance.tripwire.querysets import local_day
from valhalla.pages.board import shade
from valhalla.pages.entry import for_managers
from valhalla.pages.navigation import figures_of

NODES = 120  # the hottest, for the heat map and the rates
MARKETS = 20  # in a chart; more would not be readable
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 220, 56, 12, 12, 28


@dataclass(frozen=True, slots=True)
class Span:
    """A rate with its 90 % credible interval, in percent."""

    told: str
    interval: str
    at: str
    low: str
    wide: str
    counted: str


def span(hits: int, misses: int) -> Span | None:
    """Return hits of hits + misses with the 5 % and 95 % quantiles of Beta(hits + 1, misses + 1).

    That is the posterior of a rate with a uniform prior, which also scores markets. None without any events.
    """
    counted = hits + misses
    if not counted:
        return None
    low, high = (beta_quantile(end, hits + 1, misses + 1) for end in (LOWER_END, 1 - LOWER_END))
    rate = hits / counted
    return Span(
        percent(rate, 0),
        _("%(low)s to %(high)s") % {"low": percent(low, 0), "high": percent(high, 0)},
        f"{rate * 100:.1f}",
        f"{low * 100:.1f}",
        f"{(high - low) * 100:.1f}",
        number_format(counted, force_grouping=True),
    )


@for_managers
def plots(request: HttpRequest) -> HttpResponse:
    """Show the charts, in four queries besides those of every admin page."""
    today = local_day(timezone.now())
    nodes = list(BuyerLiquidityNode.objects.hottest_first()[:NODES])
    goal = targets().get("followup_sla")
    context = {
        **admin.site.each_context(request),
        "title": _("Reports"),
        "sla": _sla(today, float(goal.value) if goal else None),
        "funnel": _funnel(today),
        "rates": _rates(nodes),
        "heat": _heat(nodes),
        "types": [PropertyType(kind).label for kind in _types(nodes)],
        "offers": _offers(figures_of(request)),
    }
    return TemplateResponse(request, "admin/figures.html", context)


def _sla(today: date, goal: float | None) -> dict[str, object] | None:
    """Return each day's share of tasks completed within two allowed hours; None without any."""
    days = list(
        SlaSnapshot.objects.filter(
            dimension="ALL", value="", day__gte=today - RATES_OVER, within_2h__isnull=False
        ).order_by("day")
    )
    if not days:
        return None
    since = today - RATES_OVER
    points = [(_x((day.day - since).days), _y(float(day.within_2h or 0))) for day in days]
    tasks = sum(day.count for day in days)
    whole = sum(float(day.within_2h or 0) * day.count for day in days) / tasks if tasks else 0.0
    told = _("%(share)s of the %(count)s tasks that came due were done within two allowed hours.") % {
        "share": percent(whole, 0),
        "count": number_format(tasks, force_grouping=True),
    }
    return {
        "told": told + (" " + _("The target is %(target)s.") % {"target": percent(goal)} if goal else ""),
        "points": points,
        "path": " ".join(f"{x},{y}" for x, y in points),
        "goal": _y(goal) if goal else "",
        "ticks": [{"y": _y(share), "text": percent(share)} for share in (0, 0.25, 0.5, 0.75, 1)],
        "marks": [
            {"x": _x(number), "text": date_format(since + timedelta(days=number), "j N")}
            for number in (1, 8, 15, 22, 29)
        ],
        "heads": [_("Day"), _("Within 2 hours"), _("Tasks"), _("Median (minutes)")],
        "table": [
            (
                date_format(day.day, "Y-m-d"),
                [
                    percent(day.within_2h or 0, 0),
                    day.count,
                    "–" if day.median_minutes is None else round(day.median_minutes),
                ],
            )
            for day in reversed(days)
        ],
    }


def _x(number: int) -> str:
    return f"{LEFT + (WIDTH - LEFT - RIGHT) * number / RATES_OVER.days:.1f}"


def _y(share: float) -> str:
    return f"{TOP + (HEIGHT - TOP - BOTTOM) * (1 - share):.1f}"


def _funnel(today: date) -> dict[str, object] | None:
    """Return how many tasks came due at each step of the ladders; None without any."""
    found = (
        SlaSnapshot.objects.filter(dimension="STEP", day__gte=today - RATES_OVER)
        .exclude(value="")
        .order_by()
        .values_list("value")
        .annotate(tasks=Sum("count"))
    )
    steps = sorted((int(step), tasks) for step, tasks in found if step.isdigit())
    most = max((tasks for _step, tasks in steps), default=0)
    if not most:
        return None
    first, last = steps[0][1], steps[-1]
    told = _("For every 100 tasks of the first step, %(count)s came due at step %(step)s.") % {
        "count": round(100 * last[1] / first) if first else "–",
        "step": last[0],
    }
    rows = [
        {
            "step": step,
            "tasks": number_format(tasks, force_grouping=True),
            "wide": f"{70 * tasks / most:.1f}",
            "label": f"{13 + 70 * tasks / most:.1f}",
            "y": number * 34 + 4,
            "text": number * 34 + 21,
        }
        for number, (step, tasks) in enumerate(steps)
    ]
    return {
        "told": told,
        "rows": rows,
        "height": len(rows) * 34,
        "heads": [_("Step"), _("Tasks"), _("Of the largest")],
        "table": [
            (row["step"], [row["tasks"], percent(tasks / most, 0)])
            for row, (_step, tasks) in zip(rows, steps, strict=True)
        ],
    }


def _rates(nodes: Sequence[BuyerLiquidityNode]) -> dict[str, object] | None:
    """Return the response and close rates of the hottest markets over all types; None without any."""
    counts: dict[str, list[int]] = {}
    for node in nodes:
        row = counts.setdefault(_place(node.province, node.market), [0, 0, 0, 0])
        counted = (*node.counts.of_rate(RESPONSE_RATE), *node.counts.of_rate(CLOSE_RATE))
        for number, count in enumerate(counted):
            row[number] += count
    shown = [(place, row) for place, row in counts.items() if sum(row)][:MARKETS]
    if not shown:
        return None
    return {
        "rows": [
            {"place": place, "response": span(row[0], row[1]), "close": span(row[2], row[3])}
            for place, row in shown
        ]
    }


def _place(province: str, market: str) -> str:
    return f"{province} {market}"


def _types(nodes: Sequence[BuyerLiquidityNode]) -> list[str]:
    """Return the property types that any of these nodes has, in their usual order."""
    found = {node.property_type for node in nodes}
    return [kind for kind in PropertyType.values if kind in found]


def _heat(nodes: Sequence[BuyerLiquidityNode]) -> list[dict[str, object]]:
    """Return the hottest markets with a shaded cell for each property type."""
    best = max((node.score_low for node in nodes), default=0) or 1
    by_place: dict[str, dict[str, BuyerLiquidityNode]] = {}
    for node in nodes:
        by_place.setdefault(_place(node.province, node.market), {})[node.property_type] = node
    return [
        {
            "place": place,
            "cells": [
                {"shade": shade(float(found.score_low / best)), "score": number_format(found.score_low, 1)}
                if (found := kinds.get(kind)) is not None
                else {"shade": 0, "score": "–"}
                for kind in _types(nodes)
            ],
        }
        for place, kinds in list(by_place.items())[:MARKETS]
    ]


def _offers(counted: dict[str, Any]) -> dict[str, object] | None:
    """Return offers, acceptance and share of the ARV by market; None if there are none."""
    rows = counted["offers_by_market"].value if "offers_by_market" in counted else []
    if not rows:
        return None
    return {
        "rows": [
            {
                "place": _place(row["province"], row["market"]),
                "computed": number_format(row["computed"], force_grouping=True),
                "multiplier": percent(row["multiplier"], 1),
                "accepted": span(row["accepted"], row["rejected"]),
            }
            for row in rows[:MARKETS]
        ]
    }
