"""The database's engine: kept connections that the server closed, instants read by Python's parser."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import DataError, connections

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def mine() -> Any:
    return connections["default"]


def ask(sql: str, *values: object) -> Any:
    with mine().cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone()[0]


def ask_as_another(sql: str, *values: object) -> object:
    names = {"host": "HOST", "port": "PORT", "user": "USER", "dbname": "NAME", "password": "PASSWORD"}
    settings = mine().settings_dict
    known = {name: settings[key] for name, key in names.items() if settings[key]}
    with psycopg.connect(**known, autocommit=True) as other:
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
