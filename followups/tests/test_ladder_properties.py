"""Whatever is done to a ladder, in any order, what must hold of it holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from followups.models import ContactPoint, FollowUpTask, Ladder
from followups.rules import ADVANCING, gap_before, read_steps
from followups.services import (
    bring_back_held,
    claim_due,
    escalate_overdue,
    free_expired_claims,
    realign_due,
    skip_task,
    snooze_task,
    start_task,
)
from followups.tests.factories import HOUR, MINUTE, PHONE, PointFactory, at, finish, ladder, set_policy
from governance.contact.services import lift_suppression, open_gate, suppress
from governance.errors import Refused
from governance.models import KpiEvent
from governance.places import Place
from valhalla.testing import make_by, walk

WEEK = [0, 1, 2, 3, 4]
WINDOWS: list[list[dict[str, Any]]] = [
    [{"days": WEEK, "start": "09:00", "end": "20:00"}, {"days": [5], "start": "10:00", "end": "18:00"}],
    [{"days": WEEK, "start": "16:00", "end": "19:00"}],
    [{"days": [4], "start": "18:00", "end": "18:30"}],
    [{"days": [0, 1, 2, 3, 4, 5, 6], "start": "00:00", "end": "24:00"}],
    [],
]
numbers = st.sampled_from([None, None, None, None, 0, 1, 2, 3, 4, 5])  # mostly the current step
REFUSALS = {"contact_denied", "out_of_sequence", "task_closed", "outcome_differs", "claimed_by_other"}
REFUSALS |= {"ladder_active", "invalid"}


class LadderMachine(RuleBasedStateMachine):
    """One lead with two phones, her ladder, and people who do things to it while the clock runs."""

    def __init__(self) -> None:
        super().__init__()
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.people = [make_by("VA"), make_by("VA", "gus"), make_by("MANAGER")]
        self.manager = self.people[2]
        self.now = at(23, "09:00")
        self.scheduled: dict[int, datetime] = {}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.transaction.__exit__(None, None, None)

    # --- what is done -------------------------------------------------------------------------------------

    @initialize(minutes=st.integers(0, 7 * 24 * 60))
    def begin(self, minutes: int) -> None:
        self.now += minutes * MINUTE
        lead = PointFactory(lead__external_id="L-1", lead__created_at=self.now).lead
        PointFactory(lead=lead, value="+14165550123", order=1)
        self.begin_again()

    def attempt(self, call: Callable[[], Any]) -> Any:
        """Return what the call answers, or None where it was refused in so many words."""
        try:
            return call()
        except Refused as refusal:
            if refusal.code not in REFUSALS:
                raise
            return None

    def task(self, number: int | None) -> FollowUpTask:
        steps: list[FollowUpTask] = list(
            FollowUpTask.objects.filter(ladder=Ladder.objects.order_by("-id")[0]).order_by("step")
        )
        if number is not None:
            return steps[number]
        return next((task for task in steps if task.is_current), steps[-1])

    @rule()
    def begin_again(self) -> None:
        made = self.attempt(lambda: ladder(self.manager, "L-1", self.now, phone=""))
        if made:
            self.scheduled |= {task.pk: task.scheduled_for for task in made.tasks}

    @rule(minutes=st.sampled_from([1, 29, 31, 121, 241, 601, 1441, 3 * 1440]))
    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @rule(number=numbers, who=st.integers(0, 2))
    def start(self, number: int | None, who: int) -> None:
        self.attempt(lambda: start_task(self.task(number).pk, by=self.people[who], at=self.now))

    @rule(number=numbers, who=st.integers(0, 2), outcome=st.sampled_from(sorted(ADVANCING)))
    def complete(self, number: int | None, who: int, outcome: str) -> None:
        before = self.task(number)
        done = self.attempt(lambda: finish(before, self.people[who], self.now, outcome=outcome))
        if done and not done.already_completed:
            assert not FollowUpTask.objects.filter(
                ladder=before.ladder, step__lt=before.step, status="OPEN"
            ).exists()
            self.gap_after(before)

    @rule(number=numbers, outcome=st.sampled_from(["SENT", "NO_ANSWER", "WRONG_NUMBER"]))
    def happened(self, number: int | None, outcome: str) -> None:
        self.attempt(
            lambda: finish(self.task(number), self.manager, self.now, outcome=outcome, happened=True)
        )

    @rule(number=numbers, who=st.integers(0, 2))
    def skip(self, number: int | None, who: int) -> None:
        before = self.task(number)
        if self.attempt(lambda: skip_task(before.pk, by=self.people[who], at=self.now, reason="x")):
            self.gap_after(before)

    @rule(number=numbers, who=st.integers(0, 2), hours=st.integers(1, 24 * 14))
    def snooze(self, number: int | None, who: int, hours: int) -> None:
        until = self.now + hours * HOUR
        task = self.attempt(
            lambda: snooze_task(self.task(number).pk, by=self.people[who], at=self.now, until=until)
        )
        assert task is None or self.is_lawful(task.channel, task.snoozed_until)

    @rule(number=numbers, outcome=st.sampled_from(["REPLIED", "OPTED_OUT"]))
    def stop(self, number: int | None, outcome: str) -> None:
        """Record a reply or an opt-out, which nothing can refuse, and let a manager end the stop."""
        finish(self.task(number), self.people[0], self.now, outcome=outcome)
        assert not Ladder.objects.filter(status="ACTIVE").exists()
        if outcome == "OPTED_OUT":
            from followups.points import lead_digest

            assert not FollowUpTask.objects.filter(status="OPEN").exists()
            self.now += MINUTE
            stopped = [lead_digest("L-1"), *ContactPoint.objects.values_list("digest", flat=True)]
            lift_suppression(stopped, by=self.manager, at=self.now, reason="she asked us to go on")

    @rule(which=st.integers(0, len(WINDOWS) - 1), enabled=st.sampled_from([True, True, True, False]))
    def change_policy(self, which: int, enabled: bool) -> None:
        set_policy(self.manager, self.now, enabled=enabled, rules={"contact_windows_local": WINDOWS[which]})
        realign_due(self.now)

    @rule(on=st.booleans())
    def stop_or_allow_calls(self, on: bool) -> None:
        digests = list(ContactPoint.objects.filter(value=PHONE).values_list("digest", flat=True))
        self.now += MINUTE
        if on:
            suppress(digests, by=self.manager, at=self.now, channel="CALL")
        else:
            lift_suppression(digests, by=self.manager, at=self.now, reason="x", channel="CALL")
            bring_back_held(self.now)

    @rule(who=st.integers(0, 2))
    def claim(self, who: int) -> None:
        claim_due(by=self.people[who], at=self.now)

    @rule()
    def run_jobs(self) -> None:
        free_expired_claims(self.now)
        bring_back_held(self.now)
        escalate_overdue(self.now)

    # --- what must hold -----------------------------------------------------------------------------------

    def is_lawful(self, channel: str, when: datetime | None) -> bool:
        assert when is not None
        gate = open_gate(Place("ON"), channel, self.now, city="Toronto")
        return gate.hours.next_open(when) == when

    def gap_after(self, done: FollowUpTask) -> None:
        assert done.ladder is not None
        after = FollowUpTask.objects.filter(ladder=done.ladder, step__gt=done.step, status="OPEN").order_by(
            "step"
        )
        following = after.first()
        if following is not None and following.due_at is not None:
            assert following.due_at >= self.now + gap_before(read_steps(done.ladder.steps), following.step)

    @precondition(lambda self: self.scheduled)
    @invariant()
    def one_ladder_runs_and_one_step_of_it_is_current(self) -> None:
        running = list(Ladder.objects.filter(status="ACTIVE"))
        assert len(running) <= 1
        current = list(
            FollowUpTask.objects.filter(kind="LADDER", is_current=True).values_list("pk", flat=True)
        )
        still_open = FollowUpTask.objects.filter(kind="LADDER", status="OPEN").order_by("step")
        if running:
            assert {task.ladder_id for task in still_open} == {running[0].pk}
            assert current == [still_open[0].pk]
        else:
            assert not still_open
            assert not current

    @invariant()
    def what_was_scheduled_stays_scheduled(self) -> None:
        assert (
            dict(FollowUpTask.objects.filter(kind="LADDER").values_list("pk", "scheduled_for"))
            == self.scheduled
        )

    @invariant()
    def what_is_due_later_is_lawful_in_order_and_apart(self) -> None:
        open_tasks = (
            FollowUpTask.objects.filter(status="OPEN").select_related("ladder").order_by("ladder", "step")
        )
        before: FollowUpTask | None = None
        for task in open_tasks:
            assert (task.due_at is None) == bool(task.held_reason)
            if task.due_at is None:
                continue
            claimed = task.claim_until is not None and task.claim_until > self.now
            if task.due_at > self.now and not claimed:
                assert self.is_lawful(task.channel, task.due_at)
                assert task.kind != "LADDER" or task.due_at >= task.scheduled_for
            same = before is not None and task.ladder is not None and before.ladder == task.ladder
            if same and before is not None and before.due_at is not None and task.due_at > self.now:
                assert task.due_at >= before.due_at + gap_before(read_steps(task.ladder.steps), task.step)
            before = task

    @invariant()
    def every_completion_is_counted_once(self) -> None:
        done = FollowUpTask.objects.filter(status="COMPLETED").count()
        assert KpiEvent.objects.filter(metric="followup_completed").count() == done
        late = [
            e["task"] for e in KpiEvent.objects.filter(metric="followup_sla").values_list("detail", flat=True)
        ]
        assert len(late) == len(set(late))


run = partial(walk, LadderMachine)


@pytest.mark.django_db
def test_a_ladder_keeps_its_rules_in_any_order() -> None:
    run(20, 20)


@pytest.mark.long
@pytest.mark.django_db
@pytest.mark.parametrize("part", range(12))
def test_a_ladder_keeps_its_rules_in_any_order_for_long(part: int) -> None:
    run(40, 40)
