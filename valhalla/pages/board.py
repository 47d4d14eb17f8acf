"""The operations board: where managers and auditors begin, and see at a glance what needs them.

Figures that would take long come as a job last counted them; the rest is asked in queries that read a bounded
part of an index. Twelve queries at most, however large the tables are.
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
from governance.golive.banner import state_of
from governance.golive.models import GoLiveState
from governance.kpi.models import Figure, Target
from governance.kpi.querysets import figures, targets
from governance.kpi.rules import gap, is_met, percent
from governance.places import Province
from governance.risk.models import RiskPolicy
from governance.risk.services import Snapshot, snapshot
from governance.tripwire.banner import standing_of
from governance.tripwire.models import RegressionPolicy, RegressionState
from governance.tripwire.why import light
from governance.tripwire.wording import figure as told_figure
from governance.tripwire.wording import label, limit, note
from valhalla.pages.navigation import figures_of

STALE_AFTER = timedelta(minutes=15)
RISK_FIELDS = {field.name: field for field in RiskPolicy._meta.concrete_fields}
NEARLY_FULL = 0.8  # of a cap
TRIPWIRES = 12  # with a tile of their own
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
    """One figure with its light.

    `state` is good, watch, bad, unknown, or plain where nothing is judged; `share` and `goal` are the
    fractions of a bar and of the mark on it.
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
        """The bar's length in percent, at most 100."""
        return _percent_of_bar(self.share or 0.0)

    @property
    def aim(self) -> str:
        """Where on the bar the target lies, in percent; blank where none is."""
        return _percent_of_bar(self.goal) if self.goal else ""


def _percent_of_bar(fraction: float) -> str:
    return f"{min(1.0, max(0.0, fraction)) * 100:.1f}"


@dataclass(frozen=True, slots=True)
class Section:
    """Tiles under a heading."""

    title: str
    tiles: list[Tile] = field(default_factory=list)


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Fill the admin's first page; called by unfold."""
    board = board_at(timezone.now(), state_of(request), standing_of(request), figures_of(request))
    return context | {"title": _("Operations"), "board": board}


def board_at(
    at: datetime,
    switches: GoLiveState,
    tripwires: Sequence[RegressionState] = (),
    counted: dict[str, Figure] | None = None,
) -> dict[str, Any]:
    """Return the board's sections, its liquidity by province, and when the slow figures were counted."""
    counted = figures() if counted is None else counted
    wanted, risk = targets(), snapshot(at)
    oldest = min((figure.counted_at for figure in counted.values()), default=None)
    return {
        "sections": [
            Section(
                _("May we work?"),
                [_switches(switches), _runbook(counted), _throttles(risk, wanted), *_paused(counted)],
            ),
            Section(_("Work that waits"), _work(counted, at)),
            Section(_("Figures beside their targets"), _rates(counted, wanted)),
            Section(_("Tripwires"), _tripwires(tripwires)),
            Section(_("Risk used today"), _risk(risk)),
        ],
        "liquidity": _liquidity(counted),
        "liquidity_told": _told_liquidity(counted),
        "counted_at": oldest,
        "is_stale": oldest is None or oldest < at - STALE_AFTER,
    }


def _switches(now: GoLiveState) -> Tile:
    url = reverse("admin:governance_golivestate_changelist")
    if now.kill_switch_engaged:
        return Tile(
            _("Go-live"), _("Kill switch engaged"), BAD, _("stopped"), url=url,
            note=_("Nobody is contacted and nothing is computed until a manager releases it."),
        )  # fmt: skip
    if now.go_live_enabled:
        return Tile(_("Go-live"), _("On"), GOOD, _("on"), url=url, note=_("Leads may be contacted."))
    if settings.GO_LIVE_ENFORCE:
        return Tile(
            _("Go-live"), _("Off"), WATCH, _("off"), url=url,
            note=_("Nobody is contacted until a manager enables it."),
        )  # fmt: skip
    return Tile(
        _("Go-live"), _("Off"), WATCH, _("not enforced"), url=url,
        note=_("This installation does not obey the switch: everything works."),
    )  # fmt: skip


def _runbook(counted: dict[str, Figure]) -> Tile:
    url = reverse("admin:governance_runbook_changelist")
    found = _value(counted, "runbook")
    if found is None:
        return _uncounted(_("Runbook"), url)
    blockers, warnings = found["blockers"], found["warnings"]
    note = ngettext("%(count)s warning.", "%(count)s warnings.", warnings) % {"count": warnings}
    if not blockers:
        light, says = (WATCH, _("needs a look")) if warnings else (GOOD, _("good"))
        return Tile(_("Runbook"), _("Clear"), light, says, note=note if warnings else "", url=url)
    figure = ngettext("%(count)s blocker", "%(count)s blockers", blockers) % {"count": blockers}
    return Tile(_("Runbook"), figure, BAD, _("keeps go-live off"), note=note if warnings else "", url=url)


