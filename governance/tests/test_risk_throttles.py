"""Throttles: a tripwire holds an engine back once, and a manager lets it go for a reason."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid
from governance.risk.models import RiskEvent, RiskThrottle
from governance.risk.querysets import Span, open_throttles, throttled_spans
from governance.risk.services import release_throttle, throttle
from governance.tests.factories import NOW

pytestmark = pytest.mark.both

MakeBy = Callable[..., Actor]
JOB = Actor.system("evaluate")
SLA, LADDERS = "WHOLESALE/followup_sla", "WHOLESALE/ladder_created"
HOUR = timedelta(hours=1)


@pytest.mark.django_db
def test_a_tripwire_throttles_an_engine_once() -> None:
    assert throttle("WHOLESALE", SLA, by=JOB, at=NOW)
    assert not throttle("WHOLESALE", SLA, by=JOB, at=NOW + HOUR)
    row = open_throttles().get()
    assert (row.engine, row.tripwire, row.since, row.actor) == ("WHOLESALE", SLA, NOW, "evaluate")
    assert RiskEvent.objects.get().kind == "THROTTLED"


@pytest.mark.django_db
def test_two_tripwires_hold_an_engine_until_both_are_released(by: MakeBy) -> None:
    throttle("WHOLESALE", SLA, by=JOB, at=NOW)
    throttle("WHOLESALE", LADDERS, by=JOB, at=NOW)
    assert release_throttle(SLA, by=by("MANAGER"), at=NOW, reason="phones were down") == 1
    assert [row.tripwire for row in open_throttles(["WHOLESALE"])] == [LADDERS]
    assert not open_throttles(["CAPITAL"]).exists()


@pytest.mark.django_db
def test_a_release_keeps_who_and_why_and_frees_every_engine_of_the_tripwire(by: MakeBy) -> None:
    for engine in ("WHOLESALE", "CAPITAL"):
        throttle(engine, SLA, by=JOB, at=NOW)
    mona = by("MANAGER", "mona")
    assert release_throttle(SLA, by=mona, at=NOW + HOUR, reason="phones were down") == 2
    assert release_throttle(SLA, by=mona, at=NOW + 2 * HOUR, reason="again") == 0
    for row in RiskThrottle.objects.all():
        assert (row.released_at, row.released_by, row.reason) == (NOW + HOUR, "mona", "phones were down")
    kinds = list(RiskEvent.objects.order_by("id").values_list("kind", flat=True))
    assert kinds == ["THROTTLED", "THROTTLED", "THROTTLE_RELEASED", "THROTTLE_RELEASED"]


@pytest.mark.django_db
def test_what_was_released_can_be_throttled_again(by: MakeBy) -> None:
    throttle("WHOLESALE", SLA, by=JOB, at=NOW)
    release_throttle(SLA, by=by("MANAGER"), at=NOW, reason="looked at")
    assert throttle("WHOLESALE", SLA, by=JOB, at=NOW + HOUR)
    assert RiskThrottle.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["VA", "CLOSER", "AUDITOR", "SERVICE"])
def test_only_a_manager_releases(role: str, by: MakeBy) -> None:
    throttle("WHOLESALE", SLA, by=JOB, at=NOW)
    with pytest.raises(Forbidden):
        release_throttle(SLA, by=by(role), at=NOW, reason="please")
    assert open_throttles().exists()


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["", "   "])
def test_a_release_needs_a_reason(reason: str, by: MakeBy) -> None:
    throttle("WHOLESALE", SLA, by=JOB, at=NOW)
    with pytest.raises(Invalid):
        release_throttle(SLA, by=by("MANAGER"), at=NOW, reason=reason)
    assert open_throttles().exists()


@pytest.mark.django_db
def test_the_times_in_which_an_engine_was_held_back_are_told(by: MakeBy) -> None:
    manager = by("MANAGER")
    throttle("WHOLESALE", SLA, by=JOB, at=NOW)
    release_throttle(SLA, by=manager, at=NOW + HOUR, reason="looked at")
    throttle("WHOLESALE", LADDERS, by=JOB, at=NOW + 3 * HOUR)
    throttle("CAPITAL", SLA, by=JOB, at=NOW)
    first, second = Span(SLA, NOW, NOW + HOUR), Span(LADDERS, NOW + 3 * HOUR, None)
    assert throttled_spans("WHOLESALE", NOW - HOUR, NOW + 4 * HOUR) == [first, second]
    assert throttled_spans("WHOLESALE", NOW + HOUR, NOW + 4 * HOUR) == [second]
    assert throttled_spans("WHOLESALE", NOW - HOUR, NOW) == []
    assert throttled_spans("WHOLESALE", NOW + 5 * HOUR, NOW + 6 * HOUR) == [second]


@pytest.mark.django_db
def test_the_database_keeps_one_open_throttle_per_engine_and_tripwire() -> None:
    throttle("WHOLESALE", SLA, by=JOB, at=NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        RiskThrottle.objects.create(engine="WHOLESALE", tripwire=SLA, since=NOW)


@pytest.mark.django_db(transaction=True)
def test_of_many_evaluations_at_once_one_throttles() -> None:
    def evaluate(_number: int) -> bool:
        try:
            return throttle("WHOLESALE", SLA, by=JOB, at=NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(evaluate, range(16)))
    assert sorted(answers) == [False] * 15 + [True]
    assert RiskEvent.objects.count() == RiskThrottle.objects.count() == 1
