"""PostgreSQL's two roles: what the application's is refused, and that all of Valhalla works as it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import time_machine
from django.conf import settings
from django.core.management import CommandError
from django.db import connection
from django.test import Client
from django.utils import timezone

from conftest import manage, own_database
from governance.core import append_only
from governance.core.actors import Actor
from governance.golive import lock
from governance.kpi.models import KpiEvent
from governance.retention.models import Removal
from governance.retention.services import remove_expired
from governance.tests.factories import NOW, KpiEventFactory
from valhalla import database_roles
from valhalla.tests.serving import Server, wait_for
from valhalla.tests.specimens import specimen
from valhalla.tests.test_admin_pages import MODELS, may_be_refused, pages_of, short
from valhalla.tests.test_erasing import desk, erase_both, manager, planted, tables_naming_them  # noqa: F401  # fixtures

pytestmark = pytest.mark.both

ROOT = Path(settings.BASE_DIR)


@dataclass(frozen=True)
class Parted:
    """A migrated database that the one role owns and the other works in."""

    superuser: str
    owner: str
    application: str

    @property
    def names(self) -> tuple[str, str]:
        return _user(self.owner), _user(self.application)


def _user(url: str) -> str:
    return url.split("//")[1].split("@")[0]


def _as(url: str, name: str) -> str:
    return url.replace(f"//{_user(url)}@", f"//{name}@")


@pytest.fixture(scope="module")
def parted(migrated_once: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parted]:
    """A database that one role had owned until `manage.py grants` parted it."""
    mark = uuid.uuid4().hex[:8]
    owner, application = f"own_{mark}", f"app_{mark}"
    with own_database(tmp_path_factory.mktemp("parted"), migrated_once) as url:
        sql = manage(url, "grants", "--owner", owner, "--application", application)
        for _twice in range(2):
            with psycopg.connect(url) as superuser:
                superuser.execute(sql.encode())
        yield Parted(url, _as(url, owner), _as(url, application))
    with psycopg.connect(f"{url.rpartition('/')[0]}/postgres", autocommit=True) as superuser:
        superuser.execute(f"DROP ROLE {owner}".encode())
        superuser.execute(f"DROP ROLE {application}".encode())


def run(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements in one transaction and return the rows of the last one."""
    with psycopg.connect(url) as session:
        for statement in statements:
            cursor = session.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


GUARDED = "governance_kpievent"
A_ROW = (
    "INSERT INTO governance_kpievent (actor, acting_for, correlation_id, domain, metric, success, detail, "
    "created_at) VALUES ('vera', '', '', 'WHOLESALE', 'x', true, '{}', now())"
)
NOTHING = "$$ BEGIN RETURN NULL; END $$"
NOT_ALLOWED = r"permission denied|must be (owner|superuser|able)|must have admin option|not allowed"


