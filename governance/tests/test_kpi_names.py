"""The one dictionary of metrics, targets and figures."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from governance.kpi.models import Target
from governance.kpi.names import METRICS, TARGETS, Unit, figure_label, metric_label, unit_of
from governance.kpi.rules import AT_LEAST, AT_MOST, MORE_THAN
from governance.tripwire.names import read_names

pytestmark = pytest.mark.once


def literals() -> Iterator[tuple[str, str]]:
    """Yield every domain and metric that product code writes out side by side in a call."""
    for app in ("governance", "followups", "buyers", "offers"):
        for path in sorted((Path(settings.BASE_DIR) / app).rglob("*.py")):
            if {"tests", "migrations"} & set(path.parts):
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not isinstance(node, ast.Call) or len(node.args) < 2:
                    continue
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                pair = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
                if name in {"Kpi", "emit_kpi", "kpi_success", "kpi_fail", "kpi_value"} and len(pair) == 2:
                    yield str(pair[0]), str(pair[1])


def test_every_metric_that_is_emitted_is_in_the_dictionary() -> None:
    written = set(literals())
    assert written <= set(METRICS), "name these in governance/kpi/names.py"


def test_every_name_can_be_watched() -> None:
    for domain, name in METRICS:
        assert read_names(domain, name) == (domain, name)


def test_what_has_a_label_is_told_by_it_and_the_rest_by_its_code() -> None:
    assert metric_label("WHOLESALE", "offer_generated", unknown="x") == "Offers computed"
    assert metric_label("BACK_OFFICE", "rows_imported", unknown="rows_imported") == "rows_imported"
    assert metric_label("CAPITAL", "offer_generated", unknown="offer_generated") == "offer_generated"
    assert unit_of("WHOLESALE", "followup_sla") is Unit.MINUTES
    assert unit_of("ELSEWHERE", "followup_sla") is Unit.NUMBER


def test_the_choices_of_a_target_are_its_names() -> None:
    choices = dict(Target._meta.get_field("metric").flatchoices)
    assert list(choices) == list(TARGETS)
    assert {target.comparison for target in TARGETS.values()} <= {AT_LEAST, MORE_THAN, AT_MOST}
    assert figure_label("open_throttles") == "Open throttles"
    assert (figure_label("runbook"), figure_label("new_one")) == ("Runbook", "new_one")
