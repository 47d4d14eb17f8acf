"""The spelling of each market: fixed once, whatever spelling is entered later.

Markets are compared without accents, so “Montréal” and “MONTREAL” are one. When a market is stored for the
first time, its name is too: as in the table of cities, else as entered. From then on every row uses that
name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from governance.core import hooks
from governance.core.places import ALL, Place, fold, read_label

Key = tuple[str, str]


def spellings(places: Iterable[Place], *, keep: bool) -> dict[Key, str]:
    """Return the spelling of each of these markets, by province and market key, in a fixed number of queries.

    A new market is stored if `keep` is set (in the caller's transaction); if two spellings come together, the
    first counts.
    """
    wanted: dict[Key, str] = {}
    for place in places:
        if place.market_key != ALL:
            wanted.setdefault((place.province, place.market_key), place.market)
    found = _stored(wanted)
    fresh = {key: market for key, market in wanted.items() if key not in found}
    if not fresh:
        return found
    fresh = _as_cities(fresh)
    if keep:
        _store(fresh)
        fresh |= _stored(fresh)
    return found | fresh


def spelled(place: Place, *, keep: bool = True) -> Place:
    """Return a place with the market's spelling; a new market is stored unless `keep` is off."""
    if place.market_key == ALL:
        return place
    ((_key, market),) = spellings([place], keep=keep).items()
    return Place(place.province, market)


def _as_cities(markets: Mapping[Key, str]) -> dict[Key, str]:
    cities = (
        hooks.city_names.first([(province, market) for (province, _key), market in markets.items()]) or {}
    )

    def name(key: Key, market: str) -> str:
        city = cities.get((key[0], market))
        return read_label(city) if city and fold(city) == key[1] else market

    return {key: name(key, market) for key, market in markets.items()}


def _stored(wanted: Iterable[Key]) -> dict[Key, str]:
    from governance.market.models import MarketName  # the packs' models look up names when they are saved

    keys = set(wanted)
    if not keys:
        return {}
    rows = MarketName.objects.filter(
        province__in={province for province, _key in keys}, market_key__in={key for _province, key in keys}
    ).values_list("province", "market_key", "market")
    return {(province, key): market for province, key, market in rows if (province, key) in keys}


def _store(fresh: Mapping[Key, str]) -> None:
    from governance.market.models import MarketName

    MarketName.objects.bulk_create(
        [  # in one order, so that two callers never deadlock
            MarketName(province=province, market_key=key, market=market)
            for (province, key), market in sorted(fresh.items())
        ],
        ignore_conflicts=True,
    )
