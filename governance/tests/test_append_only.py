"""Evidence is written once: whoever tries to change or delete it, and however, is refused by the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.models import Model, QuerySet
from pytest_django import Settings

from governance.accounts.models import AccountChange
from governance.contact.models import Consent, ContactDecision, DoNotCallImport, HashKeyCheck, Suppression
from governance.contact.services import hash_key_problem, remember_hash_key
from governance.core import append_only
from governance.core.actors import Actor
from governance.core.append_only import Unchangeable, append_only_models
from governance.core.places import Place
from governance.heimdall.models import HeimdallEvent, HeimdallRecommendation
from governance.kpi.models import KpiEvent
from governance.market.models import MarketPolicy
from governance.market.services import upsert_policy
from governance.retention.models import Erasure, Removal
from governance.risk.models import RiskEvent
from governance.runbook.models import Backup
from governance.tests.factories import (
    NOW,
    AccountChangeFactory,
    BackupFactory,
    ConsentFactory,
    ContactDecisionFactory,
    DoNotCallImportFactory,
    ErasureFactory,
    HeimdallEventFactory,
    HeimdallRecommendationFactory,
    KpiEventFactory,
    RemovalFactory,
    RiskEventFactory,
    SuppressionFactory,
)

pytestmark = [pytest.mark.both, pytest.mark.django_db]
FACTORIES: dict[type[Model], Any] = {
    KpiEvent: KpiEventFactory,
    ContactDecision: ContactDecisionFactory,
    Suppression: SuppressionFactory,
    Consent: ConsentFactory,
    RiskEvent: RiskEventFactory,
    HeimdallRecommendation: HeimdallRecommendationFactory,
    HeimdallEvent: HeimdallEventFactory,
    Removal: RemovalFactory,
    Erasure: ErasureFactory,
    Backup: BackupFactory,
    DoNotCallImport: DoNotCallImportFactory,
    AccountChange: AccountChangeFactory,
}
each = pytest.mark.parametrize("model", FACTORIES, ids=lambda model: model.__name__)


def run(sql: str, params: Any = ()) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, params)


def kept(model: type[Model]) -> dict[str, Any]:
    """Write a row and return all of it."""
    FACTORIES[model].create(actor="vera")
    connection.check_constraints()  # what waits for the end would keep PostgreSQL from any TRUNCATE
    return dict(model._default_manager.values().get())


def test_these_tables_of_governance_are_guarded() -> None:
    ours = {model for model in append_only_models() if model._meta.app_label == "governance"}
    assert ours == set(FACTORIES)


@each
@pytest.mark.parametrize(
    "attempt",
    [
        lambda rows: rows.get().save(),
        lambda rows: rows.get().delete(),
        lambda rows: rows.update(actor="mallory"),
        lambda rows: rows.delete(),
        lambda rows: rows.bulk_update([rows.get()], ["actor"]),
    ],
    ids=["save", "delete", "update", "delete all", "bulk update"],
)
def test_python_refuses(model: type[Model], attempt: Callable[[object], None]) -> None:
    before = kept(model)
    with pytest.raises(Unchangeable):
        attempt(model._default_manager.all())
    assert model._default_manager.values().get() == before


@each
@pytest.mark.parametrize(
    "attempt",
    [
        lambda rows: rows._raw_delete("default"),
        lambda rows: QuerySet.update(rows, actor="mallory"),
        lambda rows: QuerySet.delete(rows),
    ],
    ids=["raw delete", "update", "delete"],
)
def test_the_database_refuses_what_gets_past_python(
    model: type[Model], attempt: Callable[[object], None]
) -> None:
    before = kept(model)
    with pytest.raises(DatabaseError, match="written once"), transaction.atomic():
        attempt(model._default_manager.all())
    assert model._default_manager.values().get() == before


@each
def test_the_database_refuses_raw_statements(model: type[Model]) -> None:
    before = kept(model)
    table = model._meta.db_table
    statements = [
        f"UPDATE {table} SET actor = 'mallory'",
        f"UPDATE {table} SET actor = actor",
        f"DELETE FROM {table}",
        f"DELETE FROM {table} WHERE id = {before['id']}",
    ]
    columns = ", ".join(f'"{field.column}"' for field in model._meta.concrete_fields if field.column != "id")
    if connection.vendor == "postgresql":
        statements += [
            f"TRUNCATE {table}",
            f"TRUNCATE {table} CASCADE",
            f"INSERT INTO {table} (id, {columns}) SELECT id, {columns} FROM {table} "
            "ON CONFLICT (id) DO UPDATE SET actor = 'mallory'",
        ]
    else:
        statements += [
            f"INSERT OR REPLACE INTO {table} (id, {columns}) SELECT id, {columns} FROM {table}",
            f"REPLACE INTO {table} (id, {columns}) SELECT id, {columns} FROM {table}",
            f"INSERT INTO {table} (id, {columns}) SELECT id, {columns} FROM {table} WHERE true "
            "ON CONFLICT (id) DO UPDATE SET actor = 'mallory'",
            f"UPDATE OR REPLACE {table} SET actor = 'mallory'",
        ]
    for statement in statements:
        # a table that others point at is not even reached by a plain TRUNCATE
        with pytest.raises(DatabaseError, match="written once|cannot truncate"):
            run(statement)
        assert model._default_manager.values().get() == before, statement


def test_postgres_refuses_replicated_sessions_too() -> None:
    """ENABLE ALWAYS: a session that claims to replay a replica's changes passes no trigger by."""
    kept(KpiEvent)
    if connection.vendor != "postgresql":
        assert "governance_kpievent_no_replace" in append_only.present(connection)
        return
    run("SET LOCAL session_replication_role = replica")
    with pytest.raises(DatabaseError, match="written once"):
        run("DELETE FROM governance_kpievent")
    run("SET LOCAL session_replication_role = origin")


