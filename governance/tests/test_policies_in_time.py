"""Each instant is judged by the policy in force at it: what was, what is, and what is scheduled.

The independent check keeps its own list of who changed what, from when on, and walks minute by minute.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import IntegrityError, connection, transaction
from django.test import Client
from rest_framework.test import APIClient

from governance.contact.models import ContactDecision, StatutoryHours
from governance.contact.services import can_contact, decision, judge_again, open_gate, question_about
from governance.core import hooks
from governance.core.actors import Actor
from governance.core.append_only import unguarded
from governance.core.errors import Forbidden, Invalid, NotFound, Refused
from governance.core.hooks import Moves, PolicyDraft
from governance.core.places import ALL, Place
from governance.market.forms import typed_from
from governance.market.models import MarketPolicy, ScheduledChange
from governance.market.rules import read_rules
from governance.market.services import (
    apply_scheduled,
    cancel_scheduled,
    schedule_change,
    simulate_policy,
    upsert_policy,
)
from governance.models import User
from governance.tests.factories import NOW
from governance.tests.minute_walker import Hours, Succession, World
from valhalla.testing import quick

MakeBy = Callable[..., Actor]
Api = Callable[..., APIClient]
pytestmark = [pytest.mark.both, pytest.mark.django_db]
ONTARIO, TORONTO = Place("ON"), Place("ON", "TORONTO")
NEW_YEAR = datetime(2027, 1, 4, 5, tzinfo=UTC)  # Monday, 00:00 in Toronto
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def hours(*windows: tuple[list[int], str, str]) -> dict[str, Any]:
    return {
        "contact_windows_local": [{"days": days, "start": start, "end": end} for days, start, end in windows]
    }


NOONS = hours(([0, 1, 2, 3, 4], "12:00", "13:00"))


@pytest.fixture(autouse=True)
def _since_long_ago() -> None:
    """What is seeded was in force before anything that is asked."""
    MarketPolicy.objects.update(updated_at=LONG_AGO)
    with unguarded(connection, "governance_historicalmarketpolicy"):
        MarketPolicy.history.update(updated_at=LONG_AGO)


def ask(at: datetime, place: Place = TORONTO, channel: str = "SMS") -> tuple[bool, str, datetime | None]:
    answer = can_contact(channel=channel, at=at, province=place.province, market=place.market)
    return answer.verdict.ok, answer.verdict.reason, answer.next_allowed_at


def toronto(day: int, hour: int, minute: int = 0, month: int = 1) -> datetime:
    return datetime(2027, month, day, hour, minute, tzinfo=ZoneInfo("America/Toronto")).astimezone(UTC)


# --- what the gate says -------------------------------------------------------------------------------------


def test_until_the_instant_the_old_hours_hold_and_then_the_new(by: MakeBy) -> None:
    schedule_change(ONTARIO, by=by("MANAGER"), at=NOW, effective_from=NEW_YEAR, rules=NOONS)
    # Friday, 1 January is a holiday; Saturday's hours end at 18:00, Sunday has none
    assert ask(toronto(2, 17, 59)) == (True, "within_window", toronto(2, 17, 59))
    assert ask(toronto(2, 18)) == (False, "outside_contact_window", toronto(4, 12))
    assert ask(toronto(4, 9))[0] is False
    assert ask(toronto(4, 12))[0] is True


def test_a_gate_that_is_open_before_counts_allowed_minutes_across_the_change(by: MakeBy) -> None:
    noon = toronto(5, 12)  # Tuesday: from then on 12 to 13 alone
    schedule_change(ONTARIO, by=by("MANAGER"), at=NOW, effective_from=noon, rules=NOONS)
    gate = open_gate(TORONTO, "SMS", NOW)
    assert gate.hours.after_open_minutes(toronto(5, 11, 30), 60) == toronto(5, 12, 30)
    assert gate.hours.after_open_minutes(toronto(5, 11, 30), 120) == toronto(6, 12, 30)
    assert gate.hours.open_minutes(toronto(5, 9), toronto(6, 0)) == 240
    assert gate.hours.closes_at(toronto(5, 11)) == toronto(5, 13)


def test_switched_off_from_a_date_refuses_from_then_on(by: MakeBy) -> None:
    schedule_change(ONTARIO, by=by("MANAGER"), at=NOW, effective_from=NEW_YEAR, enabled=False)
    assert ask(toronto(2, 12))[0] is True
    assert ask(toronto(4, 12)) == (False, "policy_disabled", None)
    assert ask(toronto(2, 19))[2] is None, "nothing is allowed any more once the hours would open"


def test_switched_on_from_a_date_allows_from_then_on(by: MakeBy) -> None:
    upsert_policy(ONTARIO, by=by("MANAGER"), at=NOW, enabled=False)
    schedule_change(ONTARIO, by=by("MANAGER"), at=NOW, effective_from=NEW_YEAR, enabled=True)
    assert ask(toronto(2, 12)) == (False, "policy_disabled", toronto(4, 9))


def test_a_channel_and_a_zone_change_with_their_instant(by: MakeBy) -> None:
    start = toronto(5, 9)
    schedule_change(
        ONTARIO,
        by=by("MANAGER"),
        at=NOW,
        effective_from=start,
        timezone="America/Regina",
        rules={"channels_allowed": ["CALL"]},
    )
    assert ask(start) == (False, "channel_not_allowed", None)
    assert ask(toronto(5, 8), channel="CALL")[2] == toronto(5, 10), "at nine in Regina"


def test_what_changes_otherwise_until_then_stays_changed(by: MakeBy) -> None:
    manager = by("MANAGER")
    schedule_change(ONTARIO, by=manager, at=NOW, effective_from=NEW_YEAR, rules=NOONS)
    upsert_policy(ONTARIO, by=manager, at=NOW + DAY, enabled=False, reason="complaint")
    assert ask(toronto(4, 12)) == (False, "policy_disabled", None)


def test_a_market_gets_a_policy_of_its_own_from_an_instant_on(by: MakeBy) -> None:
    schedule_change(TORONTO, by=by("MANAGER"), at=NOW, effective_from=NEW_YEAR, rules=NOONS)
    assert not MarketPolicy.objects.filter(market="TORONTO").exists()
    assert ask(toronto(2, 11))[0] is True
    assert (ask(toronto(4, 11))[0], ask(toronto(4, 12))[0]) == (False, True)
    assert ask(toronto(4, 11), Place("ON", "OTTAWA"))[0] is True


def test_a_question_about_the_past_is_judged_by_what_was_in_force(by: MakeBy) -> None:
    manager = by("MANAGER")
    upsert_policy(ONTARIO, by=manager, at=NOW, rules=NOONS)
    upsert_policy(TORONTO, by=manager, at=NOW + DAY, enabled=False)
    upsert_policy(ONTARIO, by=manager, at=NOW + 2 * DAY, enabled=False)
    assert ask(NOW - HOUR)[0] is True, "the hours were the seeded ones, and Toronto had none of its own"
    assert ask(NOW + HOUR)[1] == "outside_contact_window"
    assert ask(NOW + DAY)[1] == "policy_disabled"
    assert ask(NOW + DAY, Place("ON", "OTTAWA"))[1] == "outside_contact_window"
    assert ask(NOW + 2 * DAY, Place("ON", "OTTAWA"))[1] == "policy_disabled"


def test_two_versions_of_one_instant_do_not_reach_back_before_it(by: MakeBy) -> None:
    manager = by("MANAGER")
    upsert_policy(TORONTO, by=manager, at=NOW, enabled=False)
    upsert_policy(TORONTO, by=manager, at=NOW, rules=NOONS)
    assert (ask(NOW - HOUR)[0], ask(NOW)[1]) == (True, "policy_disabled")


# --- entering, cancelling, taking effect --------------------------------------------------------------------


def test_each_step_asks_for_due_times_to_be_judged_again(by: MakeBy, told: list[str]) -> None:
    manager = by("MANAGER", "mona")
    change = schedule_change(ONTARIO, by=manager, at=NOW, effective_from=NEW_YEAR, rules=NOONS)
    assert (told, change is None) == (["ON"], False)
    assert change is not None
    cancel_scheduled(change.pk, by=manager, at=NOW, reason="wrong year")
    assert told == ["ON"] * 2
    schedule_change(ONTARIO, by=manager, at=NOW, effective_from=NEW_YEAR, rules=NOONS, reason="January")
    assert (apply_scheduled(NEW_YEAR - SECOND), told) == (0, ["ON"] * 3)
    assert (apply_scheduled(NEW_YEAR + MINUTE), told) == (1, ["ON"] * 4)
    assert (apply_scheduled(NEW_YEAR + MINUTE), told) == (0, ["ON"] * 4)
    policy = MarketPolicy.objects.get(province="ON")
    assert (policy.version, policy.changed_by, policy.reason) == (2, "mona", "January")
    assert (policy.updated_at, policy.rules["contact_windows_local"][0]["start"]) == (NEW_YEAR, "12:00")
    kept = ScheduledChange.objects.get(cancelled_at=None)
    assert (kept.made_version, kept.applied_at, kept.state) == (2, NEW_YEAR + MINUTE, "IN_FORCE")


def test_an_edit_after_the_instant_comes_on_top_although_no_job_ran(by: MakeBy) -> None:
    manager = by("MANAGER")
    schedule_change(ONTARIO, by=manager, at=NOW, effective_from=NEW_YEAR, rules=NOONS)
    later = upsert_policy(ONTARIO, by=manager, at=NEW_YEAR + HOUR, rules={"skip_holidays": False})
    assert (later.version, later.rules["contact_windows_local"][0]["start"]) == (3, "12:00")
    assert ask(toronto(4, 9))[0] is False


def test_a_cancelled_change_changes_nothing(by: MakeBy) -> None:
    manager = by("MANAGER", "mona")
    change = schedule_change(ONTARIO, by=manager, at=NOW, effective_from=NEW_YEAR, enabled=False)
    assert change is not None
    for _twice in range(2):
        kept = cancel_scheduled(change.pk, by=manager, at=NOW + DAY, reason="not needed")
        assert (kept.state, kept.cancelled_by, kept.cancel_reason) == ("CANCELLED", "mona", "not needed")
    assert ask(toronto(4, 12))[0] is True
    assert apply_scheduled(NEW_YEAR) == 0
    assert schedule_change(ONTARIO, by=manager, at=NOW, effective_from=NEW_YEAR, enabled=False)


def test_what_has_begun_cannot_be_cancelled(by: MakeBy) -> None:
    manager = by("MANAGER")
    change = schedule_change(ONTARIO, by=manager, at=NOW, effective_from=NEW_YEAR, enabled=False)
    assert change is not None
    for _before_and_after_the_job in range(2):
        with pytest.raises(Refused) as refused:
            cancel_scheduled(change.pk, by=manager, at=NEW_YEAR, reason="too late")
        assert refused.value.code == "already_in_force"
        apply_scheduled(NEW_YEAR)
    with pytest.raises(NotFound):
        cancel_scheduled(change.pk + 1, by=manager, at=NOW, reason="which?")
    with pytest.raises(Invalid):
        cancel_scheduled(change.pk, by=manager, at=NOW, reason=" ")


def test_the_same_change_twice_is_scheduled_once(by: MakeBy) -> None:
    manager = by("MANAGER")
    first = schedule_change(ONTARIO, by=manager, at=NOW, effective_from=NEW_YEAR, rules=NOONS)
    assert first is not None
    assert first.changes == {"rules": NOONS}
    assert schedule_change(ONTARIO, by=manager, at=NOW, effective_from=NEW_YEAR, rules=NOONS) is None
    assert schedule_change(ONTARIO, by=manager, at=NOW, effective_from=NEW_YEAR, enabled=True) is None
    with pytest.raises(Refused) as refused:
        schedule_change(ONTARIO, by=manager, at=NOW, effective_from=NEW_YEAR, enabled=False)
    assert refused.value.code == "already_scheduled"
    with pytest.raises(IntegrityError), transaction.atomic():
        ScheduledChange.objects.create(
            province="ON", effective_from=NEW_YEAR, changes={}, changed_by="x", created_at=NOW
        )


def test_what_cannot_be_is_refused_and_nothing_kept(by: MakeBy) -> None:
    manager = by("MANAGER")
    wrong: list[dict[str, Any]] = [
        {"effective_from": NOW, "enabled": False},
        {"effective_from": NOW - DAY, "enabled": False},
        {"effective_from": NOW + 6 * 366 * DAY, "enabled": False},
        {"effective_from": NEW_YEAR, "rules": {"nonsense": 1}},
        {"effective_from": NEW_YEAR, "rules": {"max_contacts_per_day": 7}},
        {"effective_from": NEW_YEAR, "timezone": "Europe/Paris"},
    ]
    for change in wrong:
        with pytest.raises(Invalid):
            schedule_change(ONTARIO, by=manager, at=NOW, **change)
    with pytest.raises(Refused) as refused:
        schedule_change(
            ONTARIO, by=manager, at=NOW, effective_from=NEW_YEAR, enabled=False, expected_version=2
        )
    assert refused.value.code == "stale_version"
    for number in range(20):
        start = NEW_YEAR + number * DAY
        schedule_change(ONTARIO, by=manager, at=NOW, effective_from=start, enabled=bool(number % 2))
    with pytest.raises(Refused) as refused:
        schedule_change(ONTARIO, by=manager, at=NOW, effective_from=NEW_YEAR + 30 * DAY, rules=NOONS)
    assert refused.value.code == "too_many_scheduled"
    assert ScheduledChange.objects.count() == 20


def test_an_edit_that_would_make_a_scheduled_change_unusable_is_refused(by: MakeBy) -> None:
    manager = by("MANAGER")
    change = {"max_contacts_per_day": 5}
    schedule_change(ONTARIO, by=manager, at=NOW, effective_from=NEW_YEAR, rules=change)
    with pytest.raises(Invalid, match="fields listed"):
        upsert_policy(ONTARIO, by=manager, at=NOW, rules={"max_contacts_per_7_days": 4})
    assert MarketPolicy.objects.get(province="ON").version == 1


@pytest.mark.parametrize("role", ["VA", "CLOSER", "AUDITOR", "SERVICE"])
def test_others_schedule_and_cancel_nothing(by: MakeBy, role: str) -> None:
    change = schedule_change(ONTARIO, by=by("MANAGER"), at=NOW, effective_from=NEW_YEAR, enabled=False)
    assert change is not None
    other = by("SERVICE", scopes=()) if role == "SERVICE" else by(role)
    with pytest.raises(Forbidden):
        schedule_change(ONTARIO, by=other, at=NOW, effective_from=NEW_YEAR + DAY, enabled=True)
    with pytest.raises(Forbidden):
        cancel_scheduled(change.pk, by=other, at=NOW, reason="mine")


# --- judged again -------------------------------------------------------------------------------------------


def keep(by: Actor, at: datetime, place: Place = TORONTO, channel: str = "SMS") -> ContactDecision:
    gate = open_gate(place, channel, at)
    question = question_about(channel, (), None, at=at)
    kept = decision("START", gate.judge(question, at), gate, question, by=by, at=at, now=at, lead_id="L-1")
    kept.save()
    return ContactDecision.objects.get(pk=kept.pk)


def same(kept: ContactDecision) -> bool:
    again = judge_again(kept)
    return (again.ok, again.reason, list(again.local_times)) == (kept.ok, kept.reason, kept.local_times)


def test_a_decision_made_before_the_job_ran_is_judged_again_to_the_same_answer(by: MakeBy) -> None:
    manager = by("MANAGER")
    change = schedule_change(TORONTO, by=manager, at=NOW, effective_from=NEW_YEAR, rules=NOONS)
    assert change is not None
    before, after, inside = (keep(manager, at) for at in (toronto(2, 11), toronto(4, 11), toronto(4, 12)))
    assert [row.ok for row in (before, after, inside)] == [True, False, True]
    assert (after.policy_version, after.basis["scheduled"]) == (1, [change.pk])
    assert "scheduled" not in before.basis
    assert all(same(row) for row in (before, after, inside))
    apply_scheduled(NEW_YEAR)
    upsert_policy(TORONTO, by=manager, at=NEW_YEAR + DAY, enabled=False)
    upsert_policy(ONTARIO, by=manager, at=NEW_YEAR + DAY, enabled=False)
    assert all(same(row) for row in (before, after, inside))
    assert keep(manager, toronto(4, 12)).ok, "asked later about that instant, the answer is the same"


# --- a random timeline, and an independent judge ------------------------------------------------------------


@dataclass
class Patch:
    """Who decides what from when on, as the independent judge notes it down."""

    market: str
    start: datetime
    values: dict[str, Any]


@dataclass
class Notes:
    """The independent judge: every change in a list, each instant's rules put together from the beginning."""

    patches: list[Patch] = field(default_factory=list)

    def own(self, market: str, at: datetime) -> list[Patch]:
        rows = [row for row in self.patches if row.market == market and row.start <= at]
        return sorted(rows, key=lambda row: row.start)

    def state(self, market: str, at: datetime) -> dict[str, Any]:
        rows = self.own(market, at)
        if market != ALL and not rows:
            return self.state(ALL, at)
        found: dict[str, Any] = {
            "enabled": True,
            "timezone": "",
            "skip": True,
            "channel": True,
            "windows": (Hours(frozenset(range(5)), 540, 1200), Hours(frozenset([5]), 600, 1080)),
        }
        if market != ALL:
            found |= {**self.inherited(rows[0]), "enabled": True, "timezone": ""}
        for row in rows:
            found |= row.values
        return found

    def inherited(self, first: Patch) -> dict[str, object]:
        """The province's rules that a market's first patch began with; of two at one instant the earlier."""
        noted = next(number for number, row in enumerate(self.patches) if row is first)
        earlier = [row for row in self.patches if row.market == ALL and row.start < first.start]
        return Notes(earlier + [row for row in self.patches[:noted] if row.start == first.start]).state(
            ALL, first.start
        )

    def note(self, market: str, start: datetime, values: dict[str, Any]) -> Patch | None:
        """Note what differs from what would be in force; None where nothing does."""
        rows = self.own(market, start)
        if market != ALL and not rows:
            base = {**self.state(ALL, start), "enabled": True, "timezone": ""}
        else:
            base = self.state(market, start)
        differs = {name: value for name, value in values.items() if base[name] != value}
        if not differs and (rows or market == ALL):
            return None
        patch = Patch(market, start, differs)
        self.patches.append(patch)
        return patch

    def world(self, at: datetime) -> World:
        state = self.state("TORONTO", at)
        refused = "" if state["channel"] else "channel_not_allowed"
        return World(
            "ON",
            market="TORONTO",
            policy_zone=state["timezone"],
            windows=state["windows"],
            skip_holidays=state["skip"],
            refused=refused if state["enabled"] else "policy_disabled",
        )

    def succession(self) -> Succession:
        turns = sorted({LONG_AGO, *(row.start for row in self.patches)})
        return Succession([(turn, self.world(turn)) for turn in turns])


