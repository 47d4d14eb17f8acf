"""The use of the caps for managers: a bar per cap, with the same as text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from governance.risk.rules import ACTIONS, EXPOSURE, GLOBAL, LOSS, OPEN, Measure
from governance.risk.services import EngineUse, Snapshot

TORONTO = ZoneInfo("America/Toronto")
NEARLY = 0.9  # the used share of a cap from which a manager should look
GOOD, WATCH, BAD, UNKNOWN = "good", "watch", "bad", "unknown"


@dataclass(frozen=True, slots=True)
class Gauge:
    """One cap: `figure` and `left` as text, the bar's `width` in percent; blank without a cap."""

    label: str
    figure: str
    left: str
    width: str
    state: str


@dataclass(frozen=True, slots=True)
class EngineGauges:
    """An engine's caps, and whether it may reserve at all."""

    title: str
    state: str
    says: str
    gauges: tuple[Gauge, ...]


def as_gauges(found: Snapshot) -> dict[str, object]:
    """Return the data for the template."""
    midnight = datetime.combine(found.day + timedelta(days=1), time(), UTC).astimezone(TORONTO)
    return {
        "engines": [gauges_of(engine) for engine in found.engines],
        "day": _("The day %(day)s is counted in UTC and ends at %(time)s in Toronto.")
        % {"day": found.day.isoformat(), "time": f"{midnight:%H:%M}"},
    }


def gauges_of(found: EngineUse) -> EngineGauges:
    """Return an engine's caps for display, with the status light for its page and the board."""
    gauges = tuple(_gauge(measure) for measure in found.measures)
    worst = {gauge.state for gauge in gauges}
    state, says = GOOD, _("room under every cap")
    if not found.policy.enabled:
        state, says = UNKNOWN, _("off: every reservation is denied")
    elif found.throttled_by:
        state = BAD
        says = _("held back by %(tripwires)s") % {"tripwires": ", ".join(found.throttled_by)}
    elif all(measure.share is None for measure in found.measures):
        state, says = WATCH, _("no cap")
    elif BAD in worst:
        state, says = BAD, _("a cap is used up")
    elif WATCH in worst:
        state, says = WATCH, _("a cap is nearly used up")
    title = _("GLOBAL: all engines together") if found.engine == GLOBAL else found.engine
    return EngineGauges(title, state, says, gauges)


def _gauge(measure: Measure) -> Gauge:
    labels = {
        EXPOSURE: _("Reserved today"),
        OPEN: _("Open now, of all days"),
        ACTIONS: _("Reservations today"),
        LOSS: _("Lost today or still open"),
    }
    used = _told(measure, measure.used)
    if measure.share is None or measure.left is None:
        return Gauge(labels[measure.name], _("%(used)s, no cap") % {"used": used}, "", "", GOOD)
    state = BAD if not measure.left else WATCH if measure.share >= NEARLY else GOOD
    return Gauge(
        labels[measure.name],
        _("%(used)s of %(cap)s") % {"used": used, "cap": _told(measure, measure.cap)},
        _("%(left)s left") % {"left": _told(measure, measure.left)} if measure.left else _("used up"),
        f"{min(1.0, measure.share) * 100:.1f}",
        state,
    )


def _told(measure: Measure, figure: Decimal) -> str:
    """Return whole numbers without cents, so that cards stay readable, and never round cents away."""
    places = 0 if measure.name == ACTIONS or figure == int(figure) else 2
    return number_format(figure, places, use_l10n=True, force_grouping=True)
