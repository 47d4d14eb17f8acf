"""Sums of the risk guard on plain values. Amounts are CAD in whole cents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from governance.money import CENT

GLOBAL = "GLOBAL"
ENGINE_LENGTH, CODE_LENGTH, TRIPWIRE_LENGTH = 40, 64, 101
AMOUNT_MAX = Decimal("999999999.99")
ACTIONS_MAX = 2**31 - 1  # what a column holds on every database
STALE, STALE_AFTER = "stale", timedelta(hours=72)
ZERO = Decimal("0.00")

LOSS, EXPOSURE = "max_daily_loss", "max_daily_exposure"
OPEN, ACTIONS = "max_open_risk", "max_actions_per_day"

_ENGINE = re.compile(r"[A-Z][A-Z0-9_]*")
_CODE = re.compile(r"[A-Za-z0-9_:.-]*")


@dataclass(frozen=True, slots=True)
class Caps:
    """What a policy allows, CAD and actions a day; 0 means no cap."""

    max_daily_loss: Decimal
    max_daily_exposure: Decimal
    max_open_risk: Decimal
    max_actions_per_day: int


@dataclass(frozen=True, slots=True)
class Use:
    """What is used of a day: realized loss, exposure and actions of that day, open risk of all days."""

    realized_loss: Decimal = ZERO
    exposure: Decimal = ZERO
    open_risk: Decimal = ZERO
    actions: int = 0


@dataclass(frozen=True, slots=True)
class Measure:
    """One cap beside what counts against it; `cap` 0 means no cap. CAD, or a number of actions."""

    name: str
    used: Decimal
    cap: Decimal

    @property
    def left(self) -> Decimal | None:
        """What still fits; None without a cap."""
        return max(ZERO, self.cap - self.used) if self.cap else None

    @property
    def share(self) -> float | None:
        """The used fraction of the cap, above 1 where a cap was lowered below its use; None without one."""
        return float(self.used / self.cap) if self.cap else None


def measures(use: Use, caps: Caps) -> Iterator[Measure]:
    """Yield every cap with what counts against it. What is open may still be lost, so it counts as loss."""
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


def read_engine(text: object) -> str:
    """Return an engine's code in upper-case: letters, digits and _, 40 at most. Raises ValidationError."""
    code = text.strip().upper() if isinstance(text, str) else ""
    if len(code) > ENGINE_LENGTH or not _ENGINE.fullmatch(code):
        raise ValidationError(
            _("An engine is a code of 1 to 40 letters, digits and _, such as WHOLESALE."), code="engine"
        )
    return code


def read_code(text: str) -> str:
    """Return a purpose's or reason's code as it is kept. Raises ValidationError for free text."""
    if len(text) > CODE_LENGTH or not _CODE.fullmatch(text):
        raise ValidationError(
            _("A code of at most 64 letters, digits and _ : . - is needed, no sentence."), code="code"
        )
    return text


def read_amount(amount: object, *, most: Decimal = AMOUNT_MAX) -> Decimal:
    """Return CAD in whole cents, 0 to `most`. Raises ValidationError."""
    if not isinstance(amount, Decimal) or not amount.is_finite() or not 0 <= amount <= most:
        raise ValidationError(_("An amount from 0 to %(most)s CAD is needed.") % {"most": f"{most:,.2f}"})
    if amount != amount.quantize(CENT):
        raise ValidationError(_("An amount in whole cents is needed."))
    return amount.quantize(CENT)
