"""Places: provinces and territories, their time zones, markets, and the row that applies to a place.

Zones in use per province follow the provinces' time acts as in the IANA database (package ``tzdata``).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol, Self

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.core.compiled import CompiledQuery, Param

ALL = "ALL"
MARKET_LENGTH = 40


class Province(models.TextChoices):
    """The ten provinces and three territories, by their postal codes."""

    BC = "BC", _("British Columbia")
    AB = "AB", _("Alberta")
    SK = "SK", _("Saskatchewan")
    MB = "MB", _("Manitoba")
    ON = "ON", _("Ontario")
    QC = "QC", _("Quebec")
    NB = "NB", _("New Brunswick")
    NS = "NS", _("Nova Scotia")
    PE = "PE", _("Prince Edward Island")
    NL = "NL", _("Newfoundland and Labrador")
    YT = "YT", _("Yukon")
    NT = "NT", _("Northwest Territories")
    NU = "NU", _("Nunavut")


# The first zone of each is the one most people there live in.
_ZONES: dict[str, tuple[str, ...]] = {
    "BC": ("Vancouver", "Dawson_Creek", "Fort_Nelson", "Creston", "Edmonton"),
    "AB": ("Edmonton",),
    "SK": ("Regina", "Edmonton", "Winnipeg"),
    "MB": ("Winnipeg",),
    "ON": ("Toronto", "Winnipeg", "Atikokan"),
    "QC": ("Toronto", "Halifax", "Blanc-Sablon"),
    "NB": ("Moncton",),
    "NS": ("Halifax",),
    "PE": ("Halifax",),
    "NL": ("St_Johns", "Goose_Bay"),
    "YT": ("Whitehorse",),
    "NT": ("Edmonton",),
    "NU": ("Iqaluit", "Rankin_Inlet", "Resolute", "Cambridge_Bay", "Atikokan"),
}
ZONES: dict[str, tuple[str, ...]] = {
    province: tuple(f"America/{name}" for name in names) for province, names in _ZONES.items()
}
CANADIAN_ZONES: tuple[str, ...] = tuple(
    sorted(
        {zone for zones in ZONES.values() for zone in zones}
        | {
            f"America/{name}"
            for name in ("Dawson", "Glace_Bay", "Inuvik", "Yellowknife", "Swift_Current", "Montreal",
                         "Thunder_Bay", "Rainy_River", "Nipigon", "Pangnirtung")
        }
    )
)  # fmt: skip


def read_province(text: object) -> str:
    """Return the two-letter code for `text`, ignoring case.

    Raises ValidationError for anything that is not a Canadian province or territory.
    """
    code = text.strip().upper() if isinstance(text, str) else ""
    if code not in Province.values:
        raise ValidationError(
            _("“%(province)s” is not a Canadian province or territory; use one of %(codes)s."),
            code="unknown_province",
            params={"province": str(text)[:40], "codes": ", ".join(Province.values)},
        )
    return code


_LABEL_SIGNS = frozenset(" .'&/-")


def read_label(text: object, *, length: int = MARKET_LENGTH) -> str:
    """Return a label as it is stored: NFKC, trimmed, single-spaced, upper-case, 1 to `length` characters.

    It may have letters with accents, ASCII digits, spaces and ``. ' & / -``. Raises ValidationError
    otherwise.
    """
    if not isinstance(text, str):
        raise ValidationError(_("A label is a text."), code="invalid_label")
    label = " ".join(unicodedata.normalize("NFKC", text).replace("’", "'").split()).upper()
    if not 1 <= len(label) <= length:
        raise ValidationError(
            _("A label has 1 to %(length)s characters."), code="invalid_label", params={"length": length}
        )
    for sign in label:
        category = unicodedata.category(sign)
        if not (category[0] in "LM" or sign in _LABEL_SIGNS or sign in "0123456789"):
            raise ValidationError(
                _("A label has letters, digits, spaces and . ' & / - only."), code="invalid_label"
            )
    return label


@functools.lru_cache(maxsize=4096)
def fold(label: str) -> str:
    """Return `label` as it is compared: without accents, upper-case (``Montréal`` is ``MONTREAL``)."""
    plain = unicodedata.normalize("NFKD", label)
    return " ".join("".join(sign for sign in plain if not unicodedata.combining(sign)).upper().split())


@functools.lru_cache(maxsize=4096)
def fold_city(name: str) -> str:
    """Return a city's name as `city_zone` compares it: folded, hyphens as spaces, no dots or apostrophes."""
    return " ".join(re.sub(r"[.'’ʼ]", "", re.sub(r"[-‐‑–/]", " ", fold(name))).split())