def values_of(chance: random.Random) -> dict[str, object]:
    kinds: dict[str, Callable[[], object]] = {
        "enabled": lambda: chance.random() < 0.7,
        "timezone": lambda: chance.choice(["", "America/Winnipeg", "America/Toronto", "America/St_Johns"]),
        "skip": lambda: chance.random() < 0.5,
        "channel": lambda: chance.random() < 0.7,
        "windows": lambda: tuple(
            Hours(frozenset([day]), start, chance.choice([start + 1, start + 45, 1440]))
            for day in sorted(chance.sample(range(7), chance.randint(0, 4)))
            for start in [chance.choice([0, 1, 540, 719, 1200, 1380])]
        ),
    }
    return {name: kinds[name]() for name in chance.sample(sorted(kinds), chance.randint(1, 3))}


def arguments(values: dict[str, Any]) -> dict[str, Any]:
    rules: dict[str, Any] = {}
    if "windows" in values:
        rules |= hours(
            *(
                (
                    sorted(row.days),
                    f"{row.start // 60:02}:{row.start % 60:02}",
                    f"{row.end // 60:02}:{row.end % 60:02}",
                )
                for row in values["windows"]
            )
        )
    if "skip" in values:
        rules["skip_holidays"] = values["skip"]
    if "channel" in values:
        rules["channels_allowed"] = ["SMS", "CALL", "EMAIL"] if values["channel"] else ["CALL"]
    named: dict[str, object] = {name: values[name] for name in ("enabled", "timezone") if name in values}
    return {**named, "rules": rules or None}


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def live_through(
    chance: random.Random, manager: Actor, notes: Notes
) -> tuple[list[ContactDecision], datetime]:
    """Change, schedule, cancel and apply at random for some weeks; returns decisions made on the way."""
    at, kept = NOW, []
    scheduled: list[tuple[ScheduledChange, Patch]] = []
    for _step in range(chance.randint(3, 9)):
        at += timedelta(seconds=chance.choice([1, 59, 3600, 86_400, 700_000, chance.randint(1, 600_000)]))
        place = chance.choice([ONTARIO, TORONTO])
        what = chance.choice(["change", "schedule", "schedule", "cancel", "apply", "ask"])
        if what == "change":
            values = values_of(chance)
            notes.note(place.market, at, values)
            upsert_policy(place, by=manager, at=at, **arguments(values))
        elif what == "schedule":
            start = at + timedelta(seconds=chance.choice([1, 60, 86_400, chance.randint(1, 3_000_000)]))
            values = values_of(chance)
            if any(row.effective_from == start for row, _patch in scheduled):
                continue
            patch = notes.note(place.market, start, values)
            change = schedule_change(place, by=manager, at=at, effective_from=start, **arguments(values))
            assert (change is None) == (patch is None)
            if change is not None and patch is not None:
                scheduled.append((change, patch))
        elif what == "cancel":
            waiting = [pair for pair in scheduled if pair[0].effective_from > at]
            if waiting:
                change, patch = chance.choice(waiting)
                cancel_scheduled(change.pk, by=manager, at=at, reason="test")
                notes.patches.remove(patch)
                scheduled.remove((change, patch))
        elif what == "apply":
            apply_scheduled(at)
        else:
            kept.append(keep(manager, at))
    return kept, at


