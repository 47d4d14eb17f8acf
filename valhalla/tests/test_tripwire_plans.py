"""Fifty-two tripwires over a million KPI events: PostgreSQL answers each from an index, a part of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from bench.volume import analyze, insert, one_of, series
from governance.core.actors import Actor
from governance.kpi.models import KpiEvent
from governance.tripwire.models import RegressionPolicy, RegressionState
from governance.tripwire.querysets import standing_tripwires
from governance.tripwire.services import evaluate_tripwires
from valhalla.testing import put_back
from valhalla.tests.plans import Plan, plans_of

NOW = datetime(2026, 11, 24, 11, 0, tzinfo=UTC)  # 06:00 in Toronto
PART, WHOLE = 100_000, 1_000_000
DAYS = 300
TRIPWIRES = 52
METRICS = tuple(f"m{number:02}" for number in range(TRIPWIRES))
MEASURES = ("SUCCESS_RATE",) * 8 + ("MEAN", "VOLUME")
EVENTS = "governance_kpievent"
JOB = Actor.system("governance.evaluate_tripwires")

pytestmark = [pytest.mark.postgres, pytest.mark.django_db, pytest.mark.xdist_group("tripwire-plans")]


@pytest.fixture(scope="module", params=[PART, pytest.param(WHOLE, marks=pytest.mark.long)])
def many_events(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[int]:
    with django_db_blocker.unblock():
        fill(request.param)
        analyze()
    yield request.param
    with django_db_blocker.unblock():
        put_back()


def fill(events: int) -> None:
    """Make events of 52 metrics spread over 300 days; one in a thousand corrects the one 52 before it."""
    began = f"'{NOW.isoformat()}'::timestamptz - interval '{DAYS} days' * ({events} - n) / {events}"
    first = (KpiEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0) + 1
    insert(
        "governance.KpiEvent",
        series(events),
        id=f"{first} + n",
        domain="'WATCHED'",
        metric=one_of(METRICS, "n"),
        success="(n::bigint * 7919) % 10 > 1",
        value="(n::bigint * 7919) % 100",
        created_at=began,
        detail=f"""CASE WHEN n % 1000 = 999 THEN jsonb_build_object('corrects', {first} + n - {TRIPWIRES})
                   ELSE '{{}}'::jsonb END""",
    )
    RegressionPolicy.objects.update(enabled=False)
    start = NOW.replace(month=2, day=1)
    for number, metric in enumerate(METRICS):
        policy = RegressionPolicy.objects.create(
            domain="WATCHED",
            metric=metric,
            measure=MEASURES[number % len(MEASURES)],
            enabled=True,
            changed_by="tests",
            updated_at=NOW,
        )
        RegressionState.objects.create(policy=policy, starts_at=start)


def of_events(plans: list[Plan]) -> list[Plan]:
    return [plan for plan in plans if EVENTS in plan.read]


def evaluate() -> list[RegressionState]:
    return evaluate_tripwires(NOW, by=JOB)


def test_no_look_walks_through_the_events(many_events: int) -> None:
    plans = of_events(plans_of(evaluate))
    assert len(plans) >= 2 * TRIPWIRES, "events and corrections of each"
    assert [str(plan) for plan in plans if plan.walked] == []
    used = set().union(*(plan.indexes for plan in plans))
    assert {"kpi_figures", "kpi_corrections"} <= used
    # of 300 days a look reads the baseline's stretch and the newest days, and leaves the rest alone
    a_day = many_events / TRIPWIRES / DAYS
    for plan in plans:
        assert plan.read[EVENTS] <= 90 * a_day + 100, str(plan)


def test_figures_are_read_from_the_index_alone(many_events: int) -> None:
    summed = [plan for plan in of_events(plans_of(evaluate)) if "SUM(" in plan.sql]
    assert len(summed) >= TRIPWIRES
    assert [str(plan) for plan in summed if plan.indexes != {"kpi_figures"} or not plan.only_indexes] == []


def test_all_of_them_are_judged_in_seconds(many_events: int) -> None:
    begun = time.process_time()
    states = evaluate()
    took = time.process_time() - begun
    assert len(states) == TRIPWIRES
    assert {state.verdict for state in states} <= {"CLEAR", "WARNING", "TRIPPED"}
    assert took < 10, f"{took:.1f} s of CPU for {TRIPWIRES} tripwires over {many_events} events"
    again = time.process_time()
    evaluate()
    assert time.process_time() - again < 10


def test_what_every_page_asks_reads_no_events(many_events: int) -> None:
    plans = plans_of(standing_tripwires)
    assert len(plans) == 1
    assert of_events(plans) == []


def test_a_walk_would_be_noticed(many_events: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_indexscan = off")
        cursor.execute("SET LOCAL enable_indexonlyscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
    assert [plan for plan in of_events(plans_of(evaluate)) if plan.walked]
