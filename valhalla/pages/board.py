"""The operations board: the first page for managers and auditors, which shows what needs attention.

Metrics that would take long are as a job last computed them; the rest comes from queries that read a bounded
part of an index. At most twelve queries, however large the tables are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from followups.services import COUNTED_TO, work_waiting
from governance.contact.do_not_call import ending_lists
from governance.contact.national_list import days_left
from governance.core.numbers import percent
from governance.core.places import Province
from governance.golive.banner import banner_at, state_of
from governance.golive.models import GoLiveState
from governance.golive.services import Standing, standing_at
from governance.kpi.models import Figure, Target
from governance.kpi.names import OPEN_THROTTLES, figure_label
from governance.kpi.querysets import figures, targets
from governance.kpi.rules import gap, is_met
from governance.risk.gauges import gauges_of
from governance.risk.models import RiskPolicy
from governance.risk.services import Snapshot, snapshot
from governance.tripwire.banner import standing_of
from governance.tripwire.models import RegressionState
from governance.tripwire.statistics import STATISTICS
from governance.tripwire.why import light
from governance.tripwire.wording import figure as told_figure
from governance.tripwire.wording import label, limit, note
from valhalla.pages.navigation import figures_of

STALE_AFTER = timedelta(minutes=15)
RISK_FIELDS = {field.name: field for field in RiskPolicy._meta.concrete_fields}
TRIPWIRES = 12  # with a tile of their own
MOST_AREA_CODES = 800  # more than the North American plan has
MOST_NAMED = 12  # shown in a tile
TILE, GAP = 64, 4  # of the map, in its own units
# Column and row of each tile: neighbours stay neighbours as far as squares allow, with the gulf in between.
TILES = {
    "YT": (0, 0), "NT": (1, 0), "NU": (2, 0), "NL": (6, 0),
    "BC": (0, 1), "AB": (1, 1), "SK": (2, 1), "MB": (3, 1), "ON": (4, 1), "QC": (5, 1), "PE": (7, 1),
    "NB": (6, 2), "NS": (7, 2),
}  # fmt: skip
SHADES = 4
GOOD, WATCH, BAD, UNKNOWN, PLAIN = "good", "watch", "bad", "unknown", "plain"


@dataclass(frozen=True, slots=True)
class Tile:
    """A metric with its status light.

    `state` is good, watch, bad, unknown, or plain if nothing is judged; `share` and `goal` are the fractions
    of a bar and of its target mark.
    """

    title: str
    figure: str
    state: str
    says: str
    target: str = ""
    note: str = ""
    url: str = ""
    share: float | None = None
    goal: float | None = None

    @property
    def width(self) -> str:
        """Return the bar's length in percent, at most 100."""
        return _percent_of_bar(self.share or 0.0)

    @property
    def aim(self) -> str:
        """Return where on the bar the target is, in percent; blank if there is none."""
        return _percent_of_bar(self.goal) if self.goal else ""


def _percent_of_bar(fraction: float) -> str:
    return f"{min(1.0, max(0.0, fraction)) * 100:.1f}"


@dataclass(frozen=True, slots=True)
class Section:
    """Tiles under a heading."""

    title: str
    tiles: list[Tile] = field(default_factory=list)


def dashboard(request: HttpRequest, context: dict[str, object]) -> dict[str, object]:
    """Fill the admin's first page; called by unfold."""
    board = board_at(timezone.now(), state_of(request), standing_of(request), figures_of(request))
    return context | {"title": _("Operations"), "board": board}


def board_at(
    at: datetime,
    switches: GoLiveState,
    tripwires: Sequence[RegressionState] = (),
    counted: dict[str, Figure] | None = None,
) -> dict[str, Any]:
    """Return the board's sections, its liquidity by province, and when the slow metrics were computed."""
    counted = figures() if counted is None else counted
    wanted, risk = targets(), snapshot(at)
    oldest = min((figure.counted_at for figure in counted.values()), default=None)
    return {
        "sections": [
            Section(
                _("Contact status"),
                [
                    _switches(switches),
                    _runbook(counted),
                    _lists(at),
                    _throttles(risk, wanted),
                    *_paused(counted),
                ],
            ),
            Section(_("Open work"), _work(counted, at)),
            Section(_("KPIs vs. target"), _rates(counted, wanted)),
            Section(_("Tripwires"), _tripwires(tripwires)),
            Section(_("Risk used today"), _risk(risk)),
        ],
        "liquidity": _liquidity(counted),
        "liquidity_told": _told_liquidity(counted),
        "counted_at": oldest,
        "is_stale": oldest is None or oldest < at - STALE_AFTER,
    }