def compare(lives: int, run_seed: int, manager: Actor) -> None:
    seen: Counter[str] = Counter()
    StatutoryHours.objects.all().delete()
    for number in range(lives):
        chance = random.Random(f"{run_seed} {number}")
        with undone():
            notes = Notes()
            kept, at = live_through(chance, manager, notes)
            walker = notes.succession()
            edges = [since for since, _world in walker.worlds[1:]] or [NOW]
            instants = [
                chance.choice(edges) + timedelta(seconds=chance.choice([-60, -1, 0, 1, 3600, -90_000]))
                for _number in range(6)
            ]
            instants += [NOW + timedelta(seconds=chance.randint(-900_000, 6_000_000)) for _number in range(6)]
            for one in instants:
                ok, reason, following = ask(one)
                expected = walker.next_allowed(one)
                assert (following, ok) == (expected, expected == one), (run_seed, number, one, notes)
                seen[reason] += 1
                kept.append(keep(manager, one))
            apply_scheduled(at)
            for row in kept:
                assert same(row), (run_seed, number, row.at, row.basis, notes)
            apply_scheduled(max(edges))
            for one in instants:
                assert ask(one)[2] == walker.next_allowed(one), (run_seed, number, one, notes)
    rare = {"policy_disabled", "channel_not_allowed"} if lives > 20 else set()  # a few lives may do without
    assert {"within_window", "outside_contact_window"} | rare <= set(seen)