@pytest.mark.postgres
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE governance_kpievent SET actor = 'mallory'",
        "UPDATE governance_kpievent SET actor = actor WHERE false",
        "DELETE FROM governance_kpievent",
        "TRUNCATE governance_kpievent",
        "TRUNCATE governance_kpievent CASCADE",
        "INSERT INTO governance_kpievent SELECT * FROM governance_kpievent "
        "ON CONFLICT (id) DO UPDATE SET actor = 'mallory'",
        "UPDATE governance_historicalmarketpolicy SET changed_by = 'mallory'",
        "DELETE FROM governance_historicalmarketpolicy",
        "DELETE FROM governance_removal",
        "UPDATE governance_erasure SET counts = '{}'",
        "DROP TRIGGER governance_kpievent_no_update ON governance_kpievent",
        "ALTER TABLE governance_kpievent DISABLE TRIGGER governance_kpievent_no_update",
        "ALTER TABLE governance_kpievent DISABLE TRIGGER ALL",
        "ALTER TABLE governance_kpievent DISABLE TRIGGER USER",
        "ALTER TABLE governance_kpievent DROP COLUMN actor",
        "ALTER TABLE governance_kpievent OWNER TO CURRENT_USER",
        "ALTER TABLE governance_kpievent RENAME TO another",
        "DROP TABLE governance_kpievent",
        "CREATE TABLE another (id integer)",
        "CREATE TEMPORARY TABLE governance_removal (id integer)",
        f"CREATE OR REPLACE FUNCTION valhalla_written_once() RETURNS trigger LANGUAGE plpgsql AS {NOTHING}",
        f"CREATE OR REPLACE FUNCTION valhalla_remove_expired() RETURNS trigger LANGUAGE plpgsql AS {NOTHING}",
        f"CREATE FUNCTION my_own() RETURNS trigger LANGUAGE plpgsql AS {NOTHING}",
        f"CREATE FUNCTION pg_temp.my_own() RETURNS trigger LANGUAGE plpgsql AS {NOTHING}",
        "ALTER FUNCTION valhalla_written_once() OWNER TO CURRENT_USER",
        "DROP FUNCTION valhalla_written_once() CASCADE",
        "CREATE TRIGGER aaa BEFORE DELETE ON governance_kpievent FOR EACH ROW "
        "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE TRIGGER aaa BEFORE INSERT ON governance_jobslot FOR EACH ROW "
        "EXECUTE FUNCTION valhalla_remove_expired()",
        "CREATE RULE nothing AS ON INSERT TO governance_kpievent DO INSTEAD NOTHING",
        "CREATE SCHEMA mine",
        "SET session_replication_role = replica",
        "SET ROLE {owner}",
        "SET SESSION AUTHORIZATION {owner}",
        "GRANT {owner} TO CURRENT_USER",
        "ALTER ROLE {owner} PASSWORD 'mine'",
        "GRANT UPDATE ON governance_kpievent TO CURRENT_USER; "  # which is but a warning
        "UPDATE governance_kpievent SET actor = 'mallory'",
        "CREATE ROLE mallory",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "DELETE FROM django_migrations",
        "INSERT INTO django_migrations (app, name, applied) VALUES ('governance', '9999', now())",
        "COPY governance_kpievent TO PROGRAM 'cat'",
        "ALTER DATABASE {database} SET session_replication_role = replica",
    ],
)
def test_the_applications_role_is_refused(parted: Parted, statement: str) -> None:
    run(parted.application, A_ROW)
    owner, _application = parted.names
    database = parted.application.rpartition("/")[2]
    before = run(parted.superuser, f"SELECT count(*), max(actor) FROM {GUARDED}")
    with pytest.raises(psycopg.Error, match=NOT_ALLOWED):
        run(parted.application, statement.replace("{owner}", owner).replace("{database}", database))
    assert run(parted.superuser, f"SELECT count(*), max(actor) FROM {GUARDED}") == before


@pytest.mark.postgres
def test_every_table_that_is_written_once_is_read_and_inserted_into_alone(parted: Parted) -> None:
    told = run(
        parted.application,
        "SELECT table_name, string_agg(privilege_type, ' ' ORDER BY privilege_type) "
        "FROM information_schema.role_table_grants WHERE grantee = current_user GROUP BY 1",
    )
    rights = {name: given.split() for name, given in told}
    guarded = append_only.guarded_tables()
    assert len(guarded) >= 30
    assert {name for name, given in rights.items() if given == ["INSERT", "SELECT"]} == set(guarded)
    only_read = {name for name, given in rights.items() if given == ["SELECT"]}
    assert only_read == set(database_roles.ONLY_READ)
    others = [given for name, given in rights.items() if name not in guarded and name not in only_read]
    assert all(given == ["DELETE", "INSERT", "SELECT", "UPDATE"] for given in others)


@pytest.mark.postgres
def test_the_owner_is_still_refused_by_the_triggers(parted: Parted) -> None:
    run(parted.application, A_ROW)
    with pytest.raises(psycopg.Error, match="written once"):
        run(parted.owner, f"DELETE FROM {GUARDED}")


