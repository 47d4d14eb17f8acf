"""Backups: made while others write, read back, recorded; and a restored one holds all that there was."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.db import connection

from governance.core.actors import Actor
from governance.kpi.models import KpiEvent
from governance.kpi.services import emit_kpi
from governance.models import Backup
from governance.runbook import backups
from governance.runbook.backups import BackupFailed, back_up, newest_backup
from governance.tests.factories import NOW, KpiEventFactory

pytestmark = pytest.mark.both

ROOT = Path(settings.BASE_DIR)
BY = Actor.system("backup")


@pytest.mark.django_db(transaction=True)
def test_a_backup_is_one_file_for_its_owner_alone_and_recorded(tmp_path: Path) -> None:
    KpiEventFactory.create_batch(25)
    before = newest_backup()
    folder = tmp_path / "new" / "folder"

    made = back_up(folder, by=BY, at=NOW)

    path = Path(made.file)
    assert [entry.name for entry in folder.iterdir()] == [path.name]
    assert path.name.startswith("valhalla-20261124T150000Z.")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (made.size, len(made.digest)) == (path.stat().st_size, 64)
    assert made.rows is not None
    assert made.rows > 25
    assert (before, newest_backup()) == (None, NOW)
    assert Backup.objects.get().actor == "backup"


@pytest.mark.django_db(transaction=True)
def test_a_backup_that_cannot_be_read_back_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_half(part: Path) -> None:
        WRITE(part)
        with part.open("r+b") as file:
            file.truncate(part.stat().st_size // 2)

    name = "_copy" if connection.vendor == "sqlite" else "_dump"
    WRITE: Callable[[Path], None] = getattr(backups, name)
    KpiEventFactory.create_batch(2000)
    monkeypatch.setattr(backups, name, write_half)

    with pytest.raises(BackupFailed):
        back_up(tmp_path, by=BY, at=NOW)

    assert list(tmp_path.iterdir()) == []
    assert newest_backup() is None


@pytest.mark.django_db(transaction=True)
def test_a_backup_without_its_program_or_folder_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        back_up(tmp_path / "file" / "folder", by=BY, at=NOW)
    if connection.vendor == "postgresql":
        monkeypatch.setenv("PATH", "")
        with pytest.raises(BackupFailed, match="pg_dump is missing"):
            back_up(tmp_path, by=BY, at=NOW)
    else:
        elsewhere = {"NAME": str(tmp_path / "none.sqlite3")}
        monkeypatch.setattr(backups, "connection", SimpleNamespace(vendor="sqlite", settings_dict=elsewhere))
        with pytest.raises(BackupFailed, match="could not be copied"):
            back_up(tmp_path, by=BY, at=NOW)
    assert newest_backup() is None


@pytest.mark.django_db(transaction=True)
def test_others_write_while_it_is_made(tmp_path: Path) -> None:
    stop, written = threading.Event(), [0]

    def write_all_the_time() -> None:
        try:
            while not stop.is_set():
                emit_kpi("TEST", "written", by=BY, at=NOW)
                written[0] += 1
        finally:
            connection.close()

    writer = threading.Thread(target=write_all_the_time)
    writer.start()
    while written[0] < 20:
        stop.wait(0.01)
    made = back_up(tmp_path, by=BY, at=NOW)
    stop.set()
    writer.join(30)

    assert made.rows is not None
    assert written[0] == KpiEvent.objects.count()
    if connection.vendor == "sqlite":
        copy = sqlite3.connect(made.file)
        (kept,) = copy.execute("SELECT COUNT(*) FROM governance_kpievent").fetchone()
        copy.close()
        assert 20 <= kept <= written[0]


def test_a_restored_backup_holds_everything_and_still_guards_it(migrated_url: str, tmp_path: Path) -> None:
    """Back up, restore beside it, recount: the same rows, the same figures, the triggers in force."""
    env = {**os.environ, "VALHALLA_VAR": str(tmp_path / "var"), "DATABASE_URL": migrated_url}

    def manage(*command: str, url: str = migrated_url) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env={**env, "DATABASE_URL": url},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    backup = f"call_command('backup', '--to', {str(tmp_path / 'safe')!r})"
    before, said = manage("shell", "-v0", "-c", f"{FILL}{COUNT}print('---')\n{backup}").split("---\n")
    (file,) = (tmp_path / "safe").iterdir()
    assert said.startswith(f"{file}: ")

    with restored(file, migrated_url, tmp_path) as other:
        counted, verified = manage("shell", "-v0", "-c", f"{COUNT}print('---')\n{VERIFY}", url=other).split(
            "---\n"
        )
        assert counted == before
        nodes, evidence, tampering = verified.splitlines()
        assert nodes == "1 nodes recounted, 0 differences."
        assert evidence.endswith("5 offers verified, 0 differ")
        assert "written once" in tampering


@contextmanager
def restored(file: Path, database_url: str, tmp_path: Path) -> Iterator[str]:
    """Restore a backup as docs/go-live.md says, beside the first database, and give its URL."""
    if database_url.startswith("sqlite"):
        shutil.copyfile(file, tmp_path / "restored.sqlite3")
        yield f"sqlite:///{tmp_path / 'restored.sqlite3'}"
        return
    import psycopg

    server = database_url.rpartition("/")[0]
    name = f"restored_{os.getpid()}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        subprocess.run(
            ["pg_restore", "--no-owner", "--exit-on-error", f"--dbname={server}/{name}", str(file)],
            check=True,
        )
        yield f"{server}/{name}"
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


FILL = """
from django.core.management import call_command
from decimal import Decimal
from django.utils import timezone
from buyers.tests.factories import feedback
from followups.tests.scenes import begin
from offers.tests.factories import kept, switch_on
switch_on()
for number in range(5):
    begin(f"L-{number}", phone=f"416 555 {number:04}")
    feedback("RESPONDED", f"B-{number}", f"D-{number}")
    kept(f"L-{number}")
"""
COUNT = """
from django.core.management import call_command
from django.apps import apps
for model in apps.get_models():
    print(model._meta.label, model._base_manager.count())
"""
VERIFY = """
from io import StringIO
call_command("check", databases=["default"], stdout=StringIO())  # the triggers are there
call_command("rebuild_liquidity")
call_command("verify_evidence")
from django.db import DatabaseError, connection
try:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE offers_offerevidence SET lead_id = 'x'")
except DatabaseError as refused:
    print(" ".join(str(refused).split()))
"""
