"""The database's engine: kept connections that the server closed, instants read by Python's parser."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import DataError, NotSupportedError, connections, transaction

from governance.core.compiled import CompiledQuery, Param, insert_rows
from governance.models import KpiEvent, MarketPolicy
from valhalla.tests.plans import plans_of

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def mine() -> Any:
    return connections["default"]


def ask(sql: str, *values: object) -> Any:
    with mine().cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone()[0]


def another() -> psycopg.Connection[tuple[object, ...]]:
    names = {"host": "HOST", "port": "PORT", "user": "USER", "dbname": "NAME", "password": "PASSWORD"}
    settings = mine().settings_dict
    known = {name: settings[key] for name, key in names.items() if settings[key]}
    return psycopg.connect(**known, autocommit=True)


def ask_as_another(sql: str, *values: object) -> object:
    with another() as other:
        return other.execute(sql.encode(), values).fetchone()[0]  # type: ignore[index]  # always a row


def test_a_kept_connection_is_used_again_without_a_question() -> None:
    pid = ask("SELECT pg_backend_pid()")
    assert mine().is_usable()
    last = ask_as_another("SELECT query FROM pg_stat_activity WHERE pid = %s", pid)
    assert last == "SELECT pg_backend_pid()"


def test_one_that_the_server_closed_is_replaced_by_a_new_one() -> None:
    pid = ask("SELECT pg_backend_pid()")
    assert ask_as_another("SELECT pg_terminate_backend(%s, 5000)", pid)
    assert not mine().is_usable()
    mine().health_check_enabled, mine().health_check_done = True, False  # as when a request begins
    assert ask("SELECT pg_backend_pid()") != pid


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 11, 24, 15, 0, tzinfo=UTC),
        datetime(2026, 11, 24, 15, 0, 7, 100_000, tzinfo=UTC),
        datetime(2026, 11, 24, 15, 0, 7, 1, tzinfo=UTC),
        datetime(1900, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
)
def test_an_instant_comes_back_as_it_was_in_utc(at: datetime) -> None:
    found = ask("SELECT %s::timestamptz", at)
    assert (found, found.tzinfo) == (at, UTC)


def test_it_is_the_same_instant_where_the_session_has_another_zone() -> None:
    at = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    ask("SELECT set_config('TimeZone', 'America/St_Johns', false)")
    try:
        found = ask("SELECT %s::timestamptz", at)
    finally:
        ask("SELECT set_config('TimeZone', 'UTC', false)")
    assert (found, found.utcoffset()) == (at, timedelta())


@pytest.mark.parametrize("text", ["infinity", "-infinity", "0044-03-15 BC"])
def test_what_no_python_date_can_hold_is_an_error_as_ever(text: str) -> None:
    with pytest.raises(DataError):
        ask("SELECT %s::timestamptz", text)


# --- prepared statements ------------------------------------------------------------------------------------


@CompiledQuery
def zone_of() -> Any:
    return MarketPolicy.objects.filter(province=Param("province")).values_list("timezone", flat=True)


def prepared() -> object:
    return ask("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%%timezone%%'")


def test_a_compiled_query_is_prepared_once_on_a_connection() -> None:
    mine().close()
    for province in ("ON", "QC", "it's"):
        zone_of(province=province)
    assert prepared() == 1


def test_its_plan_is_asked_with_its_values_and_for_whatever_values_come() -> None:
    plans = plans_of(lambda: zone_of(province="it's %"))
    assert [re.findall(r'"province" = (.*) ORDER', plan.sql) for plan in plans] == [["'it''s %'"], ["%s"]]
    assert all("governance_marketpolicy" in {*plan.read} for plan in plans)


def test_an_insert_is_prepared_once_whichever_of_its_values_are_missing() -> None:
    mine().close()
    now = datetime.now(UTC)
    for number in (None, 7, 70_000, 5_000_000_000):
        value = None if number is None else Decimal(number) / 8
        insert_rows([KpiEvent(domain="X", metric=f"{number}", value=value, created_at=now)])
    assert ask("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'INSERT%%'") == 1
    kept = dict(KpiEvent.objects.filter(domain="X").values_list("metric", "value"))
    assert kept == {"None": None, "7": Decimal("0.875"), "70000": 8750, "5000000000": 625_000_000}


def make_zones_hold(most: int) -> None:
    with another() as other:
        other.execute(
            f"ALTER TABLE governance_marketpolicy ALTER COLUMN timezone TYPE varchar({most})".encode()
        )


def test_one_prepared_before_a_migration_changed_its_column_answers_after_it() -> None:
    zone_of(province="ON")
    make_zones_hold(50)
    try:
        with pytest.raises(NotSupportedError), transaction.atomic():
            zone_of(province="ON")
        assert zone_of(province="ON") == [""]
    finally:
        make_zones_hold(40)
    assert zone_of(province="ON") == [""]
    assert prepared() == 1