@pytest.mark.postgres
def test_only_the_audited_functions_remove(parted: Parted) -> None:
    """As the application: what is past its period goes with the row that tells of it, and nothing younger."""
    old = A_ROW.replace("now())", "now() - interval '6 years')").replace("'vera'", "'of long ago'")
    run(parted.application, old, A_ROW)
    removal = (
        "INSERT INTO governance_removal (actor, acting_for, correlation_id, subject, table_name, age, "
        "before, count, digest, at) VALUES ('me', '', '', 'kpi_events', '', '', {before}, 5000, '', now())"
    )
    with pytest.raises(psycopg.Error, match="may not be removed"):
        run(parted.application, removal.format(before="now()"))
    run(parted.application, removal.format(before="now() - interval '5 years' - interval '3 days'"))
    assert run(parted.application, f"SELECT DISTINCT actor FROM {GUARDED}") == [("vera",)]


# --- migrating ----------------------------------------------------------------------------------------------


def call(url: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.postgres
def test_the_application_alone_migrates_nothing_and_says_what_to_do(parted: Parted) -> None:
    assert call(parted.application, "migrate", "-v0").returncode == 0  # there is nothing to do
    back = call(parted.application, "migrate", "buyers", "zero", "-v0")
    assert back.returncode == 1
    assert "does not own the tables" in back.stderr
    assert "MIGRATE_DATABASE_URL" in back.stderr
    run(parted.superuser, "DROP TRIGGER governance_kpievent_no_update ON governance_kpievent")
    try:
        missing = call(parted.application, "migrate", "-v0")
        assert (missing.returncode, "Traceback" in missing.stderr) == (1, False)
    finally:
        done = call(parted.application, "migrate", "-v0", MIGRATE_DATABASE_URL=parted.owner)
        assert done.returncode == 0, done.stderr
    with pytest.raises(psycopg.Error, match="written once"):
        run(parted.superuser, A_ROW, f"UPDATE {GUARDED} SET actor = 'mallory'")


@pytest.mark.postgres
def test_tables_of_a_new_release_belong_to_the_owner_and_the_application_works_in_them(
    parted: Parted,
) -> None:
    """The migration of a pack is taken back and made again."""
    roles = {"MIGRATE_DATABASE_URL": parted.owner}
    for step in (("buyers", "zero"), ()):
        done = call(parted.application, "migrate", *step, "-v0", **roles)
        assert done.returncode == 0, done.stderr
    owner, _application = parted.names
    owners = run(parted.superuser, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert owners == [(owner,)]
    checked = call(parted.application, "check", "--database", "default")
    assert checked.returncode == 0, checked.stderr
    with pytest.raises(psycopg.Error, match=NOT_ALLOWED):
        run(parted.application, "DELETE FROM buyers_buyerfeedbackevent")


@pytest.mark.postgres
def test_rights_that_are_lacking_are_named_by_the_check(parted: Parted) -> None:
    _owner, application = parted.names
    run(parted.superuser, f"REVOKE UPDATE ON followups_lead FROM {application}")
    try:
        checked = call(parted.application, "check", "--database", "default")
        assert "UPDATE on followups_lead" in checked.stderr
        served = call(parted.application, "serve", PORT="1")
        assert served.returncode != 0
    finally:
        assert call(parted.application, "migrate", "-v0", MIGRATE_DATABASE_URL=parted.owner).returncode == 0
    assert call(parted.application, "check", "--database", "default").returncode == 0


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"MIGRATE_DATABASE_URL": "postgresql:///valhalla"}, "SQLite has no roles"),
        ({"DATABASE_URL": "postgresql:///a", "MIGRATE_DATABASE_URL": "postgresql:///b"}, "two databases"),
        ({"DATABASE_URL": "postgresql:///a", "MIGRATE_DATABASE_URL": "mysql:///a"}, "MIGRATE_DATABASE_URL"),
        ({"DATABASE_URL": "postgresql:///a", "MIGRATE_DATABASE_URL": "sqlite:///a"}, "SQLite has no roles"),
    ],
)
@pytest.mark.once
def test_a_wrong_owner_stops_the_start_with_one_sentence(
    wrong: dict[str, str], named: str, tmp_path: Path
) -> None:
    said = call(wrong.pop("DATABASE_URL", f"sqlite:///{tmp_path}/a"), "check", **wrong)
    assert said.returncode != 0
    assert named in said.stderr