def _switches(now: GoLiveState) -> Tile:
    """Return the tile of the switches, with the text of the banner on every page."""
    banner, standing = banner_at(now), standing_at(now)
    figure, light, says = {
        Standing.KILLED: (_("Kill switch engaged"), BAD, _("stopped")),
        Standing.OFF: (_("Off"), WATCH, _("off")),
        Standing.LIVE: (_("On"), GOOD, _("on")),
        Standing.NOT_ENFORCED: (
            _("Not enforced"),
            BAD if settings.PRODUCTION else WATCH,
            _("stops nothing"),
        ),
    }[standing]
    note = banner.sentence or _("Leads may be contacted.")
    url = reverse("admin:governance_golivestate_changelist")
    return Tile(_("Go-live"), figure, light, says, note=note, url=url)


def _runbook(counted: dict[str, Figure]) -> Tile:
    url = reverse("admin:governance_runbook_changelist")
    found = _value(counted, "runbook")
    if found is None:
        return _uncounted(_("Runbook"), url)
    blockers, warnings = found["blockers"], found["warnings"]
    note = ngettext("%(count)s warning.", "%(count)s warnings.", warnings) % {"count": warnings}
    if not blockers:
        light, says = (WATCH, _("needs attention")) if warnings else (GOOD, _("good"))
        return Tile(_("Runbook"), _("Clear"), light, says, note=note if warnings else "", url=url)
    figure = ngettext("%(count)s blocker", "%(count)s blockers", blockers) % {"count": blockers}
    return Tile(_("Runbook"), figure, BAD, _("keeps go-live off"), note=note if warnings else "", url=url)


def _throttles(risk: Snapshot, wanted: dict[str, Target]) -> Tile:
    held = risk.throttles
    target = wanted.get(OPEN_THROTTLES)
    met = is_met(target.comparison, target.value, Decimal(len(held))) if target else not held
    return Tile(
        _("Throttles"),
        _number(len(held)),
        GOOD if met else BAD,
        _("good") if met else _("holds reservations back"),
        _("Target: %(target)s") % {"target": target.told} if target else "",
        "; ".join(f"{engine}: {name}" for engine, name in held),
        reverse("admin:governance_riskthrottle_changelist") + "?released_at__isempty=1",
    )


def _paused(counted: dict[str, Figure]) -> list[Tile]:
    """Return a warning if a job is paused, else nothing."""
    names = _value(counted, "paused_jobs")
    if not names:
        return []
    figure = ngettext("%(count)s is paused", "%(count)s are paused", len(names)) % {"count": len(names)}
    return [
        Tile(_("Jobs"), figure, WATCH, _("needs attention"), note=", ".join(names), url=reverse("schedules"))
    ]


def _tripwires(standing: Sequence[RegressionState]) -> list[Tile]:
    """Return a tile for each tripwire that is armed or has fired, the most serious first."""
    if not standing:
        url = reverse("admin:governance_regressionpolicy_changelist")
        return [
            Tile(_("Tripwires"), "–", WATCH, _("off"), url=url, note=_("No tripwire is watching a metric."))
        ]
    tiles = [_tripwire(state) for state in standing[:TRIPWIRES]]
    more = len(standing) - len(tiles)
    if more:
        told = ngettext("%(count)s more is watching.", "%(count)s more are watching.", more) % {"count": more}
        url = reverse("admin:governance_regressionstate_changelist") + "?board=standing"
        tiles.append(Tile(_("All tripwires"), _number(len(standing)), PLAIN, "", note=told, url=url))
    return tiles


def _tripwire(state: RegressionState) -> Tile:
    measure, stands, floor = state.policy.measure, light(state), limit(state)
    told = ""
    if floor is not None:
        told = _("Before: %(before)s, limit: %(limit)s") % {
            "before": told_figure(measure, state.baseline),
            "limit": told_figure(measure, floor),
        }
    is_rate = STATISTICS[measure].is_share
    return Tile(
        label(state.policy),
        told_figure(measure, state.current),
        stands.state or UNKNOWN,
        stands.says.lower(),
        told,
        note(state),
        reverse("admin:governance_regressionstate_change", args=[state.pk]),
        share=state.current if is_rate else None,
        goal=floor if is_rate else None,
    )


def _risk(risk: Snapshot) -> list[Tile]:
    """Return for each engine the cap that is used most, since reservations reach that one first."""
    url = reverse("admin:governance_riskpolicy_changelist")
    tiles = []
    for engine in risk.engines:
        capped = [measure for measure in engine.measures if measure.share is not None]
        if not engine.policy.enabled:
            off = _("Nothing is reserved for it: its policy is off.")
            tiles.append(Tile(engine.engine, "–", PLAIN, "", note=off, url=url))
            continue
        if not capped:
            tiles.append(Tile(engine.engine, "–", WATCH, _("no cap"), url=url))
            continue
        tightest = max(capped, key=lambda measure: measure.share or 0)
        share = tightest.share or 0
        gauges = gauges_of(engine)
        used, cap = (
            number_format(amount, 0, force_grouping=True) for amount in (tightest.used, tightest.cap)
        )
        note = _("%(used)s of %(cap)s: %(what)s") % {
            "used": used,
            "cap": cap,
            "what": RISK_FIELDS[tightest.name].verbose_name,
        }
        tiles.append(
            Tile(engine.engine, percent(share, 1), gauges.state, gauges.says, note=note, url=url, share=share)
        )
    return tiles


