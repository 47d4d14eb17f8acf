"""Many at once: every trial is counted, and one recommendation drives one thing."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from django.db import connection, transaction

from governance.core.errors import Refused
from governance.heimdall.models import HeimdallEvent, HeimdallPolicy, HeimdallScorecardDay
from governance.heimdall.services import record_trial
from governance.tests.test_heimdall import AT, DAY, OFFER, SYSTEM, drive, promoted, recommended
from valhalla.testing import CLIENTS, at_once

pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]


def trial(number: int) -> None:
    """The numberth trial: two of three succeed, in two domains, around midnight."""
    domain = OFFER if number % 2 else "BUYER_MATCH"
    record_trial(domain, success=number % 3 > 0, by=SYSTEM, at=AT + (number % 5 == 0) * DAY)


def recount() -> Counter[tuple[str, str, str]]:
    """Count the events as the scorecards should."""
    found: Counter[tuple[str, str, str]] = Counter()
    for domain, success, at in HeimdallEvent.objects.filter(kind="TRIAL").values_list(
        "domain", "success", "created_at"
    ):
        found[domain, str(at.date()), "trials"] += 1
        found[domain, str(at.date()), "successes"] += success
    return found


def counted() -> Counter[tuple[str, str, str]]:
    found: Counter[tuple[str, str, str]] = Counter()
    for row in HeimdallScorecardDay.objects.all():
        found[row.domain, str(row.day), "trials"] = row.trials
        found[row.domain, str(row.day), "successes"] = row.successes
    return found


def assert_exact(trials: int) -> None:
    total = counted()
    assert total == recount()
    assert sum(count for key, count in total.items() if key[2] == "trials") == trials
    expected = sum(1 for number in range(trials) if number % 3)
    assert sum(count for key, count in total.items() if key[2] == "successes") == expected


def test_trials_from_thirty_two_clients_are_counted_to_the_last_one() -> None:
    assert at_once(trial, range(640)) == [None] * 640
    assert_exact(640)
    assert HeimdallScorecardDay.objects.count() == 4


@pytest.mark.long
def test_6400_trials_from_thirty_two_clients_are_counted_to_the_last_one() -> None:
    assert at_once(trial, range(6400)) == [None] * 6400
    assert_exact(6400)


def test_reading_and_then_saving_would_lose_trials() -> None:
    """What the conditional arithmetic in the database is for: all read before any of them writes."""
    HeimdallScorecardDay.objects.create(domain=OFFER, day=AT.date())
    read = threading.Barrier(CLIENTS)

    def naive(number: int) -> None:
        row = HeimdallScorecardDay.objects.get()
        connection.close()
        read.wait(60)
        row.trials += 1
        with transaction.atomic():
            row.save()

    at_once(naive, range(CLIENTS))
    assert HeimdallScorecardDay.objects.get().trials == 1


def test_one_recommendation_drives_one_of_many_who_use_it_at_once() -> None:
    promoted()
    row = recommended()
    answers = at_once(lambda number: drive(row.pk), range(CLIENTS))
    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(refusals) == CLIENTS - 1
    assert {refusal.extra["reason"] for refusal in refusals} == {"recommendation_used"}
    assert Counter(HeimdallEvent.objects.filter(recommendation=row).values_list("kind", flat=True)) == {
        "USED": 1,
        "REFUSED": CLIENTS - 1,
    }


def test_many_who_promote_at_once_make_one_version() -> None:
    from governance.heimdall.services import promote

    HeimdallScorecardDay.objects.create(domain=OFFER, day=AT.date(), trials=100, successes=100)
    versions = at_once(lambda number: promote(OFFER, by=SYSTEM, at=AT).version, range(CLIENTS))
    assert versions == [2] * CLIENTS
    assert HeimdallPolicy.history.filter(domain=OFFER).count() == 2
    assert HeimdallEvent.objects.filter(kind="PROMOTED").count() == 1
