"""The risk guard's calculations as pure functions. Amounts are CAD in whole cents."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import Enum

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from governance.core.money import CENT

GLOBAL = "GLOBAL"
ENGINE_LENGTH, CODE_LENGTH, TRIPWIRE_LENGTH = 40, 64, 101
AMOUNT_MAX = Decimal("999999999.99")
ACTIONS_MAX = 2**31 - 1  # the maximum of a column on every database
STALE, STALE_AFTER = "stale", timedelta(hours=72)
ZERO = Decimal("0.00")

LOSS, EXPOSURE = "max_daily_loss", "max_daily_exposure"
OPEN, ACTIONS = "max_open_risk", "max_actions_per_day"

_ENGINE = re.compile(r"[A-Z][A-Z0-9_]*")
_CODE = re.compile(r"[A-Za-z0-9_:.-]*")


@dataclass(frozen=True, slots=True)
class Caps:
    """A policy's caps, CAD and actions a day; 0 means no cap."""

    max_daily_loss: Decimal
    max_daily_exposure: Decimal
    max_open_risk: Decimal
    max_actions_per_day: int


@dataclass(frozen=True, slots=True)
class Use:
    """The use of a day: realized loss, exposure and actions of that day, open risk of all days."""

    realized_loss: Decimal = ZERO
    exposure: Decimal = ZERO
    open_risk: Decimal = ZERO
    actions: int = 0


@dataclass(frozen=True, slots=True)
class Measure:
    """One cap with its use; `cap` 0 means no cap. CAD, or a number of actions."""

    name: str
    used: Decimal
    cap: Decimal

    @property
    def left(self) -> Decimal | None:
        """Return what still fits; None without a cap."""
        return max(ZERO, self.cap - self.used) if self.cap else None

    @property
    def share(self) -> float | None:
        """Return the used fraction of the cap, above 1 if a cap was lowered below its use;

        None without a cap.
        """
        return float(self.used / self.cap) if self.cap else None


def measures(use: Use, caps: Caps) -> Iterator[Measure]:
    """Yield every cap with its use. Open risk may still be lost, so it counts as loss."""
    yield Measure(EXPOSURE, use.exposure, caps.max_daily_exposure)
    yield Measure(OPEN, use.open_risk, caps.max_open_risk)
    yield Measure(ACTIONS, Decimal(use.actions), Decimal(caps.max_actions_per_day))
    yield Measure(LOSS, use.realized_loss + use.open_risk, caps.max_daily_loss)


def exceeded(use: Use, caps: Caps, amount: Decimal) -> Measure | None:
    """Return the first cap that `amount` more, as one more action, would exceed; None if it fits."""
    for measure in measures(use, caps):
        more = Decimal(1) if measure.name == ACTIONS else amount
        if measure.cap and measure.used + more > measure.cap:
            return measure
    return None


# --- reserving ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scope:
    """An engine, or GLOBAL, at a reservation; `caps` is None without a policy."""

    engine: str
    use: Use
    caps: Caps | None
    enabled: bool


@dataclass(frozen=True, slots=True)
class Throttle:
    """The throttle that counts: the engine that it blocks, and its tripwire."""

    engine: str
    tripwire: str


@dataclass(frozen=True, slots=True)
class Denial:
    """The reason why an amount does not fit; `measure` is the cap that it would exceed."""

    code: str
    engine: str
    tripwire: str = ""
    measure: Measure | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """One more reservation to count in a scope's rows, which then carry `caps`.

    The `most_*` are the highest values at which it still fits, None without a cap. `use` is the use
    afterwards.
    """

    engine: str
    caps: Caps
    use: Use
    most_open_risk: Decimal | None
    most_exposure: Decimal | None
    most_realized_loss: Decimal | None
    most_actions: int | None


@dataclass(frozen=True, slots=True)
class ReservationPlan:
    """The plan of a reservation: either a denial, or a count for its engine and for GLOBAL."""

    amount: Decimal
    denial: Denial | None
    counts: tuple[Count, ...]
    uses: tuple[tuple[str, Use], ...]

    @property
    def code(self) -> str:
        return self.denial.code if self.denial else RESERVED

    @property
    def tripwire(self) -> str:
        return self.denial.tripwire if self.denial else ""

    @property
    def reserved(self) -> Decimal:
        return ZERO if self.denial else self.amount


RESERVED = "reserved"


def plan_reservation(amount: Decimal, scopes: Sequence[Scope], throttle: Throttle | None) -> ReservationPlan:
    """Decide a reservation of `amount` CAD; `scopes` are the engine and then GLOBAL, as they are now."""
    denial = _denial(amount, scopes, throttle)
    counts = () if denial else tuple(_count(scope, amount) for scope in scopes)
    after = {scope.engine: scope.use for scope in scopes} | {count.engine: count.use for count in counts}
    return ReservationPlan(amount, denial, counts, tuple(after.items()))


