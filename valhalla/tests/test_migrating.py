"""Migrating is safe: many at once from empty, a kill at any instant, one migration after the other."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db.migrations.loader import MigrationLoader

from conftest import manage

pytestmark = pytest.mark.both

KILLED = -signal.SIGKILL
NOT_OF_MIGRATE = ("django_celery_beat", "sqlite_sequence")  # their rows are sync_schedules'
OF_POSTGRES = (
    "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
    "WHERE table_schema = 'public'",
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal",
)


def shape(url: str) -> set[tuple[object, ...]]:
    """Every table, column, constraint, index and trigger of a database, and how many rows each table has."""
    found: list[tuple[Any, ...]]
    database: Any
    if url.startswith("sqlite"):
        database = sqlite3.connect(url.removeprefix("sqlite:///"))
        found = database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        tables = {name for kind, name, *_rest in found if kind == "table"}
    else:
        database = psycopg.connect(url)
        found = [row for question in OF_POSTGRES for row in database.execute(question).fetchall()]
        tables = {row[0] for row in database.execute(OF_POSTGRES[0]).fetchall()}
    with contextlib.closing(database):
        for table in sorted(name for name in tables if not name.startswith(NOT_OF_MIGRATE)):
            found.append((table, database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]))
    return set(found)


@pytest.fixture(scope="session")
def whole(migrated_once: str) -> set[tuple[Any, ...]]:
    """What one undisturbed migrate makes."""
    return shape(migrated_once)


def test_migrate_makes_again_what_its_own_check_would_complain_of(migrated_url: str) -> None:
    before = shape(migrated_url)
    name = "governance_kpievent_no_delete"
    if migrated_url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(migrated_url.removeprefix("sqlite:///"))) as database:
            database.execute(f"DROP TRIGGER {name}")
    else:
        with psycopg.connect(migrated_url, autocommit=True) as server:
            server.execute(f"DROP TRIGGER {name} ON governance_kpievent".encode())
    assert shape(migrated_url) != before
    manage(migrated_url, "migrate", "--verbosity", "0")
    assert shape(migrated_url) == before


def migrates(url: str, *arguments: str) -> tuple[list[int], str]:
    """Run the program of migrates; returns how each of them ended, and what they wrote."""
    done = subprocess.run(
        [sys.executable, "-m", "valhalla.tests.migrates", *arguments],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(code) for code in done.stdout.split()], done.stderr


def own_migrations() -> list[str]:
    """Valhalla's own migrations in the order in which an empty database gets them."""
    graph = MigrationLoader(None).graph
    packs = {"governance", "followups", "buyers", "offers"}
    order: list[tuple[str, str]] = []
    for leaf in graph.leaf_nodes():
        order += [key for key in graph.forwards_plan(leaf) if key not in order]
    return [f"{app}.{name}" for app, name in order if app in packs]


def check_at_once(url: str, count: int, whole: set[tuple[object, ...]]) -> None:
    codes, told = migrates(url, "at_once", "ours", str(count))

    assert codes == [0] * count, told
    assert told.count("waiting until it has ended") == count - 1
    assert shape(url) == whole


def test_two_migrates_at_once_from_empty_both_succeed(
    database_url: str, whole: set[tuple[object, ...]]
) -> None:
    check_at_once(database_url, 2, whole)


@pytest.mark.long
@pytest.mark.slice
def test_ten_migrates_at_once_from_empty_all_succeed(
    database_url: str, whole: set[tuple[object, ...]]
) -> None:
    check_at_once(database_url, 10, whole)


@pytest.mark.long
def test_without_the_lock_migrates_at_once_fail(database_url: str) -> None:
    """What must not be: the variant against which the test above has been seen to fail."""
    codes, told = migrates(database_url, "at_once", "stock", "4")

    assert 1 in codes
    assert "already exists" in told or "duplicate" in told or "UNIQUE" in told


def kill_at(url: str, migrations: list[str], whole: set[tuple[object, ...]]) -> None:
    codes, told = migrates(url, "killed", "ours", *migrations)

    assert codes == [KILLED] * len(migrations) + [0], told
    assert shape(url) == whole


def test_a_migrate_killed_at_its_worst_instant_is_made_good_by_the_next(
    database_url: str, whole: set[tuple[object, ...]], chance: random.Random
) -> None:
    kill_at(database_url, [chance.choice(own_migrations())], whole)


@pytest.mark.long
def test_a_migrate_killed_at_each_migration_is_made_good_by_the_next(
    database_url: str, whole: set[tuple[object, ...]]
) -> None:
    kill_at(database_url, own_migrations(), whole)


@pytest.mark.long
def test_without_noting_in_the_same_transaction_the_next_migrate_fails(database_url: str) -> None:
    """What must not be: the variant against which the tests of kills have been seen to fail."""
    codes, told = migrates(database_url, "killed", "stock", "buyers.0001_initial")

    assert codes == [KILLED, 1]
    assert "already exists" in told


@pytest.mark.long
def test_a_way_back_that_was_killed_is_gone_by_the_next(
    migrated_url: str, whole: set[tuple[object, ...]]
) -> None:
    codes, told = migrates(migrated_url, "killed_on_the_way_back", "ours", "buyers.0001_initial")

    assert codes == [KILLED, 0], told
    manage(migrated_url, "migrate", "--verbosity", "0")
    assert shape(migrated_url) == whole


@pytest.mark.long
def test_a_migrate_killed_at_any_instant_is_made_good_by_the_next(
    database_url: str, whole: set[tuple[object, ...]], chance: random.Random
) -> None:
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    kills = 0
    while kills < 40:
        with subprocess.Popen(
            command, cwd=settings.BASE_DIR, env={**os.environ, "DATABASE_URL": database_url}
        ) as migrate:
            time.sleep(chance.uniform(0.8, 3))
            migrate.kill()
        if migrate.returncode == 0:
            break
        kills += 1
    assert kills > 1
    manage(database_url, "migrate", "--verbosity", "0")
    assert shape(database_url) == whole


@pytest.mark.long
def test_each_migration_is_applied_by_itself_in_order_from_empty(
    database_url: str, whole: set[tuple[object, ...]]
) -> None:
    own = own_migrations()
    codes, told = migrates(database_url, "in_order", "ours", *own)

    assert codes == [0] * len(own), told
    manage(database_url, "migrate", "--verbosity", "0")
    assert shape(database_url) == whole