def _throttles(risk: Snapshot, wanted: dict[str, Target]) -> Tile:
    held = [(engine.engine, name) for engine in risk.engines for name in engine.throttled_by]
    target = wanted.get(Target.Metric.OPEN_THROTTLES)
    met = is_met(target.comparison, target.value, Decimal(len(held))) if target else not held
    return Tile(
        _("Throttles"), _number(len(held)), GOOD if met else BAD,
        _("good") if met else _("holds reservations back"),
        _("Target: %(target)s") % {"target": target.told} if target else "",
        "; ".join(f"{engine}: {name}" for engine, name in held),
        reverse("admin:governance_riskthrottle_changelist"),
    )  # fmt: skip


def _paused(counted: dict[str, Figure]) -> list[Tile]:
    """Return a warning where a job is paused, else nothing."""
    names = _value(counted, "paused_jobs")
    if not names:
        return []
    figure = ngettext("%(count)s is paused", "%(count)s are paused", len(names)) % {"count": len(names)}
    return [
        Tile(_("Jobs"), figure, WATCH, _("needs a look"), note=", ".join(names), url=reverse("schedules"))
    ]


def _tripwires(standing: Sequence[RegressionState]) -> list[Tile]:
    """Return a tile for each tripwire that watches or fired, the gravest first."""
    if not standing:
        url = reverse("admin:governance_regressionpolicy_changelist")
        return [Tile(_("Tripwires"), "–", WATCH, _("off"), url=url, note=_("No tripwire watches a figure."))]
    tiles = [_tripwire(state) for state in standing[:TRIPWIRES]]
    more = len(standing) - len(tiles)
    if more:
        told = ngettext("%(count)s more watches.", "%(count)s more watch.", more) % {"count": more}
        url = reverse("admin:governance_regressionstate_changelist")
        tiles.append(Tile(_("Further tripwires"), f"+{more}", PLAIN, "", note=told, url=url))
    return tiles


def _tripwire(state: RegressionState) -> Tile:
    measure, stands, floor = state.policy.measure, light(state), limit(state)
    told = ""
    if floor is not None:
        told = _("Before: %(before)s, limit: %(limit)s") % {
            "before": told_figure(measure, state.baseline), "limit": told_figure(measure, floor),
        }  # fmt: skip
    is_rate = measure == RegressionPolicy.Measure.SUCCESS_RATE
    return Tile(
        label(state.policy), told_figure(measure, state.current), stands.state or UNKNOWN,
        stands.says.lower(), told, note(state),
        reverse("admin:governance_regressionstate_change", args=[state.pk]),
        share=state.current if is_rate else None, goal=floor if is_rate else None,
    )  # fmt: skip


def _risk(risk: Snapshot) -> list[Tile]:
    """Return for each engine the cap that is used most: whoever reserves meets that one first."""
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
        light, says = (GOOD, _("good")) if share < NEARLY_FULL else (WATCH, _("nearly full"))
        if share >= 1:
            light, says = BAD, _("full")
        used, cap = (
            number_format(amount, 0, force_grouping=True) for amount in (tightest.used, tightest.cap)
        )
        note = _("%(used)s of %(cap)s: %(what)s") % {
            "used": used, "cap": cap, "what": RISK_FIELDS[tightest.name].verbose_name,
        }  # fmt: skip
        tiles.append(Tile(engine.engine, percent(share, 1), light, says, note=note, url=url, share=share))
    return tiles


def _work(counted: dict[str, Figure], at: datetime) -> list[Tile]:
    waiting = work_waiting(at)
    tasks, leads = (
        reverse("admin:followups_followuptask_changelist"),
        reverse("admin:followups_lead_changelist"),
    )
    return [
        _count(_("Due now"), waiting["due"], f"{tasks}?overdue=due&status__exact=OPEN", is_fault=False),
        _count(_("More than 2 allowed hours late"), waiting["late"], f"{tasks}?overdue=late"),
        _count(
            _("Held: no lawful time is known"), waiting["held"], f"{tasks}?held=yes",
            note=_("They come back by themselves when the reason falls away."), worst=WATCH,
        ),
        _count(
            _("Nobody’s leads"), _value(counted, "nobodys_leads"), f"{leads}?nobodys=yes", worst=WATCH,
            note=_("Neither won nor dead, with no open task and no date."),
        ),
        _count(
            _("Owners that are nobody"), _value(counted, "owners_nobody"), f"{tasks}?owner=%3F",
            worst=WATCH, note=_ownerless(counted),
        ),
    ]  # fmt: skip