def _lists(at: datetime) -> Tile:
    """Return how many area codes have a do-not-call list that expires within a week or has expired."""
    rows = list(ending_lists(at)[:MOST_AREA_CODES])
    url = reverse("admin:governance_areacodelist_changelist") + "?ends=soon"
    title = _("Do-not-call lists that end within 7 days")
    if not rows:
        return Tile(title, "0", GOOD, _("good"), target=_("Target: 0"), url=url)
    codes = ", ".join(row.area_code for row in rows[:MOST_NAMED])
    if len(rows) > MOST_NAMED:
        codes += " …"
    if days_left(rows[0].list_date, at) < 0:
        state, note = BAD, _("Calls are blocked where the list is older than 31 days: %(codes)s")
    else:
        state, note = WATCH, _("Import newer lists: %(codes)s")
    return Tile(
        title,
        _number(len(rows)),
        state,
        _("needs attention"),
        target=_("Target: 0"),
        note=note % {"codes": codes},
        url=url,
    )


def _work(counted: dict[str, Figure], at: datetime) -> list[Tile]:
    waiting = work_waiting(at)
    tasks, leads = (
        reverse("admin:followups_followuptask_changelist"),
        reverse("admin:followups_lead_changelist"),
    )
    return [
        _count(_("Due now"), waiting["due"], f"{tasks}?overdue=due", is_fault=False),
        _count(
            _("More than 2 allowed hours late"), waiting["late"], f"{tasks}?overdue=late",
            # among the oldest 10,000 that are due: there may be others
            at_least=waiting["due"] > COUNTED_TO >= waiting["late"],
        ),
        _count(
            _("Blocked: no permitted contact time"), waiting["held"], f"{tasks}?held=yes",
            note=_("They come back automatically when the reason no longer applies."), worst=WATCH,
        ),
        _count(
            _("Waiting for another lead"), waiting["person_active"], f"{tasks}?held=waiting", is_fault=False,
            note=_("The same person is being followed up under another lead id."),
        ),
        _count(
            _("Leads without a next step"), _value(counted, "nobodys_leads"), f"{leads}?nobodys=yes",
            worst=WATCH, note=_("Open leads with no task and no follow-up date."),
        ),
        _count(
            _("Tasks with an unknown owner"), _value(counted, "tasks_of_nobody"),
            f"{tasks}?board=unknown_owner", worst=WATCH, note=_unknown_owners(counted),
        ),
    ]  # fmt: skip


def _unknown_owners(counted: dict[str, Figure]) -> str:
    owners = _value(counted, "owners_nobody")
    if not owners:
        return ""
    return ngettext(
        "%(count)s owner is not an active user; everyone is offered these tasks.",
        "%(count)s owners are not active users; everyone is offered these tasks.",
        owners,
    ) % {"count": _number(owners)}


def _value(counted: dict[str, Figure], name: str) -> Any:
    return counted[name].value if name in counted else None


def _number(count: int, *, at_least: bool = False) -> str:
    if at_least:
        return _("at least %(count)s") % {"count": number_format(count, force_grouping=True)}
    if count > COUNTED_TO:
        return _("more than %(count)s") % {"count": number_format(COUNTED_TO, force_grouping=True)}
    return number_format(count, force_grouping=True)


def _count(
    title: str,
    count: int | None,
    url: str,
    *,
    note: str = "",
    is_fault: bool = True,
    worst: str = BAD,
    at_least: bool = False,
) -> Tile:
    """Return a tile for a count that should be zero, or, without `is_fault`, just a count."""
    if count is None:
        return _uncounted(title, url)
    if not is_fault:
        return Tile(title, _number(count), PLAIN, "", note=note, url=url)
    light, says = (GOOD, _("good")) if count == 0 else (worst, _("needs attention"))
    return Tile(
        title, _number(count, at_least=at_least), light, says, target=_("Target: 0"), note=note, url=url
    )


def _uncounted(title: str, url: str = "") -> Tile:
    return Tile(
        title,
        "–",
        UNKNOWN,
        _("not known yet"),
        url=url,
        note=_("Not counted yet: the jobs update it every five minutes."),
    )