def _denial(amount: Decimal, scopes: Sequence[Scope], throttle: Throttle | None) -> Denial | None:
    """Return why the amount does not fit, the engine's own reason before that of GLOBAL; None if it does."""
    for scope in scopes:
        if scope.caps is None:
            return Denial("policy_missing", scope.engine)
        if not scope.enabled:
            return Denial("policy_disabled", scope.engine)
    if throttle is not None:
        return Denial("throttled", throttle.engine, throttle.tripwire)
    for scope in scopes:
        measure = exceeded(scope.use, scope.caps, amount) if scope.caps else None
        if measure is not None:
            return Denial(measure.name, scope.engine, measure=measure)
    return None


def _count(scope: Scope, amount: Decimal) -> Count:
    caps, use = scope.caps, scope.use
    assert caps is not None  # a scope without a policy was denied
    return Count(
        engine=scope.engine,
        caps=caps,
        use=Use(use.realized_loss, use.exposure + amount, use.open_risk + amount, use.actions + 1),
        most_open_risk=caps.max_open_risk - amount if caps.max_open_risk else None,
        most_exposure=caps.max_daily_exposure - amount if caps.max_daily_exposure else None,
        most_realized_loss=caps.max_daily_loss - use.open_risk - amount if caps.max_daily_loss else None,
        most_actions=caps.max_actions_per_day - 1 if caps.max_actions_per_day else None,
    )


# --- ending a reservation ----------------------------------------------------------------------------------

PENDING, SETTLED, RELEASED, EXPIRED = "PENDING", "SETTLED", "RELEASED", "EXPIRED"


class Ending(Enum):
    """The result of an attempt to end a reservation."""

    ENDS = "ends"
    REPEATED = "repeated"  # it ended like this before: the first answer counts
    REFUSED = "refused"  # it ended otherwise


@dataclass(frozen=True, slots=True)
class Held:
    """A reservation as it is while its engine is locked, CAD."""

    amount: Decimal
    state: str
    realized_loss: Decimal | None


@dataclass(frozen=True, slots=True)
class EndPlan:
    """The plan for ending a reservation: the open risk and exposure that it frees, and the loss."""

    ending: Ending
    state: str
    open_risk: Decimal = ZERO
    exposure: Decimal = ZERO
    realized_loss: Decimal | None = None


def plan_settlement(held: Held, loss: Decimal) -> EndPlan:
    """Decide a settlement: the part not lost stays in the day's exposure, since it was used that day."""
    if held.state == PENDING:
        return EndPlan(Ending.ENDS, SETTLED, open_risk=held.amount, realized_loss=loss)
    same = (held.state, held.realized_loss) == (SETTLED, loss)
    return EndPlan(Ending.REPEATED if same else Ending.REFUSED, held.state)


def plan_release(held: Held, state: str = RELEASED) -> EndPlan:
    """Decide a release, or with EXPIRED an expiry: open risk and exposure become free again."""
    if held.state == PENDING:
        return EndPlan(Ending.ENDS, state, open_risk=held.amount, exposure=held.amount)
    return EndPlan(Ending.REFUSED if held.state == SETTLED else Ending.REPEATED, held.state)


# --- changing caps -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Danger:
    """A cap that a change loosens: removed (`new` 0), or raised above `most`, GLOBAL's."""

    name: str
    old: Decimal
    new: Decimal
    most: Decimal = ZERO


def loosened(before: Caps | None, after: Caps, over_all: Caps | None) -> Iterator[Danger]:
    """Yield the caps that a change removes, or raises above those of GLOBAL;

    `before` is None for a new policy.
    """
    for name in (LOSS, EXPOSURE, OPEN, ACTIONS):
        old = Decimal(getattr(before, name)) if before else ZERO
        new = Decimal(getattr(after, name))
        most = Decimal(getattr(over_all, name)) if over_all else ZERO
        if old and not new:
            yield Danger(name, old, new)
        elif most and new > most and (new > old or not before):
            yield Danger(name, old, new, most)


# --- reading input -----------------------------------------------------------------------------------------


def read_engine(text: object) -> str:
    """Return an engine's code in upper-case: letters, digits and _, at most 40. Raises ValidationError."""
    code = text.strip().upper() if isinstance(text, str) else ""
    if len(code) > ENGINE_LENGTH or not _ENGINE.fullmatch(code):
        raise ValidationError(
            _("An engine is a code of 1 to 40 letters, digits and _, such as WHOLESALE."), code="engine"
        )
    return code


def read_code(text: str) -> str:
    """Return a purpose's or reason's code as stored. Raises ValidationError for free text."""
    if len(text) > CODE_LENGTH or not _CODE.fullmatch(text):
        raise ValidationError(
            _("A code of at most 64 letters, digits and _ : . - is needed, not a sentence."), code="code"
        )
    return text


def read_amount(amount: object, *, most: Decimal = AMOUNT_MAX) -> Decimal:
    """Return CAD in whole cents, 0 to `most`. Raises ValidationError."""
    if not isinstance(amount, Decimal) or not amount.is_finite() or not 0 <= amount <= most:
        raise ValidationError(_("An amount from 0 to %(most)s CAD is needed.") % {"most": f"{most:,.2f}"})
    if amount != amount.quantize(CENT):
        raise ValidationError(_("An amount in whole cents is needed."))
    return amount.quantize(CENT)
