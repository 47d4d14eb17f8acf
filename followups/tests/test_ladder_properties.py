"""Whatever is done to a ladder, in any order, what must hold of it holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
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

from followups.api.serializers import LeadSerializer, TaskSerializer
from followups.models import ContactPoint, FollowUpTask, Ladder, Lead, TaskCorrection
from followups.points import lead_digest
from followups.rules import ADVANCING, HAPPENED, STOPPING, gap_before, read_steps
from followups.services import (
    Completion,
    bring_back_held,
    claim_due,
    correct_task,
    escalate_overdue,
    free_expired_claims,
    realign_due,
    record_inbound,
    release_claim,
    request_realigning,
    save_lead,
    skip_task,
    snooze_task,
    start_task,
    stop_ladder,
)
from followups.tests.factories import HOUR, MINUTE, PHONE, PointFactory, at, finish, ladder, set_policy
from governance.contact.reference import remove_reference, save_reference
from governance.contact.services import lift_suppression, suppress
from governance.core.actors import Actor
from governance.core.errors import Refused
from governance.models import Closure, ContactDecision, KpiEvent, StatutoryHours, Suppression
from governance.tests.minute_walker import Closed, Hours, Law, Walker, World
from valhalla.testing import make_by, quick, walk

pytestmark = pytest.mark.both

EVERY_DAY = list(range(7))
WEEK = EVERY_DAY[:5]
Windows = tuple[tuple[list[int], str, str], ...]
USUAL: Windows = ((WEEK, "09:00", "20:00"), ([5], "10:00", "18:00"))
WINDOWS: list[Windows] = [
    USUAL,
    ((WEEK, "16:00", "19:00"),),
    (([4], "18:00", "18:30"),),
    ((EVERY_DAY, "00:00", "24:00"),),
    (),
]
CRTC = ((WEEK, "09:00", "21:30"), ([5, 6], "10:00", "18:00"))
BEGINNINGS = [
    at(23, "09:00"),  # a week without anything
    at(29, "09:00", month=10),  # the clocks go back on 1 November
    at(18, "09:00", month=12),  # holidays
    datetime(2027, 3, 11, 14, tzinfo=UTC),  # the clocks go forward on the 14th
]
numbers = st.sampled_from([None, None, None, None, 0, 1, 2, 3, 4, 5])  # mostly the current step
REFUSALS = {"contact_denied", "out_of_sequence", "task_closed", "outcome_differs", "claimed_by_other"}
REFUSALS |= {"ladder_active", "invalid", "not_completed", "ladder_ended"}
REFUSALS |= {"too_late_to_correct", "not_your_task", "needs_manager"}


def hours_of(windows: Windows) -> tuple[Hours, ...]:
    def minute(clock: str) -> int:
        hour, rest = clock.split(":")
        return int(hour) * 60 + int(rest)

    return tuple(Hours(frozenset(days), minute(start), minute(end)) for days, start, end in windows)


class LadderMachine(RuleBasedStateMachine):
    """One lead with two phones, their ladder, and people who do things to it while the clock runs.

    What decides when they may be contacted is kept a second time, and judged by the minute walker.
    """

    def __init__(self) -> None:
        super().__init__()
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.people = [make_by("VA"), make_by("VA", "gus"), make_by("MANAGER")]
        self.manager = self.people[2]
        self.scheduled: dict[int, datetime] = {}
        self.done_at: dict[int, datetime] = {}  # when a step was completed or skipped
        self.outcomes: dict[int, str] = {}  # each task's first
        self.held_back: set[int] = set()  # claimed while something changed: the night moves them
        self.windows: dict[str, Windows] = {"ON": USUAL, "QC": USUAL}
        self.policy_zone = {"ON": "", "QC": ""}
        self.skip_holidays = {"ON": True, "QC": True}
        self.law = [Law("CA", hours, date(2008, 9, 30)) for hours in hours_of(CRTC)]
        self.walkers: dict[str, Walker] = {}
        self.told: dict[tuple[type[Lead | FollowUpTask], int], dict[str, Any]] = {}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.transaction.__exit__(None, None, None)

    # --- what is done -------------------------------------------------------------------------------------

    @initialize(beginning=st.sampled_from(BEGINNINGS), minutes=st.integers(0, 7 * 24 * 60))
    def begin(self, beginning: datetime, minutes: int) -> None:
        self.now = beginning + minutes * MINUTE
        lead = PointFactory(lead__external_id="L-1", lead__created_at=self.now).lead
        PointFactory(lead=lead, value="+14165550123", order=1)
        self.begin_again()

    def attempt(self, call: Callable[[], object]) -> Any:
        """Return what the call answers, or None where it was refused in so many words."""
        try:
            return call()
        except Refused as refusal:
            if refusal.code not in REFUSALS:
                raise
            return None

    def task(self, number: int | None) -> FollowUpTask:
        """The current step of their last ladder, or one that is named."""
        steps: list[FollowUpTask] = list(
            FollowUpTask.objects.filter(ladder=Ladder.objects.order_by("-id")[0]).order_by("step")
        )
        if number is not None:
            return steps[number]
        return next((task for task in steps if task.is_current), steps[-1])

    @precondition(lambda self: not self.runs())
    @rule()
    def begin_again(self) -> None:
        made = self.attempt(lambda: ladder(self.manager, "L-1", self.now, phone="", province="", city=""))
        if made:
            self.scheduled |= {task.pk: task.scheduled_for for task in made.tasks}

    @precondition(lambda self: self.runs())
    @rule()
    def begin_a_second_one(self) -> None:
        with pytest.raises(Refused, match="already"):
            ladder(self.manager, "L-1", self.now, phone="", province="", city="")

    @rule(minutes=st.sampled_from([1, 29, 31, 121, 241, 601, 1441, 3 * 1440]))
    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @precondition(lambda self: self.runs())
    @rule(
        minutes=st.integers(0, 90),
        who=st.integers(0, 2),
        started=st.booleans(),
        outcome=st.sampled_from([*sorted(ADVANCING), "SENT", "NO_ANSWER", "REACHED", "WRONG_NUMBER"]),
        corrected=st.sampled_from(["", "", *FollowUpTask.Outcome.values]),
    )
    def work(self, minutes: int, who: int, started: bool, outcome: str, corrected: str) -> None:
        """Wait until the current step is due, and a while longer; start and complete it; then correct it."""
        self.now = max(self.now, self.task(None).due_at or self.now) + minutes * MINUTE
        if started:
            self.start(None, who)
            self.now += 3 * MINUTE
        self.complete(None, who, outcome)
        if corrected and FollowUpTask.objects.filter(status="COMPLETED").exists():
            self.correct(0, who, corrected)

    @precondition(lambda self: self.runs())
    @rule(number=numbers, who=st.integers(0, 2))
    def start(self, number: int | None, who: int) -> None:
        task = self.task(number)
        if self.attempt(lambda: start_task(task.pk, by=self.people[who], at=self.now)):
            if self.task(number).started_at == self.now:
                assert self.is_lawful(task.channel, self.now)
            assert ContactDecision.objects.filter(task_id=task.pk, door="START", ok=True).exists()

    @rule(number=numbers, who=st.integers(0, 2), outcome=st.sampled_from(sorted(ADVANCING)))
    def complete(self, number: int | None, who: int, outcome: str) -> None:
        before = self.task(number)
        done = self.attempt(lambda: finish(before, self.people[who], self.now, outcome=outcome))
        if done and not done.already_completed:
            self.is_done(before)
            if outcome in HAPPENED:  # asks neither gate nor sequence
                return
            assert not FollowUpTask.objects.filter(
                ladder=before.ladder, step__lt=before.step, status="OPEN"
            ).exists()
            if done.task.contacted_at != before.started_at:  # else it was judged when it was started
                assert self.is_lawful(before.channel, done.task.contacted_at)

    @precondition(lambda self: self.runs())
    @rule(number=numbers, outcome=st.sampled_from(["SENT", "NO_ANSWER", "WRONG_NUMBER"]))
    def happened(self, number: int | None, outcome: str) -> None:
        before = self.task(number)
        done = self.attempt(lambda: finish(before, self.manager, self.now, outcome=outcome, happened=True))
        if done and not done.already_completed and before.status == "OPEN":
            self.is_done(before)

    @precondition(lambda self: self.runs())
    @rule(number=numbers, who=st.integers(0, 2))
    def skip(self, number: int | None, who: int) -> None:
        before = self.task(number)
        if self.attempt(lambda: skip_task(before.pk, by=self.people[who], at=self.now, reason="x")):
            self.is_done(before)

    @precondition(lambda self: self.runs())
    @rule(number=numbers, who=st.integers(0, 2), hours=st.integers(1, 24 * 14))
    def snooze(self, number: int | None, who: int, hours: int) -> None:
        until = self.now + hours * HOUR
        task = self.attempt(
            lambda: snooze_task(self.task(number).pk, by=self.people[who], at=self.now, until=until)
        )
        assert task is None or self.is_lawful(task.channel, task.snoozed_until)

    @precondition(lambda self: self.scheduled)
    @rule(
        number=numbers,
        what=st.sampled_from(
            ["REPLIED", "CALLBACK", "NOT_NOW", "NOT_INTERESTED", "OPTED_OUT", "came in", "stopped"]
        ),
        said=st.sampled_from(["", "REPLIED", "OPTED_OUT"]),
    )
    def end(self, number: int | None, what: str, said: str) -> None:
        """A reply or an opt-out, which nothing can refuse, or a manager ends the ladder."""
        if what == "stopped":
            running = Ladder.objects.order_by("-id")[0]
            self.attempt(lambda: stop_ladder(running.pk, by=self.manager, at=self.now, reason="x"))
        elif what == "came in":
            record_inbound("L-1", by=self.people[0], at=self.now, channel="CALL", outcome=said)
        else:
            then = self.now + 20 * HOUR if what in ("CALLBACK", "NOT_NOW") else None
            said_next = what if what not in ("REPLIED", "OPTED_OUT") else ""
            outcome = "OPTED_OUT" if what == "OPTED_OUT" else "REPLIED"
            given: dict[str, Any] = {"outcome": outcome, "next": said_next, "next_at": then}
            if finish(self.task(number), self.people[0], self.now, **given).already_completed:
                return  # said again; it may have been corrected or lifted since
        assert not self.runs() or (what, said) == ("came in", "")
        if "OPTED_OUT" in (what, said if what == "came in" else ""):
            self.is_stopped()

    def runs(self) -> bool:
        return Ladder.objects.filter(status="ACTIVE").exists()

    def is_stopped(self) -> None:
        assert self.opted_out()
        assert not self.runs()
        assert not FollowUpTask.objects.filter(status="OPEN").exists()

    @precondition(lambda self: self.opted_out())
    @rule()
    def take_back_the_opt_out(self) -> None:
        self.now += MINUTE
        stopped = [lead_digest("L-1"), *ContactPoint.objects.values_list("digest", flat=True)]
        lift_suppression(stopped, by=self.manager, at=self.now, reason="she asked us to go on")
        bring_back_held(self.now)

    @precondition(lambda self: FollowUpTask.objects.filter(status="COMPLETED").exists())
    @rule(
        which=st.integers(0, 9),
        who=st.sampled_from([0, 1, 2, 2]),
        outcome=st.sampled_from(FollowUpTask.Outcome.values),
    )
    def correct(self, which: int, who: int, outcome: str) -> None:
        """Correct one of what was completed, mostly the last."""
        done = list(FollowUpTask.objects.filter(status="COMPLETED").order_by("-completed_at", "-id"))
        task = done[which % len(done) if which > 4 else 0]
        self.now += MINUTE
        given = Completion(outcome=outcome)
        corrected = self.attempt(
            lambda: correct_task(task.pk, given, by=self.people[who], at=self.now, reason="x")
        )
        if corrected and not corrected.already_completed:
            if outcome == "OPTED_OUT":
                self.is_stopped()
            assert outcome not in STOPPING or not self.runs()

    @rule(number=st.integers(0, 5), who=st.integers(0, 2))
    def try_what_is_closed(self, number: int, who: int) -> None:
        """Whatever is asked of a step that is closed, it stays what it is."""
        before = self.task(number)
        if before.status != "OPEN":
            by, left = self.people[who], 24 * HOUR
            for call in (
                lambda: start_task(before.pk, by=by, at=self.now),
                lambda: skip_task(before.pk, by=by, at=self.now, reason="x"),
                lambda: snooze_task(before.pk, by=by, at=self.now, until=self.now + left),
                lambda: finish(before, by, self.now, outcome="LEFT_MESSAGE"),
            ):
                self.attempt(call)
            after = self.task(number)
            assert (after.status, after.outcome) == (before.status, before.outcome)

    # --- what changes around it ---------------------------------------------------------------------------

    def changed(self, *, everywhere: bool = True) -> None:
        """Forget what the walker knew, note which tasks a claim holds where they are, and realign."""
        self.walkers = {}
        held = FollowUpTask.objects.filter(status="OPEN", claim_until__gt=self.now)
        self.held_back |= set(held.values_list("pk", flat=True))
        if everywhere:
            realign_due(self.now)

    @rule(
        province=st.sampled_from(["ON", "ON", "ON", "QC"]),
        which=st.integers(0, len(WINDOWS) - 1),
        enabled=st.sampled_from([True, True, True, False]),
        skips=st.booleans(),
        zone=st.sampled_from(["", "", "America/Winnipeg", "America/Halifax"]),
    )
    def change_policy(self, province: str, which: int, enabled: bool, skips: bool, zone: str) -> None:
        windows = [{"days": days, "start": start, "end": end} for days, start, end in WINDOWS[which]]
        rules = {"contact_windows_local": windows, "skip_holidays": skips}
        set_policy(self.manager, self.now, province, enabled=enabled, rules=rules, timezone=zone)
        self.windows[province], self.skip_holidays[province] = WINDOWS[which], skips
        self.policy_zone[province] = zone
        self.changed()

    @rule(
        zone=st.sampled_from(["", "", "America/Vancouver", "America/St_Johns", "America/Regina"]),
        where=st.sampled_from([("ON", "Toronto"), ("ON", "Kenora"), ("ON", ""), ("QC", "Montréal")]),
    )
    def move_the_lead(self, zone: str, where: tuple[str, str]) -> None:
        lead = self.lead()
        lead.zone, (lead.province, lead.city) = zone, where
        save_lead(lead, by=self.manager, at=self.now)
        self.changed(everywhere=False)

    @rule(
        ahead=st.integers(0, 8),
        province=st.sampled_from(["", "ON"]),
        closed=st.sampled_from([True, True, False]),
        since=st.sampled_from([None, time(15)]),
        law=st.sampled_from(["", "Act"]),
    )
    def close_a_day_or_open_it(
        self, ahead: int, province: str, closed: bool, since: time | None, law: str
    ) -> None:
        day = self.now.date() + timedelta(days=ahead)
        known = Closure.objects.filter(date=day, province=province).first()
        if known is not None:
            remove_reference(known, by=self.manager, at=self.now, reason="x")
        else:
            row = Closure(date=day, province=province, closed=closed, name="x", citation=law)
            row.closed_from = since if closed else None
            save_reference(row, by=self.manager, at=self.now, reason="x")
        self.changed()

    @rule(ahead=st.integers(-1, 3), start=st.sampled_from(["00:00", "12:00"]))
    def change_the_law(self, ahead: int, start: str) -> None:
        """A law is never removed: one with a later date takes its place."""
        row = StatutoryHours(
            jurisdiction="ON",
            channel="CALL",
            days=EVERY_DAY,
            start=start,
            end="17:00",
            valid_from=self.now.date() + timedelta(days=ahead),
            citation="Act",
        )
        save_reference(row, by=self.manager, at=self.now, reason="x")
        (hours,) = hours_of(((EVERY_DAY, start, "17:00"),))
        self.law.append(Law("ON", hours, row.valid_from))
        self.changed()

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

    @rule(number=numbers, who=st.integers(0, 2))
    def release(self, number: int | None, who: int) -> None:
        self.attempt(lambda: release_claim(self.task(number).pk, by=self.people[who], at=self.now))

    @rule()
    def run_jobs(self) -> None:
        free_expired_claims(self.now)
        bring_back_held(self.now)
        escalate_overdue(self.now)

    @rule()
    def a_night_passes(self) -> None:
        self.now += 24 * HOUR
        self.run_jobs()
        request_realigning("", Actor.system("followups.realign_due"), self.now)
        realign_due(self.now)
        self.held_back = set()

    # --- what must hold -----------------------------------------------------------------------------------

    def lead(self) -> Lead:
        return Lead.objects.get(external_id="L-1")

    def opted_out(self) -> bool:
        rows = Suppression.objects.filter(point_digest=lead_digest("L-1"), channel="")
        last = rows.order_by("at", "id").last()
        return last is not None and last.action == "SUPPRESS"

    def is_lawful(self, channel: str, when: datetime | None) -> bool:
        assert when is not None
        if channel not in self.walkers:
            self.walkers[channel] = Walker(self.world(channel))
        return self.walkers[channel].next_allowed(when) == when

    def world(self, channel: str) -> World:
        lead = self.lead()
        return World(
            lead.province,
            lead.city,
            own_zone=lead.zone,
            policy_zone=self.policy_zone[lead.province],
            windows=hours_of(self.windows[lead.province]),
            skip_holidays=self.skip_holidays[lead.province],
            law=tuple(self.law) if channel == "CALL" else (),
            closures=tuple(
                Closed(row.province, row.date, row.closed, 900 if row.closed_from else 0, bool(row.citation))
                for row in Closure.objects.filter(province__in=["", lead.province])
            ),
        )

    def is_done(self, task: FollowUpTask) -> None:
        """Note when a step was done with: what follows keeps its gap from then on."""
        self.done_at[task.pk] = self.now

    @precondition(lambda self: self.scheduled)
    @invariant()
    def a_row_that_changes_says_when(self) -> None:
        """A client that asks for what changed since misses nothing."""
        now: dict[tuple[type[Lead | FollowUpTask], int], dict[str, Any]] = {}
        for model, serializer in (
            (Lead, LeadSerializer),
            (FollowUpTask, TaskSerializer),
        ):
            for row in model.objects.all():
                now[model, row.pk] = {**serializer(row).data, "updated_at": row.updated_at}
        for key, told in now.items():
            before = self.told.get(key)
            if before is not None and told != before:
                assert told["updated_at"] != before["updated_at"] or told["updated_at"] == self.now, (
                    before,
                    told,
                )
        self.told = now

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
        tasks = FollowUpTask.objects.select_related("ladder").order_by("ladder", "step", "id")
        before: FollowUpTask | None = None
        for task in tasks:
            earlier = before if before is not None and before.ladder_id == task.ladder_id else None
            if task.status == "OPEN":
                assert (task.due_at is None) == bool(task.held_reason)
                if task.due_at is not None and task.due_at > self.now and not self.stays(task):
                    assert self.is_lawful(task.channel, task.due_at)
                    if task.kind == "LADDER":
                        assert task.due_at >= task.scheduled_for
                        self.comes_after(earlier, task, task.due_at)
            before = task

    def stays(self, task: FollowUpTask) -> bool:
        claimed = task.claim_until is not None and task.claim_until > self.now
        return claimed or task.pk in self.held_back

    def comes_after(self, earlier: FollowUpTask | None, task: FollowUpTask, due_at: datetime) -> None:
        """Check the gap to the step before, from when that is due or was done with."""
        if earlier is None or task.ladder is None or task.step is None:
            return
        since = earlier.due_at if earlier.status == "OPEN" else self.done_at.get(earlier.pk)
        assert since is None or due_at >= since + gap_before(read_steps(task.ladder.steps), task.step)

    @invariant()
    def nobody_who_opted_out_is_due(self) -> None:
        if self.scheduled and self.opted_out():
            assert not FollowUpTask.objects.filter(status="OPEN").exclude(due_at=None).exists()

    @invariant()
    def a_first_outcome_stays_and_each_correction_is_told_once(self) -> None:
        rows = FollowUpTask.objects.filter(status="COMPLETED").values_list("pk", "outcome")
        for pk, outcome in rows:
            assert self.outcomes.setdefault(pk, outcome) == outcome
        told = KpiEvent.objects.filter(metric="followup_corrected").count()
        assert TaskCorrection.objects.count() == told

    @invariant()
    def every_completion_is_counted_once(self) -> None:
        done = FollowUpTask.objects.filter(status="COMPLETED").count()
        assert KpiEvent.objects.filter(metric="followup_completed").count() == done
        late = [
            e["task"] for e in KpiEvent.objects.filter(metric="followup_sla").values_list("detail", flat=True)
        ]
        assert len(late) == len(set(late))


@pytest.mark.django_db
def test_a_ladder_keeps_its_rules_in_any_order(seed: int) -> None:
    walk(LadderMachine, quick(12), 40, seed)


@pytest.mark.long
@pytest.mark.django_db
@pytest.mark.parametrize("part", range(1, 13))
def test_a_ladder_keeps_its_rules_in_any_order_for_long(seed: int, part: int) -> None:
    walk(LadderMachine, 40, 40, seed + part)
