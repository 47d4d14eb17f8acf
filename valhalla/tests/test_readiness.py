"""Every readiness check, seen green in a proper production environment and red where something is missing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings
from rest_framework.test import APIClient

from buyers.models import BuyerLiquidityNode
from buyers.rules import ACTIVE_FOR
from buyers.tests.factories import feedback
from followups.models import FollowUpTask, LadderTemplate
from followups.tests.factories import LeadFactory, PointFactory
from governance.accounts import last_manager
from governance.contact.models import AreaCodeList, ConsentStatement, DoNotCallImport, HashKeyCheck
from governance.contact.services import remember_hash_key
from governance.contact.statements import state_consent, state_exempt_calls
from governance.core import append_only
from governance.core.actors import Actor
from governance.golive.models import GoLiveState
from governance.golive.services import set_go_live, set_kill_switch, state
from governance.heimdall.models import HeimdallPolicy
from governance.kpi.models import KpiEvent
from governance.market.models import MarketPolicy
from governance.models import ApiToken, User
from governance.outbox.models import Heartbeat
from governance.outbox.services import beat
from governance.risk.models import RiskPolicy
from governance.risk.services import throttle
from governance.runbook.models import Backup
from governance.runbook.registry import Severity, registered
from governance.runbook.services import Found, status
from governance.tests.factories import NOW, BackupFactory, DoNotCallImportFactory
from governance.tripwire.models import RegressionPolicy
from offers.models import OfferPolicy
from valhalla.demo import people as demo_people
from valhalla.testing import make_person

pytestmark = pytest.mark.django_db
BY = Actor.system("tests")
QUERIES = 34  # of all checks together; PostgreSQL alone is asked about triggers, functions and tables
ROOT = Path(django_settings.BASE_DIR)
Api = Callable[..., APIClient]


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def production(settings: Settings) -> Settings:
    """A proper production installation: its settings, and what people and jobs have done in it."""
    settings.ENV, settings.PRODUCTION = "production", True
    settings.GO_LIVE_ENFORCE, settings.TLS = True, True
    settings.SECRET_KEY = "s9Zk2" * 15
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    manager = make_person("MANAGER", "mona")
    User.objects.filter(pk=manager.pk).update(email="mona@example.ca")
    for channel in ("SMS", "EMAIL"):
        state_consent(channel, "A box on the web form.", by=BY, at=NOW, reason="the law asks")
    call_command("sync_schedules", verbosity=0, stdout=StringIO())
    beat(NOW)
    BackupFactory.create(at=NOW - timedelta(hours=12))
    DoNotCallImportFactory.create(list_date=date(2026, 11, 20))
    remember_hash_key(timezone.now())
    return settings


def found(id: str) -> list[Found]:
    """Return what the check found, notices of what is no fault left out."""
    asked = {one.id: one for one in status(timezone.now()).asked}[id]
    return [one for one in asked.found if one.severity != Severity.INFO]


def messages(id: str) -> str:
    return " ".join(one.message for one in found(id))


# --- what makes each check red, and what it then says -------------------------------------------------------


def set_setting(name: str, value: object) -> Callable[[Settings], None]:
    return lambda settings: setattr(settings, name, value)


def open_var(settings: Settings) -> None:
    settings.VAR = Path(tempfile.mkdtemp())
    settings.VAR.chmod(0o755)


def a_process_that_died(settings: Settings) -> None:
    settings.VAR = Path(tempfile.mkdtemp())
    state = {"pid": os.getpid(), "processes": {"job process": {"down": True, "ended": "signal 9"}}}
    (settings.VAR / "processes-all.json").write_text(json.dumps(state))


def remove_triggers(settings: Settings) -> None:
    append_only.remove(connection, KpiEvent._meta.db_table)


def change_the_hash_key(settings: Settings) -> None:
    HashKeyCheck.objects.update(fingerprint="another")


def a_call_without_a_list(settings: Settings) -> None:
    lead = LeadFactory.create(province="BC", city="Vancouver")
    point = PointFactory.create(lead=lead, value="+16045550101")
    FollowUpTask.objects.create(
        lead=lead, channel="CALL", kind="CALLBACK", province="BC", market_key="ALL", contact_point=point,
        scheduled_for=NOW, due_at=NOW, created_at=NOW,
    )  # fmt: skip


def engage(settings: Settings) -> None:
    set_kill_switch(True, by=BY, at=NOW, reason="a fire")


def no_windows(settings: Settings) -> None:
    policy = MarketPolicy.objects.get(province="PE")
    policy.rules["contact_windows_local"] = []
    MarketPolicy.objects.filter(pk=policy.pk).update(rules=policy.rules)


def old_zone_data(settings: Settings) -> None:
    """Let Vancouver go on changing its clocks, as the zone files of most machines still do."""
    folder = Path(settings.VAR) / "zones" / "America"
    folder.mkdir(parents=True, exist_ok=True)
    still_changing = files("tzdata.zoneinfo.America").joinpath("Los_Angeles").read_bytes()
    (folder / "Vancouver").write_bytes(still_changing)
    zoneinfo.reset_tzpath(to=[str(folder.parent)])
    zoneinfo.ZoneInfo.clear_cache()


def pending_migration(settings: Settings) -> None:
    MigrationRecorder.Migration.objects.filter(app="governance", name="0004_seed_go_live_off").delete()


def migration_of_a_newer_release(settings: Settings) -> None:
    MigrationRecorder.Migration.objects.create(app="offers", name="0999_of_tomorrow", applied=NOW)


def late_jobs(settings: Settings) -> None:
    Heartbeat.objects.update(at=NOW - timedelta(minutes=5))


def recounted(before: timedelta) -> None:
    """Let a buyer have answered whose market was last recounted so long ago."""
    GoLiveState.objects.update(go_live_enabled=True)
    feedback("RESPONDED")
    GoLiveState.objects.update(go_live_enabled=False)
    BuyerLiquidityNode.objects.update(active_since=NOW - ACTIVE_FOR - before)


def no_steps(settings: Settings) -> None:
    LadderTemplate.objects.update(steps=[])


def somebody_of_the_demo(settings: Settings) -> None:
    User.objects.create(username="amara", first_name="Amara", last_name="Singh", role="VA")


def a_token_of_the_demo(settings: Settings) -> None:
    program = make_person("SERVICE", demo_people.PROGRAM)
    ApiToken.objects.create(user=program, label=demo_people.TOKEN_LABEL, expiry=timedelta(days=1))


def hold_back(settings: Settings) -> None:
    throttle("WHOLESALE", "WHOLESALE/followup_sla", by=BY, at=NOW)


def unreachable_broker(settings: Settings) -> None:
    settings.BROKER_CONFIGURED, settings.CELERY_BROKER_URL = True, "redis://:secret@127.0.0.1:1/0"


def without_managers(**columns: object) -> None:
    """Bring about what the database itself refuses."""
    connection.check_constraints()  # PostgreSQL drops no trigger while something waits for the end
    last_manager.remove(connection)
    User.objects.update(**columns)
    last_manager.install(connection)


RED: list[tuple[str, Callable[[Settings], object], str]] = [
    ("go_live_checklist", set_setting("GO_LIVE_ENFORCE", False), "GO_LIVE_ENFORCE=1"),
    ("go_live_checklist", lambda s: without_managers(is_active=False), "no active manager"),
    ("go_live_checklist", lambda s: without_managers(role="VA"), "no active manager"),
    ("go_live_checklist", lambda s: last_manager.remove(connection), "manage.py migrate"),
    ("go_live_checklist", remove_triggers, "manage.py migrate"),
    ("go_live_checklist", change_the_hash_key, "CONTACT_HASH_KEY"),
    ("second_factor_key", set_setting("SECOND_FACTOR_KEY", ""), "SECOND_FACTOR_KEY"),
    ("kill_switch_clear", engage, "a fire"),
    ("env_sanity", lambda s: (set_setting("PRODUCTION", False)(s), set_setting("ENV", "development")(s)),
     "ENV is development"),
    ("env_sanity", set_setting("DEBUG", True), "DEBUG"),
    ("env_sanity", set_setting("SECRET_KEY", "short"), "SECRET_KEY"),
    ("env_sanity", set_setting("SECRET_KEY", "a" * 80), "SECRET_KEY"),
    ("env_sanity", set_setting("ALLOWED_HOSTS", []), "ALLOWED_HOSTS"),
    ("env_sanity", set_setting("ALLOWED_HOSTS", ["valhalla.example", "*"]), "ALLOWED_HOSTS"),
    ("risk_policies_present", lambda s: RiskPolicy.objects.filter(engine="GLOBAL").delete(), "GLOBAL"),
    ("heimdall_charter_present", lambda s: HeimdallPolicy.objects.filter(domain="CAPITAL_ROUTE").delete(),
     "CAPITAL_ROUTE"),
    ("regression_policies_present",
     lambda s: RegressionPolicy.objects.filter(metric="followup_sla").delete(), "WHOLESALE/followup_sla"),
    ("market_policies_present", lambda s: MarketPolicy.objects.filter(province="NU").delete(), "NU"),
    ("market_policies_present", no_windows, "PE"),
    ("consent_stated", lambda s: ConsentStatement.objects.filter(channel="EMAIL").delete(), "EMAIL"),
    ("area_codes_covered", a_call_without_a_list, "604"),
    ("migrations_applied", pending_migration, "1 migration is pending"),
    ("migrations_applied", migration_of_a_newer_release, "start that release"),
    ("zone_data_current", old_zone_data, "tzdata"),
    ("jobs_alive", late_jobs, "2026-11-24 14:55"),
    ("jobs_alive", lambda s: Heartbeat.objects.all().delete(), "never run"),
    ("followup_ladder_ready", lambda s: LadderTemplate.objects.all().delete(), "BC, AB, SK"),
    ("followup_ladder_ready", lambda s: LadderTemplate.objects.update(enabled=False), "switched off"),
    ("followup_ladder_ready", no_steps, "everywhere else"),
    ("buyer_liquidity_ready", lambda s: recounted(timedelta(hours=49)), "2026-11-22 14:00"),
    ("offer_policies_present", lambda s: OfferPolicy.objects.filter(province="QC").delete(), "QC"),
    ("no_demo_people", somebody_of_the_demo, "amara"),
    ("no_demo_people", a_token_of_the_demo, "web-form"),
    ("no_throttle_engaged", hold_back, "WHOLESALE/followup_sla"),
    ("broker_reachable", unreachable_broker, "127.0.0.1:1/0"),
    ("do_not_call_list_fresh", lambda s: lift_and_delete(DoNotCallImport), "never imported"),
    ("backup_fresh", lambda s: lift_and_delete(Backup), "no backup"),
    ("tls_on", set_setting("TLS", False), "TLS is off"),
    ("mail_is_sent", set_setting("EMAIL_BACKEND", "django.core.mail.backends.filebased.EmailBackend"),
     "EMAIL_URL"),
    ("mail_is_sent", lambda s: User.objects.update(email=""), "no manager"),
    ("jobs_scheduled", lambda s: PeriodicTask.objects.filter(name="buyers.refresh_activity").update(
        enabled=False), "buyers.refresh_activity"),
    ("jobs_alive", lambda s: Heartbeat.objects.update(at=NOW + timedelta(days=1)), "in the future"),
    ("processes_running", a_process_that_died, "job process (signal 9)"),
    ("files_private", open_var, "chmod go-rwx"),
    ("disk_has_room", set_setting("MIN_FREE_DISK_MB", 10**9), "MB are free"),
]  # fmt: skip
# these are red on SQLite as it is, or need more than a line
APART = {"sqlite_in_production", "database_roles"}


def lift_and_delete(model: Any) -> None:
    """Empty a table whose rows are never deleted, as if nothing had ever been written."""
    with append_only.unguarded(connection, model._meta.db_table):
        model._base_manager.all()._raw_delete(connection.alias)


@pytest.fixture
def zones() -> Iterator[None]:
    yield
    zoneinfo.reset_tzpath(to=())
    zoneinfo.ZoneInfo.clear_cache()


@pytest.mark.usefixtures("zones")
@pytest.mark.parametrize(
    ("id", "spoil", "words"), RED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_check_is_green_in_proper_order_and_red_when_it_is_not(
    id: str, spoil: Callable[[Settings], object], words: str, production: Settings
) -> None:
    assert found(id) == []

    spoil(production)

    assert words.lower() in messages(id).lower()
    severity = {one.id: one.severity for one in registered()}[id]
    assert {one.severity for one in found(id)} == {severity}
    assert status(NOW).ok_to_enable_go_live is (severity != Severity.BLOCKER)


def test_every_check_is_seen_red_and_green() -> None:
    assert {one.id for one in registered()} == {id for id, _spoil, _words in RED} | APART


def test_the_checks_that_an_operator_reads_about_are_there_with_their_severity() -> None:
    told = {one.id: one.severity for one in registered()}
    blockers = (
        "go_live_checklist kill_switch_clear env_sanity risk_policies_present regression_policies_present "
        "heimdall_charter_present "
        "market_policies_present "
        "followup_ladder_ready buyer_liquidity_ready offer_policies_present consent_stated "
        "area_codes_covered migrations_applied zone_data_current jobs_alive"
    )
    warnings = (
        "sqlite_in_production no_throttle_engaged broker_reachable do_not_call_list_fresh backup_fresh tls_on"
    )
    assert {told[id] for id in blockers.split()} == {Severity.BLOCKER}
    assert {told[id] for id in warnings.split()} == {Severity.WARN}


# --- what counts as in order --------------------------------------------------------------------------------


def test_policies_that_are_switched_off_are_there(production: Settings) -> None:
    """A new operation begins with its offers off: nothing keeps it from contacting leads."""
    MarketPolicy.objects.filter(province="NU").update(enabled=False)
    RiskPolicy.objects.filter(engine="CAPITAL").update(enabled=False)
    RegressionPolicy.objects.update(enabled=False)
    assert not OfferPolicy.objects.filter(enabled=True).exists()
    assert not BuyerLiquidityNode.objects.exists()
    assert status(NOW).ok_to_enable_go_live
    info = [one.message for one in status(NOW).info if one.id == "buyer_liquidity_ready"]
    assert info == ["No buyer has responded yet. Metrics start with the first response."]


def test_a_province_with_a_template_of_its_own_needs_no_other(production: Settings) -> None:
    default = LadderTemplate.objects.get(province="")
    for province in MarketPolicy.objects.exclude(province="YT").values_list("province", flat=True):
        LadderTemplate.objects.create(
            province=province, market="ALL", steps=default.steps, changed_by="t", updated_at=NOW
        )
    default.delete()
    assert messages("followup_ladder_ready") == "No ladder template for: YT."


def test_buyers_figures_may_miss_one_night(production: Settings) -> None:
    recounted(timedelta(hours=48))
    assert found("buyer_liquidity_ready") == []


def test_a_backup_of_last_night_is_fresh_one_of_the_night_before_is_not(production: Settings) -> None:
    lift_and_delete(Backup)
    BackupFactory.create(at=NOW - timedelta(hours=36, seconds=1))
    assert "2026-11-23 02:59" in messages("backup_fresh")
    BackupFactory.create(at=NOW - timedelta(hours=36))
    assert found("backup_fresh") == []


def test_the_do_not_call_list_holds_for_31_days(production: Settings) -> None:
    lift_and_delete(DoNotCallImport)
    DoNotCallImportFactory.create(list_date=date(2026, 10, 23))
    assert "32 days old" in messages("do_not_call_list_fresh")
    DoNotCallImportFactory.create(list_date=date(2026, 10, 24))
    assert found("do_not_call_list_fresh") == []


def test_lists_that_end_within_a_week_are_warned_about_by_area_code(production: Settings) -> None:
    newest = DoNotCallImportFactory.create(list_date=date(2026, 11, 20))

    def listed(code: str, day: date) -> None:
        values = {"list_date": day, "since": NOW, "source": newest}
        AreaCodeList.objects.update_or_create(area_code=code, defaults=values)

    listed("416", date(2026, 11, 1))  # of 31 days, 9 are left
    assert found("do_not_call_list_fresh") == []
    listed("514", date(2026, 10, 31))
    listed("902", date(2026, 10, 25))
    assert messages("do_not_call_list_fresh") == (
        "In 2 days the national do-not-call list becomes too old for calls in: 902, 514."
    )
    listed("604", date(2026, 10, 23))
    told = found("do_not_call_list_fresh")
    assert [one.detail["area_codes"] for one in told] == [["604"], ["902", "514"]]
    assert "calls are blocked" in told[0].message
    state_exempt_calls("604", True, by=BY, at=NOW, reason="Only people who asked us.")
    assert [one.detail["area_codes"] for one in found("do_not_call_list_fresh")] == [["902", "514"]]


def test_a_statement_or_a_list_covers_an_area_code_that_is_called(production: Settings) -> None:
    a_call_without_a_list(production)
    assert messages("area_codes_covered").startswith("Open calls go to area codes without")
    state_exempt_calls("604", True, by=BY, at=NOW, reason="Only people who asked us.")
    assert found("area_codes_covered") == []
    state_exempt_calls("604", False, by=BY, at=NOW, reason="Others are called as well.")
    assert found("area_codes_covered") != []
    AreaCodeList.objects.create(
        area_code="604", list_date=date(2026, 1, 1), since=NOW, source=DoNotCallImportFactory.create()
    )
    assert found("area_codes_covered") == []


def test_sqlite_is_worth_a_warning_in_production_alone(production: Settings) -> None:
    there = [one.severity for one in found("sqlite_in_production")]
    assert there == (["WARN"] if connection.vendor == "sqlite" else [])
    production.PRODUCTION = False
    assert found("sqlite_in_production") == []


def test_a_broker_that_hangs_is_waited_for_two_seconds(production: Settings) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        production.BROKER_CONFIGURED = True
        production.CELERY_BROKER_URL = f"redis://:secret@127.0.0.1:{port}/0"
        with time_machine.travel(NOW, tick=True):
            before = os.times().elapsed
            told = messages("broker_reachable")
            took = os.times().elapsed - before
    assert "No broker answers" in told
    assert "secret" not in told
    assert took < 6


@pytest.mark.broker
def test_a_broker_that_answers_is_in_order(production: Settings, broker_url: str) -> None:
    production.BROKER_CONFIGURED, production.CELERY_BROKER_URL = True, broker_url
    asked = {one.id: one for one in status(NOW).asked}["broker_reachable"]
    assert asked.found == ()


def test_without_a_broker_that_is_told_as_a_fact(production: Settings) -> None:
    assert [(one.severity, one.message) for one in status(NOW).info if one.id == "broker_reachable"] == [
        ("INFO", "No broker is set up: one process runs the jobs itself.")
    ]


def test_a_person_of_the_company_with_a_name_of_the_demo_is_let_in(production: Settings) -> None:
    User.objects.create(username="morgan", first_name="Morgan", last_name="Lee", role="MANAGER")
    User.objects.create(
        username="audrey", first_name="Audrey", last_name="Chow", role="AUDITOR", is_active=False
    )
    assert found("no_demo_people") == []


def test_everybody_of_the_demo_is_noticed(production: Settings) -> None:
    demo_people.make_team(NOW, "demo")
    told = found("no_demo_people")[0].detail["usernames"]
    assert sorted(told) == sorted([*(person.name for person in demo_people.PEOPLE), demo_people.PROGRAM])


# --- all of it together -------------------------------------------------------------------------------------


def test_in_proper_order_go_live_is_enabled_and_before_that_it_answers_412(
    production: Settings, api: Api
) -> None:
    client = api("MANAGER", "mona")
    ConsentStatement.objects.filter(channel="SMS").delete()
    engage(production)
    refused = client.post("/api/governance/go-live/enable", {"reason": "first day"}, format="json")
    assert refused.status_code == 412
    assert [one["id"] for one in refused.json()["blockers"]] == ["kill_switch_clear", "consent_stated"]
    assert client.get("/api/governance/runbook/status").json()["blockers"] == refused.json()["blockers"]

    state_consent("SMS", "By web form.", by=BY, at=NOW, reason="counsel said so")
    set_kill_switch(False, by=BY, at=NOW, reason="the fire is out")
    assert client.get("/api/governance/runbook/status").json()["ok_to_enable_go_live"] is True
    assert client.get("/api/governance/go-live/checklist").json()["ok_to_enable_go_live"] is True
    answer = client.post("/api/governance/go-live/enable", {"reason": "first day"}, format="json")
    assert (answer.status_code, answer.json()["go_live_enabled"]) == (200, True)
    assert state().go_live_enabled


def test_the_page_of_the_switches_enables_it_too(production: Settings, client: Client) -> None:
    client.force_login(User.objects.get(username="mona"))
    page = "/admin/governance/golivestate/1/change/"
    given = {"turn": "enable", "change_reason": "first day"}
    engage(production)
    assert client.post(page, given).status_code == 412
    set_kill_switch(False, by=BY, at=NOW, reason="the fire is out")
    assert client.post(page, given).status_code == 302
    assert GoLiveState.objects.get().go_live_enabled


def test_asking_costs_the_same_number_of_queries_whatever_there_is(
    production: Settings, api: Api, client: Client
) -> None:
    for number in range(30):
        BackupFactory.create(at=NOW - timedelta(days=number))
        throttle(f"ENGINE_{number}", "WHOLESALE/followup_sla", by=BY, at=NOW)
    manager = api("MANAGER")
    client.force_login(User.objects.get(username="mona"))

    def queries(ask: Callable[[], object]) -> int:
        with CaptureQueriesContext(connection) as captured:
            ask()
        return sum("SAVEPOINT" not in query["sql"] for query in captured)

    assert queries(lambda: status(NOW)) <= QUERIES
    for path in ("status", "markdown"):
        assert queries(partial(manager.get, f"/api/governance/runbook/{path}")) <= QUERIES + 3
    assert queries(lambda: client.get("/admin/governance/runbook/")) <= QUERIES + 6
    assert queries(lambda: client.get("/admin/governance/golivestate/1/change/")) <= QUERIES + 7


# --- a real process -----------------------------------------------------------------------------------------

TELL = """
import json
from django.utils import timezone
from governance.runbook.services import status
runbook = status(timezone.now())
print("\x1e", json.dumps({
    "blockers": [one.id for one in runbook.blockers],
    "warnings": [one.id for one in runbook.warnings],
    "ok": runbook.ok_to_enable_go_live,
}), "\x1e")
"""
ROLES = "from django.core.management import call_command; call_command('sync_roles', verbosity=0)"
SET_UP = """
from django.utils import timezone
from governance.core.actors import Actor
from governance.contact.statements import state_consent, state_exempt_calls
from governance.models import User
from governance.outbox.services import beat
from governance.accounts import last_manager
User.objects.create_user("mona", "mona@example.ca", "a long password of hers", role="MANAGER")
for channel in ("SMS", "EMAIL"):
    state_consent(channel, "By web form.", by=Actor.system("t"), at=timezone.now(), reason="counsel said so")
