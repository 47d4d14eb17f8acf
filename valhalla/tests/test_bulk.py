"""Bulk calls: a result for each item, short transactions, each item once under a key, also after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.db import transaction
from pytest_django import Settings
from rest_framework.test import APIClient

from buyers.models import BuyerFeedbackEvent, BuyerLiquidityNode
from followups.models import FollowUpTask, Ladder, Lead
from followups.tests.factories import NOW
from governance.core.rest import bulk
from governance.models import IdempotentAnswer, KpiEvent
from valhalla.testing import at_once, make_client
from valhalla.tests.test_once_per_key import database_url

pytestmark = [pytest.mark.both, pytest.mark.django_db]
Api = Callable[..., APIClient]
LEADS, LADDERS = "/api/followups/leads/bulk", "/api/followups/ladders/bulk"
FEEDBACK = "/api/buyers/feedback/bulk"


@pytest.fixture
def clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def crm() -> APIClient:
    return make_client("SERVICE", "crm")


def leads(count: int, **more: object) -> list[dict[str, object]]:
    return [
        {"lead_id": f"L-{n}", "province": "ON", "city": "Toronto", "phone": f"416 555 {n:04d}", **more}
        for n in range(count)
    ]


def send(client: APIClient, path: str, items: list[Any], key: str = "", **more: object) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(path, {"items": items, **more}, format="json", headers=headers)


def results(answer: Any) -> list[Any]:
    assert answer.status_code == 200, answer.json()
    found: list[Any] = answer.json()["results"]
    return found


def test_each_item_has_its_own_answer_or_problem(crm: APIClient, clock: None) -> None:
    items: list[dict[str, object]] = [
        {**leads(1)[0], "key": "first"},
        {"lead_id": "L-9"},
        {"lead_id": "L-8", "province": "XX"},
        {"lead_id": "L-7", "province": "ON", "actor": "vera"},
        {**leads(1)[0], "score": 0.9},
    ]
    answer = send(crm, LEADS, items)
    assert {name: answer.json()[name] for name in ("succeeded", "failed", "replayed")} == {
        "succeeded": 2, "failed": 3, "replayed": 0,
    }  # fmt: skip
    found = results(answer)
    assert [(one["index"], one["key"], one["status"]) for one in found] == [
        (0, "first", 201),
        (1, "1", 400),
        (2, "2", 400),
        (3, "3", 400),
        (4, "4", 200),
    ]
    assert found[0]["answer"]["created"]
    assert [list(one["problem"]["errors"]) for one in found[1:4]] == [["province"], ["province"], ["actor"]]
    assert found[4]["answer"]["changed"] == ["score"]
    assert Lead.objects.count() == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": []},
        {"items": [1]},
        {"items": {}},
        {"items": [{}] * 1001},
        {"items": [{"key": "a"}, {"key": "a"}]},
        {"items": [{"key": "1"}, {}]},
        {"items": [{"key": 1}]},
        {"items": [{"key": "x" * 65}]},
        {"items": [{}] * 26, "all_or_nothing": True},
    ],
)
def test_a_call_that_is_no_list_of_items_is_refused_whole(crm: APIClient, body: dict[str, object]) -> None:
    answer = crm.post(LEADS, body, format="json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["items"])


def test_ladders_begin_and_feedback_is_counted(crm: APIClient, clock: None) -> None:
    found = results(send(crm, LADDERS, [*leads(3), leads(1)[0]]))
    assert [one["status"] for one in found] == [201, 201, 201, 409]
    assert found[3]["problem"]["code"] == "ladder_active"
    assert Ladder.objects.count() == KpiEvent.objects.filter(metric="ladder_created").count() == 3
    items = [{"province": "ON", "event": "PASSED", "buyer_id": f"B-{n}"} for n in range(30)]
    assert send(crm, FEEDBACK, [*items, {"province": "ON", "event": "SANG"}]).json()["failed"] == 1
    assert BuyerFeedbackEvent.objects.count() == 30


def test_what_a_refusal_keeps_is_kept(crm: APIClient, clock: None) -> None:
    """A second ladder is refused, and the data that came with it is stored, as by the single call."""
    send(crm, LADDERS, leads(1))
    found = results(send(crm, LADDERS, [{**leads(1)[0], "name": "Anne"}]))
    assert found[0]["problem"]["kept"] == ["name"]
    assert Lead.objects.get().name == "Anne"


def test_all_or_nothing(crm: APIClient, clock: None) -> None:
    refused = send(crm, LEADS, [*leads(2), {"lead_id": "L-9"}], "k-1", all_or_nothing=True)
    assert (refused.status_code, refused.json()["code"]) == (409, "nothing_stored")
    assert [one["index"] for one in refused.json()["results"]] == [2]
    assert not Lead.objects.exists()
    assert not IdempotentAnswer.objects.exists()
    assert send(crm, LEADS, leads(25), "k-1", all_or_nothing=True).json()["succeeded"] == 25


def test_under_a_key_each_item_is_done_once(crm: APIClient, clock: None) -> None:
    items = [{"province": "ON", "event": "PASSED"}] * 60
    first = send(crm, FEEDBACK, items, "k-1")
    again = send(crm, FEEDBACK, items, "k-1")
    assert BuyerFeedbackEvent.objects.count() == 60
    assert (first.json()["replayed"], again.json()["replayed"]) == (0, 60)
    assert [one["answer"] for one in results(first)] == [one["answer"] for one in results(again)]
    send(crm, FEEDBACK, items[:1], "k-2")
    assert BuyerFeedbackEvent.objects.count() == 61


def test_a_refused_item_may_be_tried_again_and_another_under_its_key_is_refused(
    crm: APIClient, clock: None
) -> None:
    first = [{**leads(1)[0], "key": "a"}, {"lead_id": "L-9", "key": "b"}]
    send(crm, LEADS, first, "k-1")
    mended = [{**leads(1)[0], "key": "a", "score": 0.9}, {"lead_id": "L-9", "province": "ON", "key": "b"}]
    found = results(send(crm, LEADS, mended, "k-1"))
    assert [(one["status"], one["replayed"]) for one in found] == [(422, False), (201, False)]
    assert found[0]["problem"]["code"] == "key_reused"
    assert IdempotentAnswer.objects.count() == 2


def test_a_key_that_cannot_be_stored_is_refused(crm: APIClient) -> None:
    answer = send(crm, LEADS, leads(1), "k 1")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["Idempotency-Key"])


def test_the_same_call_at_once_does_each_item_once(transactional_db: None) -> None:
    clients = [make_client("SERVICE", "crm") for _number in range(4)]
    items = [{"province": "ON", "event": "PASSED"}] * 40
    answers = at_once(lambda client: send(client, FEEDBACK, items, "k-1").json(), clients)
    assert BuyerFeedbackEvent.objects.count() == 40
    assert BuyerLiquidityNode.objects.get().passed == 40
    assert sum(answer["replayed"] for answer in answers) == 3 * 40
    assert len({tuple(one["answer"]["event_id"] for one in answer["results"]) for answer in answers}) == 1


@pytest.mark.parametrize("key", ["", "k-1"])
def test_no_transaction_takes_more_than_25_items_nor_more_time_than_it_may(
    crm: APIClient, transactional_db: None, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    sizes: list[int] = []
    part = bulk._Run._part

    def counted(run: Any, items: Any, **how: Any) -> Any:
        found = part(run, items, **how)
        sizes.append(len(found))
        assert transaction.get_connection().in_atomic_block
        return found

    monkeypatch.setattr(bulk._Run, "_part", counted)
    monkeypatch.setattr(bulk, "BUDGET", 60)
    send(crm, LEADS, leads(60), key)
    assert sizes == [25, 25, 10]
    sizes.clear()
    monkeypatch.setattr(bulk, "BUDGET", 0)
    assert send(crm, LEADS, leads(5, score=0.9), key and "k-2").json()["succeeded"] == 5
    assert sizes == [1] * 5


def test_ladders_of_many_leads_begin_as_if_one_after_another(crm: APIClient, clock: None) -> None:
    one, two, three = leads(3, ladder=True, name="Anne")
    same = {**two, "phone": one["phone"]}  # the same person under another id waits
    cold = {**three, "score": 0.1}
    found = results(
        send(crm, LEADS, [one, same, cold, {**one, "score": 0.9}, {**leads(5)[4], "ladder": True}])
    )
    begun = [one["answer"]["ladder"] for one in found]
    assert [ladder["started"] for ladder in begun] == [True, True, False, False, True]
    assert begun[1]["waiting_for"] == {"lead_id": "L-0", "ladder_id": begun[0]["ladder_id"]}
    assert [ladder.get("reason") for ladder in begun[2:4]] == ["lead_score_below_minimum", "ladder_active"]
    assert begun[3]["ladder_id"] == begun[0]["ladder_id"]
    assert Ladder.objects.count() == KpiEvent.objects.filter(metric="ladder_created").count() == 3
    again = results(send(crm, LEADS, [one, {**cold, "owner": "vera"}]))
    assert [one["answer"]["ladder"]["reason"] for one in again] == [
        "ladder_active",
        "lead_score_below_minimum",
    ]


def test_a_dry_run_stores_nothing(crm: APIClient, clock: None) -> None:
    answer = send(crm, LEADS, leads(30, ladder=True), "k-1", dry_run=True)
    assert (answer.json()["succeeded"], answer.json()["dry_run"]) == (30, True)
    assert answer.headers["Dry-Run"] == "true"
    assert results(answer)[29]["answer"]["ladder"]["started"]
    together = send(crm, LEADS, leads(2), "k-1", dry_run=True, all_or_nothing=True)
    assert together.json()["succeeded"] == 2
    assert not Lead.objects.exists()
    assert not IdempotentAnswer.objects.exists()
    assert not KpiEvent.objects.exists()


def test_go_live_stops_each_ladder_and_no_lead(crm: APIClient, clock: None, settings: Settings) -> None:
    settings.GO_LIVE_ENFORCE = True
    assert Counter(one["status"] for one in results(send(crm, LADDERS, leads(3)))) == {503: 3}
    found = results(send(crm, LEADS, leads(3, ladder=True)))
    assert {one["answer"]["ladder"]["reason"] for one in found} == {"go_live_disabled"}
    assert Lead.objects.count() == 3


KILLED = """
import os, sys
import django
django.setup()
from django.test.utils import setup_test_environment
from rest_framework.test import APIClient
from governance.core.rest import bulk

