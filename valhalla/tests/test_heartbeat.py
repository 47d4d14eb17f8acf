"""The heartbeat shows that jobs are being run, and forgets stored answers past their day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from governance.core.actors import Role
from governance.models import Heartbeat, IdempotentAnswer, JobSlot, User
from governance.outbox.services import beat
from governance.tasks import heartbeat

AT = datetime(2026, 11, 24, 15, 7, tzinfo=UTC)

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def test_the_first_beat_makes_the_row_and_later_ones_move_it() -> None:
    beat(AT)
    beat(AT + timedelta(minutes=1))

    assert Heartbeat.objects.get().at == AT + timedelta(minutes=1)


def test_a_late_beat_does_not_move_the_time_back() -> None:
    beat(AT)
    beat(AT - timedelta(minutes=3))

    assert Heartbeat.objects.get().at == AT


def test_a_beat_dated_ahead_by_a_wrong_clock_is_moved_back() -> None:
    beat(AT + timedelta(days=1))
    beat(AT)

    assert Heartbeat.objects.get().at == AT


def test_answers_are_forgotten_after_a_day(person: Callable[..., User]) -> None:
    user = person(Role.SERVICE)
    for key, age in (("old", 25), ("young", 23)):
        IdempotentAnswer.objects.create(
            user=user, key=key, request_hash="x", status=200, created_at=AT - timedelta(hours=age)
        )

    assert beat(AT)["answers"] == 1
    assert IdempotentAnswer.objects.get().key == "young"


def test_the_task_beats_once_a_minute_and_keeps_what_it_did() -> None:
    heartbeat.apply(throw=True)

    run = JobSlot.objects.get()
    assert (run.job, run.result) == ("governance.heartbeat", {"answers": 0})
    assert run.finished_at is not None
    assert Heartbeat.objects.get().at == run.started_at