def _rates(counted: dict[str, Figure], wanted: dict[str, Target]) -> list[Tile]:
    events = reverse("admin:governance_kpievent_changelist")
    tasks = reverse("admin:followups_followuptask_changelist")
    feedback = reverse("admin:buyers_buyerfeedbackevent_changelist")
    median = (_value(counted, "followup_sla") or {}).get("median_minutes")
    speed = _("Half were done within %(minutes)s min.") % {"minutes": number_format(round(median or 0))}
    computed = _value(counted, "offers_computed")
    made = ngettext("%(count)s was computed.", "%(count)s were computed.", computed or 0)
    made %= {"count": number_format(computed or 0, force_grouping=True)}
    return [
        _rate(
            "followup_sla", counted, wanted, f"{tasks}?board=followup_sla",
            _("of the newest %(count)s due tasks"), "" if median is None else speed,
        ),
        _rate(
            "contact_compliance", counted, wanted, f"{events}?board=contact_compliance",
            _("of %(count)s contacts in 30 days"),
        ),
        _rate(
            "buyer_response", counted, wanted, f"{feedback}?board=buyer_response",
            _("of %(count)s answers in 30 days"),
        ),
        _rate(
            "offer_accept_rate", counted, wanted, f"{events}?board=offer_accept_rate",
            _("of %(count)s answered offers in 30 days"), "" if computed is None else made,
        ),
        _rate(
            "contract_rate", counted, wanted, f"{events}?board=contract_rate",
            _("of %(count)s accepted offers in 30 days"),
        ),
    ]  # fmt: skip


def _rate(
    name: str, counted: dict[str, Figure], wanted: dict[str, Target], url: str, out_of: str, more: str = ""
) -> Tile:
    """Return a rate with its target; without events it is unknown, never good."""
    title = figure_label(name)
    found = _value(counted, name)
    if found is None:
        return _uncounted(title, url)
    target = wanted.get(name)
    told = _("Target: %(target)s") % {"target": target.told} if target else ""
    if found["value"] is None:
        return Tile(title, "–", UNKNOWN, _("nothing to count"), told, url=url)
    rate = Decimal(str(found["value"]))
    out_of = out_of % {"count": number_format(found["counted"], force_grouping=True)}
    met = target is None or is_met(target.comparison, target.value, rate)
    missing = (
        ""
        if met or target is None
        else _("%(points)s points below")
        % {"points": percent(-gap(target.comparison, target.value, rate), 1).split("\u00a0")[0]}
    )
    return Tile(
        title, percent(rate, 1), GOOD if met else BAD, missing or _("good"), told,
        " ".join(filter(None, [out_of + ".", more])), url, share=float(rate),
        goal=float(target.value) if target else None,
    )  # fmt: skip


def _liquidity(counted: dict[str, Figure]) -> list[dict[str, object]] | None:
    """Return each province with its tile, best score, markets and answers; None if never counted."""
    rows = _value(counted, "liquidity")
    if rows is None:
        return None
    by_province = {row["province"]: row for row in rows}
    best = max((row["best"] for row in rows), default=0) or 1
    nodes = reverse("admin:buyers_buyerliquiditynode_changelist")
    return [
        {
            "code": province.value,
            "name": province.label,
            "best": number_format(row["best"], 1) if row else "–",
            "shade": shade(row["best"] / best) if row else 0,
            "markets": row["markets"] if row else 0,
            "answers": number_format(row["answers"], force_grouping=True) if row else "0",
            "url": f"{nodes}?province__exact={province.value}",
            **_tile_of(province.value),
        }
        for province in Province
        for row in [by_province.get(province.value)]
    ]


def shade(share: float) -> int:
    """Return which of the four shades a share of the maximum gets: 1 the palest, 4 the darkest."""
    return min(SHADES, int(share * SHADES) + 1)


def _tile_of(code: str) -> dict[str, int]:
    column, row = TILES[code]
    x, y = column * (TILE + GAP), row * (TILE + GAP)
    return {"x": x, "y": y, "middle": x + TILE // 2, "above": y + 27, "below": y + 49}


def _told_liquidity(counted: dict[str, Figure]) -> str:
    """Return the map's contents as text."""
    rows = [row for row in _value(counted, "liquidity") or [] if row["best"] > 0]
    if not rows:
        return _("No market has buyer responses yet: they will appear here.")
    hottest = max(rows, key=lambda row: row["best"])
    without = len(Province) - len(rows)
    told = _("The hottest market is in %(province)s, with a cautious score of %(score)s.") % {
        "province": Province(hottest["province"]).label,
        "score": number_format(hottest["best"], 1),
    }
    if without:
        told += " " + ngettext(
            "%(count)s province or territory has no market with a score yet.",
            "%(count)s provinces and territories have no market with a score yet.",
            without,
        ) % {"count": without}
    return told