def test_on_random_timelines_the_gate_agrees_with_a_judge_of_its_own(by: MakeBy, seed: int) -> None:
    compare(quick(24), seed, by("MANAGER"))


@pytest.mark.long
def test_on_many_random_timelines_the_gate_agrees_with_a_judge_of_its_own(by: MakeBy, seed: int) -> None:
    compare(200, seed + 1, by("MANAGER"))


# --- over REST ----------------------------------------------------------------------------------------------

BASE = "/api/governance/market"


def test_a_manager_schedules_sees_and_cancels_over_rest(api: Api) -> None:
    client = api("MANAGER", "mona")
    asked = {"province": "ON", "rules": NOONS, "effective_from": "2099-01-01T05:00:00Z", "reason": "January"}
    assert client.post(f"{BASE}/policies/upsert", asked, format="json").status_code == 400, "five years"
    start = (datetime.now(UTC) + 30 * DAY).replace(microsecond=0)
    asked["effective_from"] = start.isoformat()
    answer = client.post(f"{BASE}/policies/upsert", asked, format="json").json()
    assert answer["version"] == 1
    (change,) = answer["scheduled"]
    assert (change["changes"], change["state"], change["changed_by"]) == (
        {"rules": NOONS},
        "SCHEDULED",
        "mona",
    )
    listed = client.get(f"{BASE}/policies", {"province": "ON"}).json()
    assert listed[0]["scheduled"] == [change]
    told = client.get(f"{BASE}/effective", {"province": "ON", "market": "Toronto"}).json()
    assert told["scheduled"] == [change]
    assert told["rules"] != {**told["rules"], **NOONS}
    then = client.get(f"{BASE}/effective", {"province": "ON", "at": start.isoformat()}).json()
    assert then["rules"] == {**then["rules"], **NOONS}
    assert then["effective_from"] == start.isoformat().replace("+00:00", "Z")
    cancelled = client.post(f"{BASE}/policies/cancel", {"id": change["id"], "reason": "no"}, format="json")
    assert cancelled.json()["state"] == "CANCELLED"
    assert client.get(f"{BASE}/policies", {"province": "ON"}).json()[0]["scheduled"] == []
    unknown = client.post(f"{BASE}/policies/cancel", {"id": 2**62, "reason": "no"}, format="json")
    assert unknown.status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"effective_from": "tomorrow"},
        {"effective_from": 5},
        {"effective_from": "2026-01-01T00:00:00Z"},
        {"effective_from": "9999-12-31T23:59:59-14:00"},
        {"effective_from": None},
    ],
    ids=str,
)
def test_nonsense_is_refused_by_its_name(api: Api, wrong: dict[str, object]) -> None:
    answer = api("MANAGER").post(
        f"{BASE}/policies/upsert", {"province": "ON", "enabled": False, **wrong}, format="json"
    )
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["effective_from"])
    assert MarketPolicy.objects.get(province="ON").enabled


