"""One migrated test database for all workers of a run: the first one migrates, the others copy."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

from django.db import connection

from conftest import copy_postgres, postgres_url

NAME = "valhalla_template"


def keep(folder: Path) -> None:
    """Keep what the test database holds, for the other workers, in a folder that they share."""
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        with contextlib.closing(sqlite3.connect(folder / NAME)) as target:
            connection.connection.backup(target)
    else:
        connection.close()  # else PostgreSQL copies nothing
        copy_postgres(connection.settings_dict["NAME"], postgres_url(NAME))


def copy(folder: Path) -> None:
    """Make the test database, before Django looks whether there is one, from what was kept."""
    name = connection.creation._get_test_db_name()  # type: ignore[attr-defined]  # every backend has it
    if connection.vendor == "sqlite":
        shutil.copyfile(folder / NAME, name)
    else:
        copy_postgres(NAME, postgres_url(name))