beat(timezone.now())
from django.core.management import call_command
call_command("import_do_not_call", {sheet!r}, "--date", {day!r})
call_command("backup")
"""


@pytest.mark.once
def test_a_new_installation_names_exactly_what_it_lacks_and_is_ready_when_it_has_it(
    migrated_url: str, tmp_path: Path
) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("VALHALLA_TEST")}
    for name in ("ENV", "SECRET_KEY", "GO_LIVE_ENFORCE", "TLS", "ALLOWED_HOSTS"):
        plain.pop(name, None)
    plain |= {"DATABASE_URL": migrated_url, "VALHALLA_VAR": str(tmp_path / "var")}

    def manage(*command: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env={**plain, **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def told(**environment: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(
            manage("shell", "-v0", "-c", TELL, **environment).split("\x1e")[1]
        )
        return answer

    sheet = tmp_path / "list.csv"
    sheet.write_text("areacode,number\n416,5550101\n")
    day = timezone.now().date() - timedelta(days=1)
    set_up = SET_UP.format(sheet=str(sheet), day=str(day))
    lacks, has = map(
        json.loads, manage("shell", "-v0", "-c", f"{ROLES}{TELL}{set_up}{TELL}").split("\x1e")[1::2]
    )
    assert lacks["ok"] is False
    assert lacks["blockers"] == [
        "go_live_checklist",  # the switches are not obeyed
        "go_live_checklist",  # there is no manager
        "env_sanity",  # ENV is development
        "consent_stated",
        "jobs_alive",
    ]
    assert lacks["warnings"] == ["do_not_call_list_fresh", "backup_fresh", "tls_on", "mail_is_sent"]

    assert set(has["blockers"]) == {"go_live_checklist", "env_sanity"}
    proper = {
        "ENV": "production",
        "ALLOWED_HOSTS": "valhalla.example",
        "SECRET_KEY": "kY5-z" * 12,
        "EMAIL_URL": "smtp+tls://mail.example",
    }
    # SQLite has one writer, and on PostgreSQL one role does everything here
    of_database = "sqlite_in_production" if migrated_url.startswith("sqlite") else "database_roles"
    assert told(**proper) == {"blockers": [], "warnings": [of_database], "ok": True}
    loose = told(**proper, TLS="0", GO_LIVE_ENFORCE="0")
    assert set(loose["warnings"]) == {of_database, "tls_on"}
    assert loose["blockers"] == ["go_live_checklist"]


def test_somebody_without_the_right_enables_nothing_even_in_proper_order(
    production: Settings, by: Callable[..., Actor]
) -> None:
    for role in ("VA", "CLOSER", "AUDITOR", "SERVICE"):
        with pytest.raises(Exception, match="Only a manager"):
            set_go_live(True, by=by(role), at=NOW, reason="x")
    assert not state().go_live_enabled


# --- where each line leads ----------------------------------------------------------------------------------

# put right by whoever runs the machine, as the line says
OF_THE_MACHINE = {
    "go_live_checklist", "env_sanity", "migrations_applied", "zone_data_current", "sqlite_in_production",
    "broker_reachable", "tls_on", "files_private", "database_roles", "disk_has_room", "processes_running",
    "second_factor_key",
}  # fmt: skip


@pytest.mark.once
@pytest.mark.parametrize("role", ["MANAGER", "AUDITOR"])
def test_every_line_of_the_runbook_leads_to_the_screen_where_it_is_put_right(role: str) -> None:
    client = Client()
    client.force_login(make_person(role))
    for known in registered():
        assert bool(known.url) is (known.id not in OF_THE_MACHINE), known.id
        if known.url:
            assert client.get(known.url, follow=True).status_code == 200, known.id