def _ownerless(counted: dict[str, Figure]) -> str:
    tasks = _value(counted, "tasks_of_nobody")
    if not tasks:
        return ""
    return ngettext(
        "%(count)s open task names an owner who is no active person; everybody is offered it.",
        "%(count)s open tasks name owners who are no active persons; everybody is offered them.",
        tasks,
    ) % {"count": _number(tasks)}


def _value(counted: dict[str, Figure], name: str) -> Any:
    return counted[name].value if name in counted else None


def _number(count: int) -> str:
    if count > COUNTED_TO:
        return _("more than %(count)s") % {"count": number_format(COUNTED_TO, force_grouping=True)}
    return number_format(count, force_grouping=True)


def _count(
    title: str, count: int | None, url: str, *, note: str = "", is_fault: bool = True, worst: str = BAD
) -> Tile:
    """Return a tile of something of which there should be nothing, or, without `is_fault`, just a count."""
    if count is None:
        return _uncounted(title, url)
    if not is_fault:
        return Tile(title, _number(count), PLAIN, "", note=note, url=url)
    light, says = (GOOD, _("good")) if count == 0 else (worst, _("needs a look"))
    return Tile(title, _number(count), light, says, target=_("Target: none"), note=note, url=url)


def _uncounted(title: str, url: str = "") -> Tile:
    return Tile(
        title, "–", UNKNOWN, _("not known yet"), url=url,
        note=_("Not counted yet: the jobs count it every five minutes."),
    )  # fmt: skip


def _rates(counted: dict[str, Figure], wanted: dict[str, Target]) -> list[Tile]:
    offers = reverse("admin:offers_offer_changelist")
    median = (_value(counted, "followup_sla") or {}).get("median_minutes")
    speed = _("Half were done within %(minutes)s min.") % {"minutes": number_format(round(median or 0))}
    computed = _value(counted, "offers_computed")
    made = ngettext("%(count)s was computed.", "%(count)s were computed.", computed or 0)
    made %= {"count": number_format(computed or 0, force_grouping=True)}
    return [
        _rate(
            "followup_sla", counted, wanted, reverse("admin:followups_slasnapshot_changelist"),
            _("of the newest %(count)s due tasks"), "" if median is None else speed,
        ),
        _rate(
            "contact_compliance", counted, wanted,
            reverse("admin:governance_kpievent_changelist") + "?metric=contact_compliance",
            _("of %(count)s contacts in 30 days"),
        ),
        _rate(
            "buyer_response", counted, wanted, reverse("admin:buyers_buyerfeedbackevent_changelist"),
            _("of %(count)s answers in 30 days"),
        ),
        _rate(
            "offer_accept_rate", counted, wanted, offers,
            _("of %(count)s answered offers in 30 days"), "" if computed is None else made,
        ),
        _rate("contract_rate", counted, wanted, offers, _("of %(count)s accepted offers in 30 days")),
    ]  # fmt: skip


def _rate(
    name: str, counted: dict[str, Figure], wanted: dict[str, Target], url: str, out_of: str, more: str = ""
) -> Tile:
    """Return a rate beside its target; nothing to count is not known, never good."""
    title = str(Target.Metric(name).label)
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


def _liquidity(counted: dict[str, Figure]) -> list[dict[str, Any]] | None:
    """Return each province with its tile, best score, markets and answers; None where never counted."""
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
    """Return which of the four shades a share of the highest figure has: 1 the palest, 4 the darkest."""
    return min(SHADES, int(share * SHADES) + 1)


def _tile_of(code: str) -> dict[str, int]:
    column, row = TILES[code]
    x, y = column * (TILE + GAP), row * (TILE + GAP)
    return {"x": x, "y": y, "middle": x + TILE // 2, "above": y + 27, "below": y + 49}


def _told_liquidity(counted: dict[str, Figure]) -> str:
    """Return in words what the map shows."""
    rows = [row for row in _value(counted, "liquidity") or [] if row["best"] > 0]
    if not rows:
        return _("No market has answers of buyers yet: the map fills as they come.")
    hottest = max(rows, key=lambda row: row["best"])
    without = len(Province) - len(rows)
    told = _("The hottest market is in %(province)s, with a cautious score of %(score)s.") % {
        "province": Province(hottest["province"]).label, "score": number_format(hottest["best"], 1),
    }  # fmt: skip
    if without:
        told += " " + ngettext(
            "%(count)s province or territory has no market with a score yet.",
            "%(count)s provinces and territories have no market with a score yet.",
            without,
        ) % {"count": without}
    return told
