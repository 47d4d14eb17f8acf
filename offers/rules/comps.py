"""What comparable sales say about the value that an offer is based on."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from offers.rules.numbers import MONEY_MAX, money_text, number_text, ratio_text, read_number

COMPS_MAX = 50
COMPS_NEEDED, COMPS_IDEAL = 3, 5
MILES_MAX = Decimal("0.5")
MONTHS_MAX = 6
SIZE_MAX = Decimal("0.20")
FENCE = Decimal("1.5")
SPREAD_OF_A, SPREAD_OF_B = Decimal("0.10"), Decimal("0.20")
SUBJECT_SIZE = "subject_sqft"
# Limits of a client's additional data on a sale: the number of keys, and characters of JSON under each.
DETAILS_MAX, DETAIL_KEY_LENGTH, DETAIL_LENGTH = 100, 60, 5_000


@dataclass(frozen=True, slots=True)
class Comp:
    """A comparable sale: CAD, square feet, miles from the subject, and when it was sold (one of the two)."""

    price: Decimal
    sqft: Decimal | None = None
    distance_miles: Decimal | None = None
    months_ago: Decimal | None = None
    sold_on: date | None = None
    ref: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the input, numbers as text so that no digit is lost."""
        given = {
            "price": money_text(self.price),
            "sqft": number_text(self.sqft),
            "distance_miles": number_text(self.distance_miles),
            "months_ago": number_text(self.months_ago),
            "sold_on": self.sold_on.isoformat() if self.sold_on else None,
            "ref": self.ref or None,
        }
        return {key: value for key, value in given.items() if value is not None}


_COMP_KEYS = frozenset({"price", "sqft", "distance_miles", "months_ago", "sold_on", "ref"})
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,29}")


def _wrong_comp(number: int, key: str, why: object) -> ValidationError:
    return ValidationError(
        _("Comp %(number)s, %(key)s: %(why)s.") % {"number": number, "key": key[:40], "why": why},
        code="invalid_comps",
    )


def split_comps(raw: object) -> tuple[object, dict[str, dict[str, object]]]:
    """Return comparable sales with the known keys, and the additional data of each, by its number.

    Such as an address or a link, which evidence must not hold: it is never deleted. Raises ValidationError
    for more than can be stored.
    """
    if not isinstance(raw, list | tuple) or len(raw) > COMPS_MAX:
        return raw, {}
    known, besides = [], {}
    for number, item in enumerate(raw, start=1):
        if not isinstance(item, Mapping):
            known.append(item)
            continue
        more = {str(key): value for key, value in item.items() if key not in _COMP_KEYS}
        known.append({key: value for key, value in item.items() if key in _COMP_KEYS})
        if len(more) > DETAILS_MAX:
            why = _("at most %(most)s more keys can be kept") % {"most": DETAILS_MAX}
            raise _wrong_comp(number, next(iter(more)), why)
        for key, value in more.items():
            _require_detail(number, key, value)
        if more:
            besides[str(number)] = more
    return known, besides


def _require_detail(number: int, key: str, value: object) -> None:
    if not key.strip() or len(key) > DETAIL_KEY_LENGTH or not key.isprintable():
        most = {"most": DETAIL_KEY_LENGTH}
        raise _wrong_comp(number, key, _("a name of 1 to %(most)s printable characters is needed") % most)
    if len(value if isinstance(value, str) else json.dumps(value)) > DETAIL_LENGTH:
        most = {"most": DETAIL_LENGTH}
        raise _wrong_comp(number, key, _("at most %(most)s characters can be kept") % most)


def read_comps(raw: object, *, today: date) -> tuple[Comp, ...]:
    """Read comparable sales; refuse an unknown key, or a sale after `today`.

    Each has `price` (CAD, above 0) and may have `sqft`, `distance_miles`, `ref` (a listing number), and one
    of `months_ago` and `sold_on` (YYYY-MM-DD). Raises ValidationError naming the comp.
    """
    if not isinstance(raw, list | tuple):
        raise ValidationError(_("Comps must be a list of sales."), code="invalid_comps")
    if len(raw) > COMPS_MAX:
        raise ValidationError(
            _("At most %(most)s comps can be given, not %(given)s.") % {"most": COMPS_MAX, "given": len(raw)},
            code="invalid_comps",
        )
    comps = tuple(_read_comp(number, item, today) for number, item in enumerate(raw, start=1))
    seen: set[str] = set()
    for number, comp in enumerate(comps, start=1):
        if comp.ref and comp.ref in seen:
            raise _wrong_comp(number, "ref", _("the sale %(ref)s is given twice") % {"ref": comp.ref})
        seen.add(comp.ref)
    return comps


def _read_comp(number: int, item: object, today: date) -> Comp:
    if not isinstance(item, Mapping):
        raise ValidationError(
            _("Comp %(number)s is not an object with price, sqft, distance_miles and sold_on.")
            % {"number": number},
            code="invalid_comps",
        )
    for key in item:
        if key not in _COMP_KEYS:
            raise _wrong_comp(number, str(key), _("there is no such key"))
    if item.get("price") is None:
        raise _wrong_comp(number, "price", _("a price is needed"))

    def read(key: str, low: str, high: Decimal, places: int) -> Decimal | None:
        if item.get(key) is None:
            return None
        try:
            return read_number(item[key], low=Decimal(low), high=high, places=places)
        except ValueError as wrong:
            raise _wrong_comp(number, key, wrong) from None

    price = read("price", "0.01", MONEY_MAX, 2)
    assert price is not None
    ref = item.get("ref") or ""
    if ref and not (isinstance(ref, str) and _REF.fullmatch(ref)):
        raise _wrong_comp(
            number, "ref", _("a listing number of at most 30 letters, digits and . _ / - is needed")
        )
    months_ago = read("months_ago", "0", Decimal(1200), 2)
    sold_on = _read_day(number, item.get("sold_on"), today)
    if months_ago is not None and sold_on is not None:
        raise _wrong_comp(number, "months_ago", _("give months_ago or sold_on, not both"))
    return Comp(
        price=price,
        sqft=read("sqft", "1", Decimal(10_000_000), 2),
        distance_miles=read("distance_miles", "0", Decimal(5000), 3),
        months_ago=months_ago,
        sold_on=sold_on,
        ref=ref,
    )


