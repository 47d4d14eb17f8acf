"""The bench's own arithmetic: what its report says of figures that are known."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.calls import CALLS, Prepared
from bench.machine import Server
from bench.measure import Figure, Measured, Plan
from bench.report import goal, worse, write

pytestmark = pytest.mark.once
KEPT = {"due": {"statements": 5, "bare_views": 10.0}}


def figures(bare_views: float) -> dict[str, object]:
    return {
        "statements": 5,
        "app": 3.0,
        "postgres": 1.0,
        "bare_views": bare_views,
        "p50": 4.0,
        "p95": 9.0,
    }


def test_a_call_in_bare_views_is_the_median_of_rounds_each_with_its_own_floor() -> None:
    rounds = [Figure(3, 1, [1.0]), Figure(30, 10, [2.0]), Figure(4, 2, [3.0])]
    floors = [Figure(1, 1, []), Figure(10, 10, []), Figure(1, 1, [])]
    one = Measured("due", rounds, floors, 5)
    assert (one.in_bare_views, one.cpu, one.p50) == (2.0, 6.0, 2.0)


@pytest.mark.parametrize(
    ("statements", "bare_views", "said"),
    [
        (5, 13.9, []),
        (4, 2.0, []),
        (6, 10.0, ["due: 6 statements, 5 before"]),
        (5, 14.1, ["due: 14.10 bare views, 10.00 before"]),
    ],
)
def test_a_check_fails_for_one_more_statement_or_forty_percent(
    statements: int, bare_views: float, said: list[str]
) -> None:
    assert worse({"due": {"statements": statements, "bare_views": bare_views}}, KEPT) == said


def test_a_report_has_the_growth_both_trees_and_a_plot_of_each_call(tmp_path: Path) -> None:
    sizes = {10_000: {"due": figures(2.0)}, 100_000: {"due": figures(3.0)}}
    report = write(tmp_path, {"before": sizes, "this tree": {100_000: {"due": figures(1.5)}}}).read_text()
    assert "| due | 5 | 3.00+1.00 | 3.00 | 5.74 | 4.0 | 9.0 | 1.50 |" in report
    assert "| due | 3.00 | 1.50 | 0.50 |" in report
    assert ElementTree.parse(tmp_path / "due.svg").getroot().tag.endswith("svg")
    assert json.loads((tmp_path / "figures.json").read_text())["before"]["10000"]["due"]["app"] == 3.0


def test_each_of_the_sixteen_calls_has_a_goal_of_half_the_references_cost() -> None:
    aims = [aim for call in CALLS if (aim := goal(call.name)) is not None]
    assert len(aims) == 16
    assert goal("market.effective") == pytest.approx(2.1 / 2 / 0.61)


def test_a_call_that_uses_tasks_up_is_made_as_often_as_there_are_some() -> None:
    complete = next(call for call in CALLS if call.name == "task.complete")
    plan = Plan(complete, Prepared("", "", "", tasks=list(range(50))), rounds=2, seconds=10)
    plan.take(8)
    counts = []
    for _round in range(2):
        first, count = plan.take(plan.per_round(1.0))
        counts.append((first, count))
    assert counts == [(8, 21), (29, 21)]


def test_the_time_that_a_process_takes_is_read_finely(tmp_path: Path) -> None:
    work = "x = sum(range(3_000_000)); print(flush=True); import time; time.sleep(20)"
    server = Server(["python3", "-c", work], tmp_path)
    try:
        while not server.log.read_text():
            pass
        took = server.milliseconds()
        assert took > 5
        assert took != int(took)
    finally:
        server.process.kill()
        server.process.wait()