@dataclass(frozen=True, slots=True)
class Place:
    """A market inside a province; `market` as it is stored."""

    province: str
    market: str = ALL

    @classmethod
    def read(cls, province: object, market: object = ALL) -> Self:
        """Read both parts as `read_province` and `read_label` do; a blank market is ALL."""
        blank = market is None or (isinstance(market, str) and not market.strip())
        return cls(read_province(province), ALL if blank else read_label(market))

    @property
    def market_key(self) -> str:
        return fold(self.market)


def validate_zone(value: str) -> None:
    """Refuse a zone that no Canadian place uses."""
    if value not in CANADIAN_ZONES:
        raise ValidationError(
            _("“%(zone)s” is not a Canadian time zone such as America/Toronto."),
            code="unknown_zone",
            params={"zone": value[:40]},
        )


class SomePlace(Protocol):
    """A place, or the parameters of one that is given later."""

    @property
    def province(self) -> Any: ...
    @property
    def market_key(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class _AnyPlace:
    province: Param = Param("province")
    market_key: Param = Param("market_key")


ANY_PLACE = _AnyPlace()


@functools.cache
def _effective(manager: Any) -> CompiledQuery:
    """Return the compiled query for the row of a model that applies to a province and market key."""
    return CompiledQuery(lambda: manager.candidates(ANY_PLACE)[:1])


@functools.cache
def _locked(manager: Any) -> CompiledQuery:
    """Return the compiled query that locks the row of a model for exactly a province and market key."""
    return CompiledQuery(lambda: manager.select_for_update().of(ANY_PLACE).order_by())


class PlaceQuerySet(models.QuerySet[Any]):
    """Queries on rows for a province and market."""

    def of(self, place: SomePlace) -> Self:
        """Return the row of exactly this province and market, if there is one."""
        return self.filter(province=place.province, market_key=place.market_key)

    def lock(self, place: Place) -> Any:
        """Lock the row of exactly this province and market until the transaction ends; None without one."""
        found = _locked(self.model._default_manager)(province=place.province, market_key=place.market_key)
        return found[0] if found else None

    def candidates(self, place: SomePlace) -> Self:
        """Return the row of the market and that of ALL, the more specific one first."""
        return self.filter(province=place.province, market_key__in={place.market_key, ALL}).order_by(
            models.Case(
                models.When(market_key=ALL, then=1), default=0, output_field=models.SmallIntegerField()
            )
        )

    def effective(self, place: Place) -> Any:
        """Return the row that applies to `place` (its own, else the province's ALL), or None.

        A disabled row is returned as it is: it refuses and there is no fallback.
        """
        found = _effective(self.model._default_manager)(province=place.province, market_key=place.market_key)
        return found[0] if found else None


class PlaceModel(models.Model):
    """A row for one market of a province, or for ALL of it."""

    province = models.CharField(_("province"), max_length=2, choices=Province.choices)
    market = models.CharField(
        _("market"),
        max_length=MARKET_LENGTH,
        default=ALL,
        help_text=_(
            "A city or area as your team calls it; ALL applies wherever a market has no row of its own."
        ),
    )
    market_key = models.CharField(max_length=MARKET_LENGTH * 3, editable=False, default=ALL)

    class Meta:
        abstract = True

    def save(self, *args: object, **kwargs: Any) -> None:
        self.market_key = fold(self.market)
        fields = kwargs.get("update_fields")
        if fields is not None and "market" in fields:
            kwargs["update_fields"] = {*fields, "market_key"}
        super().save(*args, **kwargs)

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        if self.market:
            try:
                self.market = read_label(self.market)
            except ValidationError as wrong:
                raise ValidationError({"market": wrong}) from wrong
        self.market_key = fold(self.market)
        super().clean_fields(exclude=exclude)

    @property
    def place(self) -> Place:
        return Place(self.province, self.market)