def _read_day(number: int, raw: object, today: date) -> date | None:
    if raw is None:
        return None
    if not (isinstance(raw, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", raw)):
        raise _wrong_comp(number, "sold_on", _("write the day as 2026-09-30"))
    try:
        day = date.fromisoformat(raw)
    except ValueError:
        raise _wrong_comp(number, "sold_on", _("there is no such day")) from None
    if day > today:
        raise _wrong_comp(number, "sold_on", _("the day is in the future"))
    return day


def months_before(day: date, months: int) -> date:
    """Return the same day of the month `months` earlier, or that month's last day if it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month + 1, min(last, day.day))
        except ValueError:
            continue
    raise AssertionError("unreachable")


def judge_comp(comp: Comp, *, subject_sqft: Decimal | None, today: date) -> dict[str, bool | None]:
    """Return for distance, age and size whether the sale is comparable; None if not known."""
    if comp.sold_on is not None:
        fresh: bool | None = comp.sold_on >= months_before(today, MONTHS_MAX)
    else:
        fresh = None if comp.months_ago is None else comp.months_ago <= MONTHS_MAX
    alike = None
    if comp.sqft is not None and subject_sqft is not None:
        alike = abs(comp.sqft - subject_sqft) <= subject_sqft * SIZE_MAX
    near = None if comp.distance_miles is None else comp.distance_miles <= MILES_MAX
    return {"distance": near, "age": fresh, "size": alike}


def tukey_fences(prices: Sequence[Decimal]) -> tuple[Decimal, Decimal, Decimal]:
    """Return (interquartile range, lower fence, upper fence) of at least two prices.

    Quartiles by linear interpolation (Hyndman and Fan 1996, type 7); fences 1.5 interquartile ranges beyond
    them (Tukey, Exploratory Data Analysis, 1977). Of three prices none can be outside.
    """
    first, _median, third = statistics.quantiles(prices, n=4, method="inclusive")
    iqr = third - first
    return iqr, first - FENCE * iqr, third + FENCE * iqr


def comps_statistics(
    comps: Sequence[Comp], *, arv: Decimal, assumptions: Mapping[str, Any], today: date
) -> dict[str, object]:
    """Return statistics of the sales, numbers as text: count used, median, spread, outliers, grade.

    It uses sales at most 0.5 mile away, 6 months old and 20 % larger or smaller than the assumption
    `subject_sqft`, without those beyond Tukey's fences. An unknown value does not exclude a sale, but it
    is listed under `unverified` and the grade cannot be A or B. `spread` is the interquartile range in CAD,
    `relative_spread` that divided by the median. Comps are identified by their position, from 1.

    | grade | sales used | relative spread | distance, age and size of each known |
    |-------|------------|-----------------|--------------------------------------|
    | A     | 5 or more  | at most 0.10    | yes                                  |
    | B     | 3 or more  | at most 0.20    | yes                                  |
    | C     | 3 or more  | any             | any                                  |
    | D     | under 3    | any             | any                                  |
    """
    size = assumptions.get(SUBJECT_SIZE)
    subject_sqft = Decimal(size) if size is not None else None
    verdicts = [judge_comp(comp, subject_sqft=subject_sqft, today=today) for comp in comps]
    in_range = [at for at, verdict in enumerate(verdicts) if False not in verdict.values()]
    iqr = lower = upper = None
    used = in_range
    if len(in_range) >= 2:
        _range, lower, upper = tukey_fences([comps[at].price for at in in_range])
        used = [at for at in in_range if lower <= comps[at].price <= upper]
    prices = [comps[at].price for at in used]
    median = statistics.median(prices) if prices else None
    if len(prices) >= 2:
        iqr, _lower, _upper = tukey_fences(prices)
    relative = iqr / median if iqr is not None and median is not None else None
    unverified = [at for at in used if None in verdicts[at].values()]
    return {
        "given": len(comps),
        "count": len(used),
        "median": None if median is None else money_text(median),
        "spread": None if iqr is None else money_text(iqr),
        "relative_spread": None if relative is None else ratio_text(relative),
        "lower_fence": None if lower is None else money_text(lower),
        "upper_fence": None if upper is None else money_text(upper),
        "outliers": [at + 1 for at in in_range if at not in used],
        "out_of_range": [
            {"comp": at + 1, "why": [what for what, fits in verdict.items() if fits is False]}
            for at, verdict in enumerate(verdicts)
            if False in verdict.values()
        ],
        "unverified": [at + 1 for at in unverified],
        "arv_to_median": None if median is None else ratio_text(arv / median),
        "grade": grade_comps(len(used), relative, all_known=not unverified),
    }


def grade_comps(count: int, relative_spread: Decimal | None, *, all_known: bool) -> str:
    """Return A, B, C or D by the table of `comps_statistics`. The limits of spread are our own choice."""
    if count < COMPS_NEEDED or relative_spread is None:
        return "D"
    if all_known and count >= COMPS_IDEAL and relative_spread <= SPREAD_OF_A:
        return "A"
    return "B" if all_known and relative_spread <= SPREAD_OF_B else "C"
