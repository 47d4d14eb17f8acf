"""Claims: a lease of a few tasks under a token, which two people never hold at the same time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from followups.models import FollowUpTask, Lead
from followups.services import (
    Completion,
    claim_due,
    complete_task,
    free_expired_claims,
    reassign_tasks,
    release_claim,
    renew_claim,
    skip_task,
    snooze_task,
    start_task,
    stop_ladder,
)
from followups.tests.factories import DAY, HOUR, MINUTE, NOW, finish, fresh, ladder
from governance.core.actors import Actor
from governance.core.errors import Forbidden, NotFound, Refused
from governance.models import Absence, User

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]


def claim(who: Actor, when: datetime = NOW, **other: Any) -> tuple[str, list[int]]:
    token, ids, until = claim_due(by=who, at=when, **other)
    assert until == when + 15 * MINUTE
    return token, list(ids)


def ladders(by: People, count: int, **other: object) -> list[FollowUpTask]:
    """Begin so many ladders, a minute apart; returns their first steps, the oldest first."""
    return [
        ladder(by("MANAGER"), f"L-{n}", start=NOW - (count - n) * MINUTE, **other).tasks[0]
        for n in range(count)
    ]


def test_ten_at_most_the_oldest_first_and_nobody_else_gets_them(by: People) -> None:
    first = [task.pk for task in ladders(by, 12)]
    _token, mine = claim(by("VA"), limit=50)
    assert mine == first[:10]
    assert claim(by("VA", "gus"))[1] == first[10:]
    assert claim(by("CLOSER"))[1] == []
    task = FollowUpTask.objects.get(pk=first[0])
    assert (task.claimed_by, task.owner) == ("a-va", "")


def test_only_current_steps_that_are_due_and_not_put_aside_are_offered(by: People) -> None:
    due, snoozed = ladders(by, 2)
    snooze_task(snoozed.pk, by=by("VA"), at=NOW, until=NOW + HOUR)
    ladder(by("VA"), "later", start=NOW + HOUR)
    assert claim(by("VA"))[1] == [due.pk]


def test_a_claim_that_ran_out_is_taken_over(by: People) -> None:
    (task,) = ladders(by, 1)
    claim(by("VA"))
    assert claim(by("VA", "gus"), NOW + 15 * MINUTE - timedelta(seconds=1))[1] == []
    assert claim(by("VA", "gus"), NOW + 15 * MINUTE)[1] == [task.pk]


def test_a_job_clears_what_ran_out_and_nothing_else(by: People) -> None:
    old, new = ladders(by, 2)
    claim(by("VA"), limit=1)
    claim(by("VA"), NOW + 10 * MINUTE)
    assert free_expired_claims(NOW + 15 * MINUTE) == 1
    assert (fresh(old).claimed_by, fresh(new).claimed_by) == ("", "a-va")


def test_a_claim_is_renewed_up_to_two_hours_in_all(by: People) -> None:
    (task,) = ladders(by, 1)
    token, _ids = claim(by("VA"))
    when = NOW
    while when < NOW + 110 * MINUTE:
        when += 10 * MINUTE
        until = renew_claim(task.pk, by=by("VA"), at=when, claim_token=token)
        assert until == min(when + 15 * MINUTE, NOW + 2 * HOUR)
    with pytest.raises(Refused) as refusal:
        renew_claim(task.pk, by=by("VA"), at=NOW + 2 * HOUR, claim_token=token)
    assert refusal.value.code == "claim_lost"


def test_renewing_never_shortens_the_hour_of_a_start(by: People) -> None:
    (task,) = ladders(by, 1)
    token, _ids = claim(by("VA"))
    start_task(task.pk, by=by("VA"), at=NOW)
    assert renew_claim(task.pk, by=by("VA"), at=NOW + MINUTE, claim_token=token) == NOW + HOUR


def test_another_token_or_person_renews_nothing(by: People) -> None:
    (task,) = ladders(by, 1)
    token, _ids = claim(by("VA"))
    for who, text in ((by("VA"), "0" * 32), (by("VA"), ""), (by("VA", "gus"), token)):
        with pytest.raises(Refused) as refusal:
            renew_claim(task.pk, by=who, at=NOW, claim_token=text)
        assert refusal.value.code == "claim_lost"


def test_a_released_task_is_free_at_once(by: People) -> None:
    (task,) = ladders(by, 1)
    token, _ids = claim(by("VA"))
    assert not release_claim(task.pk, by=by("VA", "gus"), at=NOW, claim_token=token)
    assert release_claim(task.pk, by=by("VA"), at=NOW, claim_token=token)
    assert not release_claim(task.pk, by=by("VA"), at=NOW, claim_token=token)
    assert claim(by("VA", "gus"))[1] == [task.pk]
    assert release_claim(task.pk, by=by("MANAGER"), at=NOW)  # also anybody's


def test_anothers_task_is_neither_renewed_nor_released(by: People) -> None:
    by("VA", "gus")
    (task,) = ladders(by, 1, owner="gus")
    for call in (renew_claim, release_claim):
        with pytest.raises(NotFound):
            call(task.pk, by=by("VA"), at=NOW, claim_token="x")
        with pytest.raises(Forbidden):
            call(task.pk, by=by("CLOSER"), at=NOW, claim_token="x")
        with pytest.raises(NotFound):
            call(10**30, by=by("MANAGER"), at=NOW, claim_token="x")


def test_what_somebody_else_holds_is_neither_started_completed_skipped_nor_snoozed(by: People) -> None:
    (task,) = ladders(by, 1)
    claim(by("VA"))
    gus = by("VA", "gus")
    for call in (
        lambda: finish(task, gus),
        lambda: start_task(task.pk, by=gus, at=NOW),
        lambda: skip_task(task.pk, by=gus, at=NOW, reason="x"),
        lambda: snooze_task(task.pk, by=gus, at=NOW, until=NOW + HOUR),
    ):
        with pytest.raises(Refused) as refusal:
            call()
        assert refusal.value.code == "claimed_by_other"
        assert refusal.value.extra["claimed_by"] == "a-va"
    assert fresh(task).status == "OPEN"


def test_the_first_holder_completes_late_only_if_nobody_else_holds_it(by: People) -> None:
    alone, taken = ladders(by, 2)
    token, _ids = claim(by("VA"))
    claim(by("VA", "gus"), NOW + 16 * MINUTE, limit=2, filters={"pk": taken.pk})
    late: dict[str, Any] = {"by": by("VA"), "at": NOW + 17 * MINUTE}
    complete_task(alone.pk, Completion(claim_token=token), **late)
    with pytest.raises(Refused) as refusal:
        complete_task(taken.pk, Completion(claim_token=token), **late)
    assert refusal.value.code == "claimed_by_other"


def test_a_person_completes_with_the_token_of_her_claim_after_a_start_and_after_claiming_anew(
    by: People,
) -> None:
    started, renewed = ladders(by, 2)
    token, _ids = claim(by("VA"))
    answer = start_task(started.pk, by=by("VA"), at=NOW + MINUTE)
    assert answer["claim_token"] == token
    complete_task(started.pk, Completion(claim_token=token), by=by("VA"), at=NOW + 2 * MINUTE)
    claim(by("VA"), NOW + 20 * MINUTE)  # the first claim ran out
    complete_task(renewed.pk, Completion(claim_token=token), by=by("VA"), at=NOW + 21 * MINUTE)


def test_programs_of_one_account_are_told_apart_by_their_tokens(by: People) -> None:
    (task,) = ladders(by, 1)
    token = start_task(task.pk, by=by("SERVICE"), at=NOW)["claim_token"]
    with pytest.raises(Refused):
        complete_task(task.pk, Completion(claim_token="0" * 32), by=by("SERVICE"), at=NOW + MINUTE)
    complete_task(task.pk, Completion(claim_token=token), by=by("SERVICE"), at=NOW + MINUTE)


def test_stopping_reassigning_and_suppressing_end_claims(by: People) -> None:
    stopped, moved, suppressed = ladders(by, 3)
    claim(by("VA"))
    stop_ladder(stopped.ladder_id or 0, by=by("MANAGER"), at=NOW, reason="x")
    reassign_tasks([moved.pk], "gus", by=by("MANAGER"), at=NOW, reason="x")
    complete_task(suppressed.pk, Completion(outcome="OPTED_OUT"), by=by("CLOSER"), at=NOW)
    assert not FollowUpTask.objects.exclude(claimed_by="").exists()


def test_a_profile_narrows_what_is_offered_but_never_ones_own(by: People) -> None:
    from dataclasses import replace

    quebec = ladder(by("VA"), "L-1", province="QC", city="Montreal", language="fr").tasks[0]
    ontario = ladder(by("VA"), "L-2", language="en").tasks[0]
    own = ladder(by("VA"), "L-3", owner="a-va").tasks[0]
    va = by("VA")
    everything = {quebec.pk, ontario.pk, own.pk}
    cases: tuple[tuple[dict[str, Any], set[int]], ...] = (
        ({"provinces": ("QC",)}, {quebec.pk, own.pk}),
        ({"channels": ("CALL",)}, {own.pk}),
        ({"languages": ("fr",)}, {quebec.pk, own.pk}),
        ({"languages": ("en",), "provinces": ("ON",)}, {ontario.pk, own.pk}),
        ({}, everything),
    )
    for profile, offered in cases:
        assert set(claim(replace(va, **profile))[1]) == offered
        FollowUpTask.objects.update(claim_until=None, claimed_by="", claim_token="", claimed_at=None)


def test_a_lead_whose_language_is_unknown_fits_everybody(by: People) -> None:
    from dataclasses import replace

    (task,) = ladders(by, 1)
    assert claim(replace(by("VA"), languages=("fr",)))[1] == [task.pk]


def test_tasks_of_one_who_is_absent_are_offered_to_the_others(by: People) -> None:
    by("VA", "gus")
    (task,) = ladders(by, 1, owner="Gus")
    assert claim(by("VA"))[1] == []
    Absence.objects.create(user=User.objects.get(username="gus"), starts_at=NOW, ends_at=NOW + DAY)
    token, ids = claim(by("VA"))
    assert ids == [task.pk]
    Absence.objects.all().delete()  # back early: the one who holds it may still finish
    complete_task(task.pk, Completion(claim_token=token), by=by("VA"), at=NOW + MINUTE)
    assert fresh(task).owner == "Gus"


def test_handovers_are_offered_to_closers(by: People) -> None:
    (task,) = ladders(by, 1)
    handover = finish(task, by("VA"), outcome="REPLIED").next_task
    assert handover is not None
    assert claim(by("VA"), NOW + HOUR)[1] == []
    assert claim(by("CLOSER"), NOW + HOUR)[1] == [handover.pk]


def test_auditors_and_programs_claim_nothing(by: People) -> None:
    for role in ("AUDITOR", "SERVICE"):
        with pytest.raises(Forbidden):
            claim_due(by=by(role), at=NOW)


def test_claims_fit_the_filters(by: People) -> None:
    ladders(by, 2)
    Lead.objects.filter(external_id="L-0").update(province="QC")
    FollowUpTask.objects.filter(lead__external_id="L-0").update(province="QC")
    assert len(claim(by("VA"), filters={"province": "QC"})[1]) == 1
