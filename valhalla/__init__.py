"""Valhalla: the back office of a Canadian real-estate wholesaler.

Zone data comes only from the ``tzdata`` package: the zone files of most machines are still wrong by an hour
for four provinces, so the operating system's path is removed before anything reads a clock.

Nothing that a start imports is garbage, and searching it took a fifth of the time: the collector is off
until all apps are ready (`ValhallaConfig.ready`).
"""

import gc
import zoneinfo

gc.disable()
zoneinfo.reset_tzpath(to=())

from valhalla.celery import app as celery_app  # noqa: E402  # after the zone path is closed

__all__ = ["celery_app"]