setup_test_environment()
part, parts = bulk._Run._part, []
bulk.BUDGET = 60

def dies(run, items, **how):
    found = part(run, items, **how)
    parts.append(1)
    if len(parts) == 2:
        os._exit(9)  # the second transaction is not committed
    return found

bulk._Run._part = dies
client = APIClient()
client.credentials(HTTP_AUTHORIZATION=f"Bearer {sys.argv[1]}")
items = [{"province": "ON", "event": "PASSED"}] * 60
client.post("/api/buyers/feedback/bulk", {"items": items}, format="json", headers={"Idempotency-Key": "k-1"})
"""


def test_a_call_that_was_killed_in_the_middle_continues(transactional_db: None) -> None:
    client = make_client("SERVICE", "crm")
    token = client._credentials["HTTP_AUTHORIZATION"].split()[1]  # type: ignore[attr-defined]  # of the test client
    done = subprocess.run(
        [sys.executable, "-c", KILLED, token],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "valhalla.settings", "DATABASE_URL": database_url()},
        timeout=120,
    )
    assert done.returncode == 9
    assert BuyerFeedbackEvent.objects.count() == 25
    answer = send(client, FEEDBACK, [{"province": "ON", "event": "PASSED"}] * 60, "k-1")
    assert (answer.json()["succeeded"], answer.json()["replayed"]) == (60, 25)
    assert (
        BuyerFeedbackEvent.objects.count() == KpiEvent.objects.filter(metric="buyer_feedback").count() == 60
    )


def test_a_day_later_the_key_is_free(crm: APIClient) -> None:
    items = [{"province": "ON", "event": "PASSED"}] * 2
    with time_machine.travel(NOW):
        send(crm, FEEDBACK, items, "k-1")
    with time_machine.travel(NOW + timedelta(hours=23, minutes=50)):
        assert send(make_client("SERVICE", "crm"), FEEDBACK, items, "k-1").json()["replayed"] == 2
    with time_machine.travel(NOW + timedelta(hours=24, minutes=1)):
        assert send(make_client("SERVICE", "crm"), FEEDBACK, items, "k-1").json()["replayed"] == 0
    assert not FollowUpTask.objects.exists()
