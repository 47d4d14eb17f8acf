"""Seed data: legal hours and the time zones of Canada's cities."""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path

from governance.core.places import fold_city
from governance.core.seeding import GetModel, plant, uproot

CITY_ZONES = Path(__file__).parent / "data" / "city_zones.csv"
CRTC = "CRTC Unsolicited Telecommunications Rules, Part III (Telecom Decision CRTC 2007-48, as amended)"
HOURS_KEY = ("jurisdiction", "channel", "start", "valid_from")
CITY_KEY = ("province", "city_key")
IN_FORCE = dt.date(2008, 9, 30)


def _hours() -> list[dict[str, object]]:
    common = {"jurisdiction": "CA", "channel": "CALL", "valid_from": IN_FORCE, "citation": CRTC}
    return [
        {**common, "days": [0, 1, 2, 3, 4], "start": "09:00", "end": "21:30"},
        {**common, "days": [5, 6], "start": "10:00", "end": "18:00"},
    ]


def _cities() -> list[dict[str, object]]:
    with CITY_ZONES.open(encoding="utf-8", newline="") as file:
        return [{**row, "city_key": fold_city(row["city"])} for row in csv.DictReader(file)]


def seed_hours(get: GetModel, at: dt.datetime) -> None:
    plant(get, "StatutoryHours", HOURS_KEY, _hours(), at)


def unseed_hours(get: GetModel) -> None:
    uproot(get, "StatutoryHours", HOURS_KEY, _hours())


def seed_cities(get: GetModel, at: dt.datetime) -> None:
    plant(get, "CityZone", CITY_KEY, _cities(), at)


def unseed_cities(get: GetModel) -> None:
    uproot(get, "CityZone", CITY_KEY, _cities())
