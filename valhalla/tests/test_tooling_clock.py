"""The suite at any hour: a run that is told when to begin moves the clock of every program it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTANTS = [
    line.split()[0] for line in (ROOT / ".ci/instants").read_text().splitlines() if not line.startswith("#")
]
PROGRAMS = """
import datetime, subprocess
print(datetime.datetime.now(datetime.UTC).isoformat())
print(subprocess.check_output(["date", "--utc", "+%FT%TZ"], text=True))
"""

pytestmark = pytest.mark.once


@pytest.mark.parametrize("instant", [min(INSTANTS), max(INSTANTS)])
def test_every_program_of_a_run_begins_at_its_instant(instant: str) -> None:
    of_this_run = ("VALHALLA_TEST_", "PYTEST_", "DJANGO_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(of_this_run)}
    printed = subprocess.check_output(
        [
            *(sys.executable, "-c"),
            "import conftest, subprocess, sys; "
            f"print(subprocess.check_output([sys.executable, '-c', {PROGRAMS!r}], text=True))",
        ],
        cwd=ROOT,
        env={**environment, "VALHALLA_TEST_INSTANT": instant},
        text=True,
    )
    begun = datetime.fromisoformat(instant).replace(tzinfo=UTC)
    for of_program in printed.split():
        assert timedelta() <= datetime.fromisoformat(of_program) - begun < timedelta(minutes=2)
    assert len(printed.split()) == 2


def test_there_are_twelve_different_instants() -> None:
    assert len(set(INSTANTS)) == 12
