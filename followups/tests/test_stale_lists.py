"""Calls to an area code whose do-not-call list is too old are held; the rest of the ladder goes on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from followups.models import ContactPoint, FollowUpTask, LadderTemplate
from followups.querysets import called_area_codes
from followups.services import (
    bring_back_held,
    due_tasks,
    realign_due,
    request_realigning,
    start_task,
)
from followups.services.reading import look_at
from followups.tests.factories import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    LeadFactory,
    PointFactory,
    at,
    finish,
    fresh,
    ladder,
    local_times,
    steps_of,
)
from governance.contact.do_not_call import import_do_not_call, uncovered_area_codes
from governance.contact.services import judge_again, record_consent
from governance.contact.statements import state_exempt_calls
from governance.core.actors import Actor
from governance.core.errors import Refused
from governance.models import ContactDecision

People = Callable[..., Actor]
Import = Callable[..., None]
pytestmark = [pytest.mark.both, pytest.mark.django_db]
OLD = date(2026, 10, 20)  # 36 days before NOW
FRESH = date(2026, 11, 20)
HELD_CALLS = ["", "dncl_stale"] * 3


@pytest.fixture
def read_in(tmp_path: Path) -> Import:
    def run(day: date, when: datetime = NOW - DAY, code: str = "416") -> None:
        path = tmp_path / "list.txt"
        path.write_text(f"{code}5550000\n")
        import_do_not_call(path, list_date=day, by=Actor.system("tests"), at=when)

    return run


def held(made: Any) -> list[str]:
    return [task.held_reason for task in steps_of(made)]


def realign(when: datetime) -> None:
    request_realigning("", Actor.system("tests"), when)
    realign_due(when)


def test_a_ladder_starts_although_its_calls_are_held(by: People, read_in: Import) -> None:
    read_in(OLD)
    made = ladder(by("VA"))
    assert held(made) == HELD_CALLS
    assert local_times(steps_of(made))[:2] == ["Wed 25 14:30", "held"]
    assert [task.is_current for task in steps_of(made)] == [True, *[False] * 5]


def test_a_ladder_of_calls_alone_starts_too(by: People, read_in: Import) -> None:
    read_in(OLD)
    template = LadderTemplate.objects.get(province="", market_key="ALL")
    template.steps = [{"channel": "CALL", "delay": {"minutes": 0}, "script_en": "", "script_fr": ""}]
    template.save()
    assert held(ladder(by("VA"))) == ["dncl_stale"]


def test_other_channels_go_on_and_the_call_returns_after_the_next_import(by: People, read_in: Import) -> None:
    read_in(OLD)
    made = ladder(by("VA"))
    following = finish(made.tasks[0], by("VA")).next_task
    assert following is not None
    assert following.step == 3, "the held call is passed over"
    assert [task.is_current for task in steps_of(made)] == [False, False, True, False, False, False]
    due = fresh(made.tasks[2]).due_at
    assert due is not None
    finish(made.tasks[2], by("VA"), due + MINUTE)
    assert bring_back_held(due + HOUR) == 1
    assert held(made)[1] == "dncl_stale", "nothing changed yet"
    later = at(27, "10:00")
    read_in(date(2026, 11, 27), later)
    realign_due(later)
    tasks = steps_of(made)
    assert held(made) == [""] * 6
    assert local_times([tasks[1]]) == ["Fri 27 10:00"]
    assert [task.is_current for task in tasks] == [False, True, *[False] * 4]
    assert tasks[3].due_at is not None
    assert tasks[1].due_at is not None
    assert tasks[3].due_at - tasks[1].due_at >= DAY, "they do not come all at once"


def test_calls_are_planned_ahead_and_held_late_ones_too_when_the_list_gets_too_old(
    by: People, read_in: Import
) -> None:
    read_in(date(2026, 10, 30))  # 31 days old on the 30th
    made = ladder(by("VA"))
    assert held(made) == [""] * 6, "newer lists come before the list of today is too old"
    finish(made.tasks[0], by("VA"))
    call = fresh(made.tasks[1])
    assert call.due_at is not None
    assert call.due_at < at(25, "16:00")
    last_day = at(30, "12:00")
    realign(last_day)
    assert held(made) == [""] * 6
    too_old = at(1, "12:00", month=12)
    (row,) = due_tasks(by=by("VA"), at=too_old)
    assert row["contact"] == {"ok": False, "reason": "dncl_stale", "next_allowed_at": None}
    realign(too_old)
    assert held(made)[1::2] == ["dncl_stale"] * 3
    assert fresh(made.tasks[1]).due_at is None
    assert fresh(made.tasks[2]).is_current


def test_a_claimed_call_is_left_to_whoever_claimed_it(by: People, read_in: Import) -> None:
    read_in(date(2026, 10, 30))
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    too_old = at(1, "12:00", month=12)
    FollowUpTask.objects.filter(pk=made.tasks[1].pk).update(
        claimed_by="Vera", claim_token="x", claim_until=too_old + HOUR
    )
    realign(too_old)
    assert held(made)[1] == ""


def test_starting_such_a_call_is_refused_kept_and_judged_again_to_the_same(
    by: People, read_in: Import
) -> None:
    read_in(OLD)
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    for role in ("VA", "CLOSER", "MANAGER"):
        with pytest.raises(Refused) as refused:
            start_task(made.tasks[1].pk, by=by(role), at=NOW + HOUR)
        assert refused.value.extra["reason"] == "dncl_stale"
        assert refused.value.extra["next_allowed_at"] is None
        with pytest.raises(Refused) as refused:
            finish(made.tasks[1], by(role), NOW + HOUR, override_reason="We know them")
        assert refused.value.code in ("contact_denied", "not_allowed")
    kept = ContactDecision.objects.latest("pk")
    assert (kept.ok, kept.reason, kept.basis["lists"][0][1:3]) == (False, "dncl_stale", ["416", "2026-10-20"])
    read_in(FRESH, NOW)
    assert judge_again(kept).reason == "dncl_stale"


def test_a_call_that_took_place_all_the_same_is_recorded_as_not_compliant(
    by: People, read_in: Import
) -> None:
    read_in(OLD)
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    finish(made.tasks[1], by("VA"), NOW + HOUR, "NO_ANSWER", happened=True)
    assert fresh(made.tasks[1]).gate_allowed is False
    kept = ContactDecision.objects.latest("pk")
    assert (kept.happened, kept.reason) == (True, "dncl_stale")


def test_who_inquired_of_us_is_called_and_the_gates_answer_says_why(by: People, read_in: Import) -> None:
    read_in(OLD)
    made = ladder(by("VA"))
    assert held(made) == HELD_CALLS
    point = ContactPoint.objects.get()
    record_consent(point.digest, "SMS", "INQUIRY", by=by("MANAGER"), at=NOW, obtained_at=NOW, how="web form")
    bring_back_held(NOW + MINUTE)
    assert held(made) == [""] * 6
    finish(made.tasks[0], by("VA"), NOW + MINUTE)
    task = fresh(made.tasks[1])
    assert task.due_at is not None
    look = look_at(task.pk, by=by("VA"), at=task.due_at)
    assert look.verdict.checks[2].exemption == "inquiry"
    start_task(task.pk, by=by("VA"), at=task.due_at)
    assert ContactDecision.objects.latest("pk").basis["exempt"] == [["416", "inquiry"]]


def test_somebody_who_wants_to_sell_is_called_by_a_closer_whatever_the_list(
    by: People, read_in: Import
) -> None:
    read_in(OLD)
    made = ladder(by("VA"))
    call = finish(made.tasks[0], by("VA"), outcome="REPLIED", next="HANDOVER").next_task
    assert call is not None
    assert (call.kind, call.held_reason) == ("HANDOVER", "")
    assert call.due_at is not None
    realign(NOW + MINUTE)
    assert fresh(call).held_reason == ""


def test_a_callback_without_an_exemption_is_held(by: People, read_in: Import) -> None:
    read_in(OLD)
    made = ladder(by("VA"))
    done = finish(
        made.tasks[0], by("VA"), outcome="REPLIED", next="CALLBACK", next_at=NOW + DAY, note="Who is this?"
    )
    assert done.next_task is not None
    assert fresh(done.next_task).held_reason == "dncl_stale"


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [("+16045550101", "+14165550101", ""), ("+14165550101", "+16045550101", "dncl_stale")],
)
def test_the_number_that_would_be_called_decides(
    first: str, second: str, reason: str, by: People, read_in: Import
) -> None:
    read_in(OLD)
    lead = LeadFactory.create(external_id="L-1")
    PointFactory.create(lead=lead, value=first, order=0)
    PointFactory.create(lead=lead, value=second, order=1)
    made = ladder(by("VA"), "L-1", phone=None)
    assert held(made) == ["", reason] * 3
    realign(NOW)
    assert held(made) == ["", reason] * 3
    FollowUpTask.objects.filter(pk=made.tasks[0].pk).delete()
    FollowUpTask.objects.filter(pk=made.tasks[1].pk).update(is_current=True, due_at=NOW, held_reason="")
    (row,) = due_tasks(by=by("VA"), at=NOW)
    assert row["contact"]["reason"] == (reason or "within_window")
    assert look_at(made.tasks[1].pk, by=by("VA"), at=NOW).verdict.reason == row["contact"]["reason"]


def test_the_lists_cost_no_query(by: People, read_in: Import) -> None:
    made = ladder(by("VA"))
    finish(made.tasks[0], by("VA"))
    due = fresh(made.tasks[1]).due_at
    assert due is not None

    def queries(ask: Callable[[], object]) -> int:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            ask()
        return len(asked)

    def costs() -> list[int]:
        return [
            queries(lambda: due_tasks(by=by("VA"), at=due)),
            queries(lambda: look_at(made.tasks[1].pk, by=by("VA"), at=due)),
        ]

    costs()  # what is asked once a process
    before = costs()
    read_in(FRESH)
    assert costs() == before


# --- which area codes are called ----------------------------------------------------------------------------


def test_the_area_codes_of_open_calls_are_found_and_those_without_a_list_named(
    by: People, read_in: Import
) -> None:
    assert called_area_codes() == []
    made = ladder(by("VA"))
    ladder(by("VA"), "L-2", phone="+16045550101", name="Bo Chen")
    ladder(by("VA"), "L-3", phone="+442079460101", name="Cy Hall")
    lead = LeadFactory.create(external_id="L-4", name="Di Roy")
    PointFactory.create(lead=lead, value="+19025550101")
    assert called_area_codes(["604"]) == ["416"]
    assert called_area_codes() == ["416", "604"], "nobody of 902 has an open call, and +44 is no area code"
    assert uncovered_area_codes() == ["416", "604"]
    read_in(OLD)
    assert uncovered_area_codes() == ["604"], "an old list holds calls; going live need not wait for it"
    reason = "Only people who asked us are called there."
    state_exempt_calls("604", True, by=by("MANAGER"), at=NOW, reason=reason)
    assert uncovered_area_codes() == []
    state_exempt_calls("604", False, by=by("MANAGER"), at=NOW + timedelta(hours=1), reason="No longer so.")
    assert uncovered_area_codes() == ["604"]
    FollowUpTask.objects.exclude(ladder=made.ladder).update(status="CANCELLED", is_current=False)
    assert called_area_codes() == ["416"]
