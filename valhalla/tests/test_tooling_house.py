"""What the import contracts cannot see: what rules know, and that the tools themselves say no."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("valhalla", "governance", "followups", "buyers", "offers")
RULES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "rules" in (path.stem, path.parent.name) and "tests" not in path.parts
)
OF_THE_ORM = ("django.db", "django.conf", "django.apps", "django.utils.timezone", "django.contrib")
CHOICES = {"django.db.models.TextChoices", "django.db.models.IntegerChoices"}
CLOCK = {"now", "utcnow", "today", "localtime", "localdate", "time", "monotonic"}

pytestmark = pytest.mark.once


def knowledge(source: str) -> Iterator[str]:
    """What a module knows and rules must not: the ORM, settings, and the present moment."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCK:
            of = node.func.value
            if isinstance(of, ast.Name | ast.Attribute) and ast.unparse(of).split(".")[-1] in {
                *("datetime", "date", "time", "timezone"),
            }:
                yield ast.unparse(node.func)
        yield from (name for name in names if name.startswith(OF_THE_ORM) and name not in CHOICES)


def test_rules_know_neither_the_orm_nor_settings_nor_the_clock() -> None:
    assert ROOT / "followups/rules/completion.py" in RULES
    known = {str(path.relative_to(ROOT)): list(knowledge(path.read_text())) for path in RULES}
    assert {path: found for path, found in known.items() if found} == {}


@pytest.mark.parametrize(
    "line",
    [
        "from django.db import models",
        "from django.conf import settings",
        "from django.utils import timezone",
        "import datetime; datetime.datetime.now()",
        "from datetime import date; date.today()",
    ],
)
def test_a_rule_that_knows_too_much_is_found(line: str) -> None:
    assert list(knowledge(line))


SILENT = re.compile(r"# (?:type: ignore|noqa)[^#]*$")  # without a second comment


def test_who_silences_a_checker_says_why() -> None:
    sources = [path for package in (*PACKAGES, "bench") for path in (ROOT / package).rglob("*.py")]
    assert len(sources) > 400
    found = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in [*sources, ROOT / "conftest.py", ROOT / "manage.py"]
        for line in path.read_text().splitlines()
        if "migrations" not in path.parts and SILENT.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("line", ["type: ignore[misc]", "noqa: DJ001"])
def test_a_silenced_checker_without_a_reason_is_found(line: str) -> None:
    assert SILENT.search(f"x = 1  # {line}")
    assert not SILENT.search(f"x = 1  # {line}  # the stubs are wrong")


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with this project's configuration on a file that lies elsewhere."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    for name in ("DJANGO_SETTINGS_MODULE", "VALHALLA_TEST_SUMMARY", "VALHALLA_TEST_DB"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-c", str(ROOT / "pyproject.toml")]
    return subprocess.run(
        [*command, str(folder), *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def skipping(tmp_path: Path) -> Path:
    (tmp_path / "test_one.py").write_text(
        "import pytest\n"
        "@pytest.mark.long\ndef test_long(): pass\n"
        "def test_usual(): pass\n"
        "@pytest.mark.skip(reason='no time')\ndef test_lazy(): pass\n"
    )
    return tmp_path


def test_a_test_skipped_without_leave_fails_the_run(skipping: Path) -> None:
    ended = run_pytest(skipping, "--refuse-skips")
    assert ended.returncode == 1, ended.stdout
    assert "test_lazy: Skipped: no time" in ended.stdout
    assert (
        "test_long"
        not in ended.stdout.partition("skipped without leave")[2].partition("short test summary")[0]
    )


def test_a_long_test_is_skipped_with_leave_and_runs_when_asked(skipping: Path) -> None:
    usual = run_pytest(skipping, "--refuse-skips", "-k", "not lazy")
    assert usual.returncode == 0, usual.stdout
    assert "1 passed, 1 skipped, 1 deselected" in usual.stdout
    long = run_pytest(skipping, "--long", "-m", "long")
    assert "1 passed" in long.stdout