@pytest.mark.parametrize(
    "wrong", [{}, {"id": 1}, {"id": 0, "reason": "x"}, {"id": 2**64, "reason": "x"}, {"id": 1, "reason": " "}]
)
def test_a_cancellation_names_what_and_why(api: Api, wrong: dict[str, object]) -> None:
    answer = api("MANAGER").post(f"{BASE}/policies/cancel", wrong, format="json")
    assert answer.status_code == 400


# --- on the managers' screens -------------------------------------------------------------------------------

CHANGES, POLICIES = "/admin/governance/scheduledchange/", "/admin/governance/marketpolicy/"


@pytest.fixture
def manager(client: Client, person: Callable[..., User]) -> Client:
    client.force_login(person("MANAGER", "mona"))
    return client


def typed(policy: MarketPolicy, **changes: Any) -> dict[str, Any]:
    rules = typed_from(read_rules(policy.rules))
    week = {f"week_{day}": hours for day, hours in enumerate(rules.pop("week"))}
    return {
        **rules, **week, "province": policy.province, "market": policy.market, "timezone": policy.timezone,
        "enabled": "on" if policy.enabled else "", "change_reason": "because of winter",
        "seen_version": policy.version, **changes,
    }  # fmt: skip


def test_a_manager_schedules_in_the_form_and_cancels_in_the_list(manager: Client) -> None:
    policy = MarketPolicy.objects.get(province="ON")
    address = f"{POLICIES}{policy.pk}/change/"
    assert "Takes effect" in manager.get(address).content.decode()
    start = (datetime.now(ZoneInfo("America/Toronto")) + 40 * DAY).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    told = start.strftime("%Y-%m-%dT%H:%M")
    answer = manager.post(address, typed(policy, week_0="12-13", effective_from=told), follow=True)
    assert "Scheduled. Until then" in answer.content.decode()
    change = ScheduledChange.objects.get()
    assert (change.effective_from, change.changed_by, change.reason) == (start, "mona", "because of winter")
    assert list(change.changes) == ["rules"]
    assert list(change.changes["rules"]) == ["contact_windows_local"], "only what was typed"
    assert MarketPolicy.objects.get(province="ON").version == 1
    assert "(Toronto)" in manager.get(address).content.decode()
    assert "(Toronto)" in manager.get(POLICIES).content.decode()
    assert manager.get(f"{CHANGES}{change.pk}/change/").status_code == 200
    chosen = {"action": "cancel", "_selected_action": change.pk}
    assert "Reason" in manager.post(CHANGES, chosen).content.decode()
    said = manager.post(CHANGES, {**chosen, "apply": "1", "reason": "not needed"}, follow=True)
    assert "1 change cancelled." in said.content.decode()
    assert ScheduledChange.objects.get().cancel_reason == "not needed"