@pytest.mark.once
def test_the_sql_is_for_postgresql_and_two_proper_names(tmp_path: Path) -> None:
    assert "SQLite has no roles" in call(f"sqlite:///{tmp_path}/a", "grants").stderr
    url = "postgresql:///nowhere"  # it is never asked
    assert "cannot be a role" in call(url, "grants", "--owner=x'; DROP").stderr
    for name in ("x'; DROP ", 'x" ', "$valhalla$ ", " ", "x" * 64):
        with pytest.raises(CommandError, match="cannot be a role"):
            database_roles.grants(name, "valhalla")
    with pytest.raises(CommandError, match="two roles"):
        database_roles.grants("x", "x")
    printed = call(url, "grants").stdout
    assert "'valhalla_owner'" in printed
    assert "'valhalla'" in printed


# --- everything works ---------------------------------------------------------------------------------------


@pytest.mark.postgres
def test_the_program_is_warned_of_in_the_runbook_where_it_owns_the_tables(parted: Parted) -> None:
    production = {
        "ENV": "production",
        "ALLOWED_HOSTS": "testserver",
        "SECRET_KEY": "only-for-a-test-" * 5,
        "CONTACT_HASH_KEY": "",
    }
    ask = (
        "from django.utils import timezone; from valhalla.readiness import guarded_against_the_program as g; "
        "found = g(timezone.now()); print(found.message if found else 'fine')"
    )
    one_role = call(parted.owner, "shell", "-v0", "-c", ask, **production)
    assert "could change evidence" in one_role.stdout, one_role.stderr
    assert "manage.py grants" in one_role.stdout
    two_roles = call(parted.application, "shell", "-v0", "-c", ask, **production)
    assert two_roles.stdout.strip() == "fine", two_roles.stderr
    assert call(parted.owner, "shell", "-v0", "-c", ask).stdout.strip() == "fine"  # in development


@pytest.fixture
def as_application(db: None) -> Iterator[Callable[[], None]]:
    """Part the roles of the test's own database, and work as the application's from the call on."""
    role = f"app_{uuid.uuid4().hex[:8]}"

    def begin() -> None:
        connection.check_constraints()
        with connection.cursor() as cursor:  # all of it is rolled back with the test
            cursor.execute(f"CREATE ROLE {role}")
            cursor.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
            database_roles.give_rights(connection, role)
            cursor.execute(f"SET LOCAL ROLE {role}")
        assert database_roles.read_rights(connection).lacking() == []

    yield begin
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == (role,), "the test never worked as the application"


@pytest.mark.postgres
def test_every_door_writes_as_the_application_and_a_person_is_erased(
    as_application: Callable[[], None], request: pytest.FixtureRequest
) -> None:
    """Ladders, calls, opt-outs, offers, buyers, consents, imports, messages; then nothing knows them."""
    as_application()
    with time_machine.travel(NOW, tick=False):
        request.getfixturevalue("planted")
        erase_both(request.getfixturevalue("manager"))
    assert tables_naming_them() == {}
    assert KpiEvent.objects.exists()


@pytest.mark.postgres
@pytest.mark.filterwarnings("ignore:.*received a naive datetime")  # as in test_admin_pages.py
def test_every_page_of_administration_opens_as_the_application(
    as_application: Callable[[], None], person: Callable[..., Any]
) -> None:
    for model in MODELS:
        specimen(model)
    client = Client()
    client.force_login(person("MANAGER", "the-manager"))
    as_application()
    request = client.get("/admin/").wsgi_request
    for model in MODELS:
        for name, address in pages_of(model).items():
            if may_be_refused(short(name, model), model, request):
                continue
            answer = client.get(address, follow=True)
            assert answer.status_code < 500, (name, address)


