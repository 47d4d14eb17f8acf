"""While the database is away every call answers 503, and the log tells it once."""

from __future__ import annotations

import logging
import os
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from django.conf import settings
from django.db import DatabaseError, OperationalError
from django.db.backends.signals import connection_created

from conftest import OF_SETTINGS, answers_at, free_port, start_server, wait_until
from valhalla.logs import OutageFilter, is_outage

pytestmark = pytest.mark.once
CALLS = 12
AWAY = "the database does not answer"


@pytest.mark.parametrize("away", ["postgresql://valhalla@127.0.0.1:{port}/gone", "sqlite:////{var}/gone/db"])
def test_an_outage_is_one_line_of_the_log_and_every_call_answers_503(away: str, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in OF_SETTINGS}
    port, log = free_port(), tmp_path / "log"
    start_server(
        [
            *(sys.executable, "-m", "gunicorn", "valhalla.wsgi:application", "--no-control-socket"),
            *("--worker-class", "gthread", "--bind", f"127.0.0.1:{port}", "--log-level", "warning"),
        ],
        log,
        stop_with=signal.SIGTERM,
        cwd=settings.BASE_DIR,
        env={
            **kept,
            "VALHALLA_VAR": str(tmp_path),
            "DATABASE_URL": away.format(port=free_port(), var=str(tmp_path).lstrip("/")),
        },
    )
    wait_until(lambda: answers_at(port), "the web server", log)

    answers = []
    for _call in range(CALLS):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/governance/market/effective?province=ON",
            headers={"Authorization": "Bearer of-nobody"},
        )
        with pytest.raises(urllib.error.HTTPError) as answer:
            urllib.request.urlopen(request, timeout=30)
        answers.append(answer.value.code)

    assert answers == [503] * CALLS
    printed = log.read_text()
    assert printed.count(AWAY) == 1
    assert "Traceback" not in printed


def refused(problem: Exception) -> logging.LogRecord:
    return logging.LogRecord(
        "django.request",
        logging.ERROR,
        "",
        0,
        "Service Unavailable: %s",
        ("/x",),
        (type(problem), problem, None),
    )


def test_the_line_says_why_and_the_next_outage_has_its_own(caplog: pytest.LogCaptureFixture) -> None:
    outage = OutageFilter()
    gone = OperationalError("connection refused\n\tIs the server running?")

    first = refused(gone)
    assert [outage.filter(first), *(outage.filter(refused(gone)) for _ in range(3))] == [
        True,
        False,
        False,
        False,
    ]
    assert first.getMessage() == f"{AWAY}: connection refused Is the server running? (OperationalError)"
    assert first.exc_info is None

    connection_created.send(sender=None, connection=None)
    assert "3 more errors were not logged" in caplog.text
    assert outage.filter(refused(gone))


def test_other_errors_of_the_database_keep_their_traceback() -> None:
    outage = OutageFilter()
    locked = OperationalError("database is locked")
    locked.__cause__ = type("Locked", (Exception,), {"sqlite_errorname": "SQLITE_BUSY"})()
    deadlock = OperationalError("deadlock detected")
    deadlock.__cause__ = type("Deadlock", (Exception,), {"sqlstate": "40P01"})()

    for problem in (locked, deadlock, DatabaseError("syntax"), ValueError("x")):
        assert not is_outage(problem)
        record = refused(problem)
        assert outage.filter(record)
        assert outage.filter(refused(problem))
        assert record.exc_info is not None