def test_a_new_market_is_scheduled_in_the_form(manager: Client) -> None:
    policy = MarketPolicy.objects.get(province="ON")
    form = typed(policy, market="Toronto", enabled="", effective_from="2027-01-04T00:00", seen_version=0)
    with time_machine.travel(NOW, tick=False):
        assert manager.post(f"{POLICIES}add/", form).status_code == 302
        change = ScheduledChange.objects.get()
        assert (change.market, change.effective_from, change.changes) == (
            "TORONTO",
            NEW_YEAR,
            {"enabled": False},
        )
        assert not MarketPolicy.objects.filter(market="TORONTO").exists()


@pytest.mark.parametrize("text", ["soon", "2020-01-01T00:00", "9999-12-31T23:59", "0001-01-01T00:00"])
def test_a_date_that_cannot_be_is_refused_in_the_form(manager: Client, text: str) -> None:
    policy = MarketPolicy.objects.get(province="ON")
    answer = manager.post(f"{POLICIES}{policy.pk}/change/", typed(policy, enabled="", effective_from=text))
    assert answer.status_code == 200
    assert "effective_from" in answer.context["adminform"].form.errors
    assert MarketPolicy.objects.get(province="ON").enabled


def test_an_auditor_sees_scheduled_changes_and_cancels_none(
    client: Client, person: Callable[..., User], by: MakeBy
) -> None:
    change = schedule_change(
        ONTARIO, by=by("MANAGER"), at=datetime.now(UTC), effective_from=datetime.now(UTC) + DAY, enabled=False
    )
    assert change is not None
    client.force_login(person("AUDITOR"))
    assert "switched off" in client.get(CHANGES).content.decode()
    sent = {"action": "cancel", "_selected_action": change.pk, "apply": "1", "reason": "mine"}
    client.post(CHANGES, sent)
    assert ScheduledChange.objects.get().state == "SCHEDULED"


def test_what_would_change_asks_about_the_date(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[PolicyDraft] = []

    def answer(draft: PolicyDraft, at: datetime) -> Moves:
        asked.append(draft)
        return Moves(looked_at=1)

    monkeypatch.setattr(hooks.policy_would_move, "_answerers", [answer])
    simulate_policy(ONTARIO, at=NOW, effective_from=NEW_YEAR, enabled=False)
    assert [(draft.enabled, draft.since) for draft in asked] == [(False, NEW_YEAR)]
