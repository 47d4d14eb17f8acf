"""A release on a database that the next one has changed: it starts where that only added, else refuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection, migrations, models
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django.test import Client

from governance.runbook import schema
from governance.runbook.models import CompatibleMigration
from valhalla.migrating import NewerDatabase, WholeSteps, refuse_a_newer_database
from valhalla.tests.processes import ask

pytestmark = pytest.mark.both

TOMORROW = ("followups", "0999_of_tomorrow")
SENTENCE = "a newer release has changed the database (followups.0999_of_tomorrow): start that release"


def note(url: str) -> None:
    ask(
        url,
        "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, %s)",
        *TOMORROW,
        f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
    )


def run(url: str, var: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DATABASE_URL": url, "VALHALLA_VAR": str(var)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.xdist_group("start")
def test_on_a_database_of_a_newer_release_nothing_starts_until_it_declares_to_fit(
    migrated_url: str, tmp_path: Path
) -> None:
    note(migrated_url)
    for command in (("manage.py", "serve"), ("-c", "import valhalla.wsgi")):
        ended = run(migrated_url, tmp_path, *command)
        assert ended.returncode != 0
        assert SENTENCE in ended.stderr

    ask(migrated_url, "INSERT INTO governance_compatiblemigration (app, name) VALUES (%s, %s)", *TOMORROW)
    assert run(migrated_url, tmp_path, "-c", "import valhalla.wsgi").returncode == 0


@pytest.mark.django_db
def test_nor_is_it_migrated_by_an_older_release() -> None:
    MigrationRecorder.Migration.objects.create(app=TOMORROW[0], name=TOMORROW[1], applied=datetime.now(UTC))
    with pytest.raises(CommandError, match=re.escape(SENTENCE)):
        call_command("migrate", verbosity=0)
    CompatibleMigration.objects.create(app=TOMORROW[0], name=TOMORROW[1])
    call_command("migrate", verbosity=0)


@pytest.mark.django_db
def test_a_process_is_not_ready_once_a_newer_release_has_changed_its_database() -> None:
    assert Client().get("/readyz").status_code == 200
    MigrationRecorder.Migration.objects.create(app=TOMORROW[0], name=TOMORROW[1], applied=datetime.now(UTC))
    assert Client().get("/readyz").status_code == 503
    with pytest.raises(NewerDatabase, match="followups.0999_of_tomorrow"):
        refuse_a_newer_database()
    CompatibleMigration.objects.create(app=TOMORROW[0], name=TOMORROW[1])
    assert Client().get("/readyz").status_code == 200
    assert schema.of_a_newer_release() == []


@pytest.mark.django_db
def test_migrations_of_other_packages_are_not_judged() -> None:
    MigrationRecorder.Migration.objects.create(app="axes", name="0999_newer", applied=datetime.now(UTC))
    assert schema.of_a_newer_release() == []


@pytest.fixture
def probe() -> Iterator[migrations.Migration]:
    """A migration of the next release that makes a table, taken back at the end."""

    class Probe(migrations.Migration):
        expands = True
        operations = [migrations.CreateModel("UpgradeProbe", [("id", models.BigAutoField(primary_key=True))])]

    migration = Probe("0999_of_tomorrow", "followups")
    yield migration
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS followups_upgradeprobe")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("expands", [True, False])
def test_what_a_migration_declares_is_remembered_in_its_transaction(probe: Any, expands: bool) -> None:
    probe.expands = expands
    WholeSteps(connection).apply_migration(ProjectState(), probe)
    try:
        assert (
            CompatibleMigration.objects.filter(app="followups", name="0999_of_tomorrow").exists() == expands
        )
        assert (schema.of_a_newer_release() == []) == expands
    finally:
        MigrationRecorder.Migration.objects.filter(name="0999_of_tomorrow").delete()
        CompatibleMigration.objects.all().delete()
