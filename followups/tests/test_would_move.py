"""What saving a market policy would do to open tasks, told before it is done."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import time_machine
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from followups.models import FollowUpTask
from followups.services import realign_due, would_move
from followups.tests.factories import MINUTE, NOW, fresh, ladder, set_policy, steps_of
from governance.core.actors import Actor
from governance.core.hooks import PolicyDraft
from governance.core.places import Place
from governance.market.services import simulate_policy, upsert_policy
from governance.models import MarketPolicy

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]
LATE_HOURS = {"contact_windows_local": [{"days": [0, 1, 2, 3, 4], "start": "16:00", "end": "20:00"}]}
LATER = NOW + MINUTE


def all_rows() -> list[dict[str, object]]:
    return [*FollowUpTask.objects.order_by("id").values(), *MarketPolicy.objects.order_by("id").values()]


def test_it_tells_what_saving_then_does_and_keeps_nothing(by: People) -> None:
    for number in range(3):
        ladder(by("VA"), f"L-{number}", phone=f"+1416555019{number}")
    before = all_rows()
    told = simulate_policy(Place("ON"), at=LATER, rules=LATE_HOURS)
    assert all_rows() == before
    times = dict(FollowUpTask.objects.values_list("pk", "due_at"))
    set_policy(by("MANAGER"), LATER, rules=LATE_HOURS)
    realign_due(LATER)
    changed = {task.pk: task.due_at for task in FollowUpTask.objects.all() if task.due_at != times[task.pk]}
    assert told.moved == len(changed) == 12
    assert (told.held, told.returned, told.looked_at, told.complete) == (0, 0, 15, True)
    assert told.first_at == min(at for pk in changed for at in (times[pk], changed[pk]) if at)


def test_switching_a_policy_off_holds_every_future_task(by: People) -> None:
    made = ladder(by("VA"))
    told = simulate_policy(Place("ON"), at=LATER, enabled=False)
    assert (told.moved, told.held) == (0, 5)
    assert told.first_at == steps_of(made)[1].due_at


def test_switching_it_on_again_brings_them_back(by: People) -> None:
    ladder(by("VA"))
    set_policy(by("MANAGER"), LATER, enabled=False)
    realign_due(LATER)
    told = simulate_policy(Place("ON"), at=LATER, enabled=True)
    assert (told.moved, told.held, told.returned) == (0, 0, 5)


def test_the_same_rules_move_nothing(by: People) -> None:
    ladder(by("VA"))
    told = simulate_policy(Place("ON"), at=LATER)
    assert (told.moved, told.held, told.returned, told.first_at) == (0, 0, 0, None)


def test_a_markets_own_policy_moves_its_leads_alone(by: People) -> None:
    inside = ladder(by("VA"), "L-1", market="Toronto")
    ladder(by("VA"), "L-2", market="Ottawa", phone="+16135550101")
    told = simulate_policy(Place("ON", "Toronto"), at=LATER, rules=LATE_HOURS)
    assert told.looked_at == 5
    assert told.moved == 4
    assert fresh(steps_of(inside)[1]).due_at == steps_of(inside)[1].due_at


def test_a_market_with_a_policy_of_its_own_is_left_by_its_provinces(by: People) -> None:
    upsert_policy(Place("ON", "Toronto"), by=by("MANAGER"), at=NOW, reason="own", timezone="America/Toronto")
    ladder(by("VA"), "L-1", market="Toronto")
    assert simulate_policy(Place("ON"), at=LATER, rules=LATE_HOURS).moved == 0


def test_what_takes_too_long_is_told_as_a_part(by: People) -> None:
    ladder(by("VA"))
    policy = MarketPolicy.objects.get(province="ON")
    draft = PolicyDraft(Place("ON"), False, policy.rules, "")
    assert not would_move(draft, LATER, seconds=-1).complete


def test_a_manager_asks_over_rest_and_a_va_is_refused(api: Callable[..., APIClient], by: People) -> None:
    ladder(by("VA"))
    asked = {"province": "ON", "rules": LATE_HOURS}
    with time_machine.travel(LATER, tick=False):
        answer = api("MANAGER").post("/api/governance/market/simulate", asked, format="json")
        assert answer.status_code == 200
        assert answer.json() == {
            "ok": True, "province": "ON", "market": "ALL", "looked_at": 5, "moved": 4, "held": 0,
            "returned": 0, "first_at": answer.json()["first_at"], "complete": True,
        }  # fmt: skip
        assert api("VA").post("/api/governance/market/simulate", asked, format="json").status_code == 403


def test_rules_that_cannot_be_are_refused_as_when_saving(api: Callable[..., APIClient]) -> None:
    wrong = {"province": "ON", "rules": {"contact_windows_local": [{"days": [9], "start": "1", "end": "2"}]}}
    answer = api("MANAGER").post("/api/governance/market/simulate", wrong, format="json")
    assert answer.status_code == 400
    assert "rules" in answer.json()["errors"]


def test_fifty_leads_cost_no_more_queries_than_one(
    by: People, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(20):
        ladder(by("VA"), f"L-{number}", phone=f"+141655501{number:02}")
    with django_assert_max_num_queries(10):
        assert simulate_policy(Place("ON"), at=LATER, rules=LATE_HOURS).looked_at == 100
