"""File permissions in VALHALLA_VAR: database, mail, keys and backups hold personal information.

New files are created private (the umask of settings.py). Those of an older installation are made private at
the start, and the runbook lists what other accounts can still read.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from django.conf import settings

from valhalla.disk import sqlite_file

OTHERS = 0o077  # the permission bits of the group and of others


def close_to_others() -> None:
    """Remove other accounts' access to VALHALLA_VAR, the files directly in it, and SQLite's file.

    A private folder protects its contents. Files of another account stay as they are.
    """
    for path in (settings.VAR, *settings.VAR.iterdir(), *_database_files()):
        with contextlib.suppress(OSError):
            mode = path.lstat().st_mode
            if mode & OTHERS and not path.is_symlink():
                path.chmod(mode & 0o7700)


def open_to_others() -> list[Path]:
    """Return what other accounts on this machine can read or change, in the order of close_to_others."""
    inside = [] if _is_closed(settings.VAR) else [settings.VAR, *sorted(settings.VAR.iterdir())]
    return [path for path in (*inside, *_database_files()) if not _is_closed(path)]


def _is_closed(path: Path) -> bool:
    try:
        return not path.lstat().st_mode & OTHERS or path.is_symlink()
    except OSError:  # deleted meanwhile
        return True


def _database_files() -> list[Path]:
    """Return SQLite's files if they are outside VALHALLA_VAR in a folder that others may enter."""
    file = sqlite_file()
    if file is None or file.is_relative_to(settings.VAR) or _is_closed(file.parent):
        return []
    return [path for end in ("", "-wal", "-shm") if (path := Path(f"{file}{end}")).exists()]