def test_sqlite_replaces_no_row_that_a_unique_key_names_either() -> None:
    """OR REPLACE also deletes a row with another id that a unique key names; triggers fire only if told."""
    if connection.vendor != "sqlite":
        return
    append_only.install(connection, "governance_jobslot")
    run(
        "INSERT INTO governance_jobslot (id, job, slot, started_at, error) VALUES (1, 'a', 'b', "
        "'2026-11-24', '')"
    )
    with pytest.raises(DatabaseError, match="written once"):
        run(
            "INSERT OR REPLACE INTO governance_jobslot (id, job, slot, started_at, error) "
            "VALUES (2, 'a', 'b', '2026-11-25', 'forged')"
        )
    append_only.remove(connection, "governance_jobslot")


# --- the histories of policies and settings -----------------------------------------------------------------


@pytest.fixture
def version(by: Callable[..., Actor]) -> dict[str, Any]:
    """The newest version of a market policy, which a manager has changed."""
    upsert_policy(Place("ON"), enabled=False, by=by("MANAGER"), at=NOW, reason="first")
    connection.check_constraints()
    return dict(MarketPolicy.history.values().latest())


def test_every_table_of_versions_is_guarded() -> None:
    tables = {model.history.model._meta.db_table for model in apps.get_models() if hasattr(model, "history")}
    assert len(tables) >= 15
    assert tables == {model._meta.db_table for model in append_only.history_models()}
    names = {name for table in tables for name in append_only.expected(connection.vendor, table)}
    assert names <= append_only.present(connection)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {table} SET changed_by = 'mallory'",
        "UPDATE {table} SET history_user_id = NULL",
        "DELETE FROM {table}",
        "DELETE FROM {table} WHERE history_id = {id}",
        "TRUNCATE {table}",
        "INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
        "REPLACE INTO {table} SELECT * FROM {table} WHERE history_id = {id}",
    ],
)
def test_no_version_is_changed_or_deleted(version: dict[str, object], statement: str) -> None:
    of_another = "TRUNCATE" if connection.vendor == "sqlite" else "REPLACE"
    if of_another in statement:
        return
    table = MarketPolicy.history.model._meta.db_table
    with pytest.raises(DatabaseError, match="written once"):
        run(statement.format(table=table, id=version["history_id"]))
    with pytest.raises(DatabaseError, match="written once"), transaction.atomic():
        MarketPolicy.history.filter(pk=version["history_id"]).update(reason="forged")
    with pytest.raises(DatabaseError, match="written once"), transaction.atomic():
        MarketPolicy.history.get(pk=version["history_id"]).delete()
    assert dict(MarketPolicy.history.values().latest()) == version


def test_a_further_version_is_written_as_ever(version: dict[str, Any], by: Callable[..., Actor]) -> None:
    upsert_policy(Place("ON"), enabled=True, by=by("MANAGER"), at=NOW, reason="second")
    assert MarketPolicy.history.latest().version == version["version"] + 1


def test_a_missing_guard_of_versions_is_noticed_and_made_again_by_migrate() -> None:
    append_only.remove(connection, "governance_historicalgolivestate")
    assert "governance_historicalgolivestate_no_update" in complaints()[0]
    call_command("migrate", verbosity=0, interactive=False)
    assert complaints() == []


# --- who watches the triggers -------------------------------------------------------------------------------


def complaints() -> list[str]:
    return [said.msg for said in run_checks(databases=["default"]) if said.id == "valhalla.E002"]


@each
def test_a_missing_trigger_is_noticed_and_made_again_by_migrate(model: type[Model]) -> None:
    assert complaints() == []
    table = model._meta.db_table
    append_only.remove(connection, table)
    assert table in complaints()[0]
    call_command("migrate", verbosity=0, interactive=False)
    assert complaints() == []
    kept(model)
    with pytest.raises(DatabaseError, match="written once"):
        run(f"DELETE FROM {table}")


def test_one_missing_trigger_of_three_is_noticed() -> None:
    name = "governance_kpievent_no_update"
    on = ' ON "governance_kpievent"' if connection.vendor == "postgresql" else ""
    run(f'DROP TRIGGER "{name}"{on}')
    assert complaints() == [f"Triggers that keep rows from being changed are missing: {name}."]


def test_a_switched_off_trigger_is_noticed() -> None:
    if connection.vendor != "postgresql":
        assert append_only.missing(connection) == []  # SQLite cannot switch one off
        return
    run('ALTER TABLE governance_kpievent DISABLE TRIGGER "governance_kpievent_no_delete"')
    assert append_only.missing(connection) == ["governance_kpievent_no_delete"]


# --- the key of the hashes ----------------------------------------------------------------------------------


def test_another_hash_key_is_noticed(settings: Settings) -> None:
    HashKeyCheck.objects.all().delete()
    remember_hash_key(NOW)
    remember_hash_key(NOW)
    assert HashKeyCheck.objects.count() == 1
    assert hash_key_problem() == ""
    settings.CONTACT_HASH_KEY = "another key"
    assert "CONTACT_HASH_KEY" in hash_key_problem()
    assert "valhalla.E003" in [said.id for said in run_checks(databases=["default"])]
