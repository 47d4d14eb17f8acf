"""Free disk space: on a full disk SQLite, mail, backups and programs next to PostgreSQL fail in turn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db import connection

MEGABYTE = 1024 * 1024


def sqlite_file() -> Path | None:
    """Return SQLite's file; None for another database, or one in memory."""
    if connection.vendor != "sqlite" or connection.is_in_memory_db():  # type: ignore[attr-defined]  # SQLite's
        return None
    return Path(str(connection.settings_dict["NAME"])).resolve()


def folders() -> Iterator[Path]:
    """Yield where this machine writes: VALHALLA_VAR, and the folder of SQLite's file."""
    yield settings.VAR
    if file := sqlite_file():
        yield file.parent


def free_megabytes() -> int:
    """Return how many megabytes this account may still write on the fullest disk; 0 on a read-only one."""
    free = []
    for folder in folders():
        disk = os.statvfs(folder)
        writable = not disk.f_flag & os.ST_RDONLY and (disk.f_favail > 0 or disk.f_files == 0)
        free.append(disk.f_bavail * disk.f_frsize // MEGABYTE if writable else 0)
    return min(free)


def is_full() -> bool:
    """Return whether less than MIN_FREE_DISK_MB is left."""
    return free_megabytes() < settings.MIN_FREE_DISK_MB