@pytest.mark.postgres
def test_what_is_past_its_period_goes_every_night_as_the_application(
    as_application: Callable[[], None], databases_clock: None
) -> None:
    as_application()
    at = timezone.now()
    KpiEventFactory.create(created_at=at - timedelta(days=6 * 366), actor="of long ago")
    KpiEventFactory.create(created_at=at, actor="vera")
    removed = remove_expired(at, by=Actor.system("test"))
    assert removed["kpi_events"] == 1
    assert KpiEvent.objects.filter(actor="vera").exists()
    assert not KpiEvent.objects.filter(actor="of long ago").exists()
    assert Removal.objects.get(subject="kpi_events").count == 1


# --- served -------------------------------------------------------------------------------------------------

WORK = """
from django.core.management import call_command
call_command("backup")
call_command("erase_person", "--lead", "L-1", "--why", "requested", "--yes")

from django.utils import timezone
from governance.core.actors import Actor
from governance.golive.services import set_kill_switch
set_kill_switch(True, by=Actor.system("test"), at=timezone.now(), reason="fire")
"""
JOBS = "SELECT count(*) FROM governance_heartbeat"


@pytest.mark.postgres
@pytest.mark.xdist_group("start")
def test_an_empty_database_is_prepared_by_the_owner_and_served_by_the_application(
    tmp_path: Path, database_url: str
) -> None:
    mark = uuid.uuid4().hex[:8]
    owner, application = f"own_{mark}", f"app_{mark}"
    run(database_url, manage(database_url, "grants", "--owner", owner, "--application", application))
    works, migrates = _as(database_url, application), _as(database_url, owner)
    server = Server(
        tmp_path,
        works,
        {"MIGRATE_DATABASE_URL": migrates, "CONTACT_HASH_KEY": os.environ.get("CONTACT_HASH_KEY", "")},
    )
    try:
        server.wait_until_up()
        for child in server.family():
            assert "MIGRATE_DATABASE_URL" not in child.environ(), child.cmdline()
        assert run(database_url, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'") == [
            (owner,)
        ]
        assert wait_for(lambda: run(database_url, JOBS) == [(1,)]), server.printed  # the jobs run
        sessions = run(
            database_url,
            "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()",
        )
        assert sessions == [(application,)]
        var = {"VALHALLA_VAR": str(tmp_path)}
        token = manage(works, "issue_token", "web-form", "--role", "service", **var).strip()
        made = ask(server, token, "followups/ladder/create", lead_id="L-1", province="ON", phone="4165550100",
                   city="Toronto")  # fmt: skip
        task = made["tasks"][0]["id"]
        assert ask(server, token, f"followups/task/{task}/complete", outcome="OPTED_OUT")["ok"]
        assert run(works, "SELECT count(*) FROM governance_suppression") != [(0,)]
        # a verb that keeps the kill switch waiting is ended: its session is of the same role
        with psycopg.connect(works) as holder:
            holder.execute("SELECT pg_advisory_xact_lock_shared(%s)", [lock.LOCK])
            assert "rows read back" in manage(works, "shell", "-v0", "-c", WORK, **var)
            with pytest.raises(psycopg.OperationalError, match="terminat"):
                holder.execute("SELECT 1")
        assert run(works, "SELECT count(*) FROM governance_erasure") == [(1,)]
        assert run(works, "SELECT kill_switch_engaged FROM governance_golivestate") == [(True,)]
        assert "ended by itself" not in server.printed
        assert server.press_ctrl_c() == 0, server.printed
    finally:
        server.end()


def ask(server: Server, token: str, path: str, **body: object) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{server.url}/api/{path}",
        json.dumps(body).encode(),
        method="POST",
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.load(answer))
