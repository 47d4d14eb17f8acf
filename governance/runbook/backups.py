"""Backups: the whole database in one file, read back before it counts."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from django.db import connection
from django.db.backends.postgresql.client import DatabaseClient
from django.utils.translation import gettext as _

from governance.core.actors import Actor
from governance.core.errors import Refused
from governance.core.verbs import Execution, verb
from governance.runbook.models import Backup


class BackupFailed(Refused):
    """The backup failed; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__("backup_failed", message)


def back_up(folder: Path, *, by: Actor, at: datetime) -> Backup:
    """Write the whole database to a new file in `folder`, read it back, record it and return the record.

    The file has the state of one instant, even with concurrent writes, and only its owner can read it. An
    incomplete backup has another name. Raises BackupFailed, OSError.
    """
    write, read_back, ending = _ways()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"valhalla-{at.astimezone(UTC):%Y%m%dT%H%M%S}Z.{ending}"
    part = path.with_name(f"{path.name}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
        write(part)
        rows = read_back(part)
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return _record(
        Backup(
            file=str(path)[-255:], size=path.stat().st_size, digest=digest, rows=rows, at=at, **by.written()
        )
    )


def _ways() -> tuple[Callable[[Path], None], Callable[[Path], int], str]:
    if connection.vendor == "sqlite":
        return _copy, _rows_of_copy, "sqlite3"
    return _dump, _rows_of_dump, "dump"


@verb(Execution.OBSERVE_ONLY)
def _record(row: Backup) -> Backup:
    row.save()
    return row


def newest_backup() -> datetime | None:
    """Return when the newest backup was created; None without any."""
    found: datetime | None = Backup.objects.order_by("-at").values_list("at", flat=True).first()
    return found


# --- SQLite: its own online backup --------------------------------------------------------------------------


def _copy(part: Path) -> None:
    source = f"file:{quote(str(connection.settings_dict['NAME']))}?mode=ro"
    try:
        with closing(sqlite3.connect(source, uri=True)) as live, closing(sqlite3.connect(part)) as copy:
            live.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a separate log
    except sqlite3.Error as problem:
        raise BackupFailed(_("The database could not be copied: %(said)s") % {"said": problem}) from problem


def _rows_of_copy(part: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(part))}?mode=ro", uri=True)) as copy:
            said = copy.execute("PRAGMA integrity_check").fetchone()[0]
            if said != "ok":
                raise BackupFailed(_("The copy is damaged: %(said)s") % {"said": said})
            tables = [row[0] for row in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return sum(copy.execute(f'SELECT COUNT(*) FROM "{table}"').fetchone()[0] for table in tables)
    except sqlite3.Error as problem:
        raise BackupFailed(_("The copy cannot be read: %(said)s") % {"said": problem}) from problem


# --- PostgreSQL: pg_dump and pg_restore ---------------------------------------------------------------------


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BackupFailed(_("%(program)s is missing; install PostgreSQL’s client.") % {"program": name})
    return found


def _failed(program: str, errors: bytes) -> BackupFailed:
    said = " ".join(errors.decode(errors="replace").split())[-500:]
    return BackupFailed(_("%(program)s failed: %(said)s") % {"program": program, "said": said})


def _dump(part: Path) -> None:
    words, env = DatabaseClient.settings_to_cmd_args_env(connection.settings_dict, [])
    done = subprocess.run(
        [
            _program("pg_dump"),
            "--format=custom",
            "--no-owner",
            "--no-privileges",
            f"--file={part}",
            *words[1:],
        ],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    if done.returncode:
        raise _failed("pg_dump", done.stderr)


def _rows_of_dump(part: Path) -> int:
    """Read the whole dump as for a restore and count the rows, without keeping them."""
    command = [_program("pg_restore"), "--data-only", "--file=-", str(part)]
    rows, inside = 0, False
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as program:
            assert program.stdout is not None
            for line in program.stdout:
                if inside:
                    inside = line != b"\\.\n"
                    rows += inside
                else:
                    inside = line.startswith(b"COPY ")
        errors.seek(0)
        if program.returncode:
            raise _failed("pg_restore", errors.read())
    return rows
