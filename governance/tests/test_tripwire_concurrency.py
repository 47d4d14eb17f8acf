"""The daily job, a manager and clients who have a figure judged at the same moment: it acts once."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
from django.db import OperationalError

from governance.core.actors import Actor
from governance.core.errors import Refused
from governance.golive.models import GoLiveState
from governance.models import User
from governance.outbox.models import OutboxMessage
from governance.risk.models import RiskThrottle
from governance.tests.tripping import DAY, ROI, SLA, happen_daily, look_on, six, valued, watch
from governance.tripwire.models import RegressionFiring, RegressionState
from governance.tripwire.services import evaluate_tripwires, release_tripwire
from valhalla import testing
from valhalla.testing import make_by, make_person

pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]
LOOKS = 16
at_once = partial(testing.at_once, kept=(Refused, OperationalError))


def mona() -> Actor:
    User.objects.filter(pk=make_person("MANAGER", "mona").pk).update(email="mona@example.ca")
    return make_by("MANAGER", "mona")


def test_sixteen_looks_at_once_throttle_once_and_send_one_mail() -> None:
    mona()
    watch()
    day = happen_daily(SLA, [(18, 2)] * 20 + [(8, 12)] * 5)
    clients = [Actor.system(f"client {number}") for number in range(LOOKS)]
    answers = at_once(lambda by: evaluate_tripwires(six(day), by=by)[0].triggered, clients)
    assert Counter(map(type, answers))[bool] >= 1, answers
    assert look_on(day).triggered
    assert RegressionFiring.objects.count() == 1
    assert RiskThrottle.objects.count() == 1
    assert OutboxMessage.objects.filter(kind="tripwire").count() == 1


def test_looks_at_once_engage_the_kill_switch_once() -> None:
    watch(ROI)
    day = valued(ROI, [1.0, 1.2] * 10 + [0.5, 0.6, 0.4, 0.5, 0.6])
    before = GoLiveState.history.count()
    clients = [Actor.system(f"client {number}") for number in range(LOOKS)]
    at_once(lambda by: len(evaluate_tripwires(six(day), by=by)), clients)
    look_on(day, ROI)
    assert GoLiveState.history.count() == before + 1


def test_releases_amid_looks_leave_it_released_once() -> None:
    """Whatever comes first: nothing stays held back, and what was seen before the release fires no more."""
    manager = mona()
    watch()
    day = happen_daily(SLA, [(18, 2)] * 20 + [(8, 12)] * 5)
    look_on(day)

    def work(number: int) -> bool:
        if number % 2:
            return evaluate_tripwires(six(day + DAY), by=manager)[0].triggered
        state = release_tripwire(*SLA, by=manager, at=six(day) + DAY / 2, reason="phones are back")
        return state.triggered

    at_once(work, range(LOOKS))
    release_tripwire(*SLA, by=manager, at=six(day) + DAY / 2, reason="phones are back")
    assert not look_on(day + DAY).triggered
    assert not RegressionState.objects.filter(triggered=True).exists()
    assert RegressionFiring.objects.filter(released_at=None).count() == 0
    assert RegressionFiring.objects.count() == 1
    assert not RiskThrottle.objects.filter(released_at=None).exists()
