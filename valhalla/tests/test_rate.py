"""A token's calls a minute, counted over all web processes together."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.test import APIClient

from governance.core.actors import Role
from governance.core.rest import rate_limit as rate
from governance.models import ApiToken

PATH = "/api/governance/market/policies"
CALLER = """
import sys; sys.path.insert(0, {root!r})
from django.conf import settings
settings.configure(VAR={var!r})
from governance.core.rest import rate_limit as rate
rate.time.time = lambda: 1_800_000_010.0
print("ready", flush=True)
sys.stdin.readline()
print(sum(rate.count_call("0f" * 64, 5000).wait == 0 for _ in range(4000)))
"""


@pytest.mark.django_db
def test_a_token_past_its_number_is_told_when_to_come_back(
    api: Callable[..., APIClient], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    slow, other = api(Role.AUDITOR, "slow"), api(Role.AUDITOR, "other")
    ApiToken.objects.filter(user__username="slow").update(calls_per_minute=3)
    begin = (time.time() // 60 + 1) * 60
    with time_machine.travel(begin + 50, tick=False) as clock:
        assert [slow.get(PATH).status_code for _call in range(3)] == [200] * 3
        with django_assert_num_queries(1):  # the token's
            told = slow.get(PATH, headers={"X-Correlation-ID": "abc-1"})

        assert (told.status_code, told["Content-Type"]) == (429, "application/problem+json")
        assert (told.json()["code"], told.json()["correlation_id"]) == ("throttled", "abc-1")
        wait = int(told["Retry-After"])
        assert other.get(PATH).status_code == 200

        clock.shift(timedelta(seconds=wait - 1))
        assert slow.get(PATH).status_code == 429
        clock.shift(timedelta(seconds=1))
        assert slow.get(PATH).status_code == 200


@pytest.mark.once
def test_four_processes_together_get_what_one_would(tmp_path: Path) -> None:
    program = CALLER.format(root=str(Path(__file__).parents[2]), var=str(tmp_path))
    callers = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _process in range(4)
    ]
    for caller in callers:  # all of them begin together
        assert caller.stdout is not None
        assert caller.stdout.readline() == "ready\n"
    for caller in callers:
        assert caller.stdin is not None
        caller.stdin.write("\n")
        caller.stdin.flush()

    assert sum(int(caller.communicate(timeout=60)[0]) for caller in callers) == 5000


@pytest.mark.once
def test_tokens_of_one_shelf_do_not_forget_each_other(tmp_path: Path, settings: Settings) -> None:
    settings.VAR = tmp_path
    digests = [f"0000{number:08x}" + "0" * 116 for number in range(rate.SLOTS)]

    answers = [rate.count_call(digest, 2).wait == 0 for _call in range(3) for digest in digests]

    assert answers == [True] * (2 * rate.SLOTS) + [False] * rate.SLOTS


@pytest.mark.once
def test_around_a_full_minute_nobody_gets_twice_her_number() -> None:
    assert rate.wait_for(calls=0, before=600, into=0, most=600) > 0
    assert rate.wait_for(calls=0, before=600, into=1, most=600) == 0
    assert rate.wait_for(calls=299, before=600, into=30, most=600) == 0
    assert rate.wait_for(calls=300, before=600, into=30, most=600) == 1
    assert rate.wait_for(calls=0, before=0, into=30, most=0) == 60


@pytest.mark.once
def test_counting_costs_next_to_nothing(tmp_path: Path, settings: Settings) -> None:
    settings.VAR = tmp_path
    began = time.perf_counter()
    for _call in range(2000):
        rate.count_call("0f" * 64, 10**6)

    assert (
        time.perf_counter() - began < 1
    )  # half a millisecond each on a busy machine; measured: microseconds
    assert (tmp_path / "calls").stat().st_size <= rate.SHELVES * rate.SHELF


# --- what a response says -----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_every_response_says_how_many_calls_are_left(
    api: Callable[..., APIClient], settings: Settings, tmp_path: Path
) -> None:
    settings.VAR = tmp_path  # the people of other tests have the same ids
    settings.PERSON_CALLS_PER_MINUTE = 100
    client = api(Role.AUDITOR, "vic")
    ApiToken.objects.filter(user__username="vic").update(calls_per_minute=3)
    begin = (time.time() // 60 + 1) * 60
    with time_machine.travel(begin + 50, tick=False):
        answers = [client.get(PATH), client.get(PATH, {"limit": "no"}), client.post(PATH), client.get(PATH)]

    assert [answer.status_code for answer in answers] == [200, 400, 405, 429]
    assert {answer["RateLimit-Policy"] for answer in answers[:3]} == {'"token";q=3;w=60, "person";q=100;w=60'}
    assert [answer["RateLimit"] for answer in answers[:3]] == [
        '"token";r=2;t=10, "person";r=99;t=10',
        '"token";r=1;t=10, "person";r=98;t=10',
        '"token";r=0;t=10, "person";r=97;t=10',
    ]
    assert answers[3]["RateLimit"] == f'"token";r=0;t={answers[3]["Retry-After"]}'


@pytest.mark.django_db
def test_what_is_left_counts_the_minute_before_by_its_share(api: Callable[..., APIClient]) -> None:
    client = api(Role.SERVICE, "dialer")
    ApiToken.objects.filter(user__username="dialer").update(calls_per_minute=10)
    begin = (time.time() // 60 + 1) * 60
    with time_machine.travel(begin + 59, tick=False) as clock:
        for _call in range(4):
            client.get(PATH)
        clock.move_to(begin + 60 + 30)
        # 4 of the minute before count by half
        assert client.get(PATH)["RateLimit"] == '"token";r=7;t=30'


@pytest.mark.django_db
def test_a_person_has_one_limit_for_browser_and_tokens_together(
    api: Callable[..., APIClient], settings: Settings, tmp_path: Path
) -> None:
    settings.VAR = tmp_path  # the people of other tests have the same ids
    settings.PERSON_CALLS_PER_MINUTE = 3
    one, two, browser = api(Role.VA, "vera"), api(Role.VA, "vera"), APIClient()
    browser.force_login(ApiToken.objects.filter(user__username="vera")[0].user)
    begin = (time.time() // 60 + 1) * 60
    with time_machine.travel(begin + 1, tick=False):
        answers = [client.get(PATH) for client in (one, two, browser, browser, one)]
        other = api(Role.VA, "vince").get(PATH)

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[2]["RateLimit"] == '"person";r=0;t=59'
    assert (answers[3].json()["code"], "Retry-After" in answers[3]) == ("throttled", True)
    assert other.status_code == 200


@pytest.mark.django_db
def test_a_service_client_has_the_limits_of_its_tokens_alone(
    api: Callable[..., APIClient], settings: Settings, tmp_path: Path
) -> None:
    settings.VAR = tmp_path  # the people of other tests have the same ids
    settings.PERSON_CALLS_PER_MINUTE = 1
    client = api(Role.SERVICE, "dialer")
    assert [client.get(PATH).status_code for _call in range(3)] == [200] * 3


@pytest.mark.django_db
def test_a_stranger_is_not_counted() -> None:
    assert "RateLimit" not in APIClient().get(PATH)


@pytest.mark.django_db
def test_calls_that_cannot_be_counted_say_nothing_of_what_is_left(
    api: Callable[..., APIClient], settings: Settings, tmp_path: Path
) -> None:
    client = api(Role.AUDITOR)
    settings.VAR = tmp_path / "missing"
    answer = client.get(PATH)
    assert answer.status_code == 200
    assert "RateLimit" not in answer
