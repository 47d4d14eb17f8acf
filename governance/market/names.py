"""How each market is written here: once, whatever spelling comes in later.

Markets are compared without accents, so “Montréal” and “MONTREAL” are one. The first time that a market is
stored its name is, too: as the table of cities writes it, else as it came. From then on every row takes that
name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from governance.core import hooks
from governance.core.places import ALL, Place, fold, read_label

Key = tuple[str, str]


def spellings(places: Iterable[Place], *, keep: bool) -> dict[Key, str]:
    """Return how each of these markets is written, by province and market key, in a fixed number of queries.

    A market that is new is stored with `keep` (in the caller's transaction); of two spellings that come
    together the first counts.
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
    """Return a place with its market as it is written here; a new market is stored unless `keep` is off."""
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
    from governance.market.models import MarketName  # the models of packs ask for names as they are saved

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
        [  # in one order, so that two callers never wait for each other
            MarketName(province=province, market_key=key, market=market)
            for (province, key), market in sorted(fresh.items())
        ],
        ignore_conflicts=True,
    )
