"""Tripwires from events to actions: what fires, once, what it does, and how it is released."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from pytest_django import Settings

from governance.contact.models import Closure
from governance.core.actors import Actor
from governance.core.append_only import unguarded
from governance.core.errors import Forbidden, Invalid, NotFound, Refused
from governance.golive.models import GoLiveState
from governance.golive.services import set_go_live, set_kill_switch, state
from governance.kpi.models import KpiEvent
from governance.kpi.querysets import by_hour
from governance.kpi.services import emit_kpi
from governance.market.models import MarketPolicy
from governance.models import User
from governance.outbox.models import JobSlot, OutboxMessage
from governance.risk.models import RiskThrottle
from governance.risk.querysets import open_throttles
from governance.risk.services import reserve_exposure, throttle
from governance.tests.tripping import (
    DAY,
    JOB,
    LADDERS,
    MONDAY,
    ROI,
    SLA,
    happen,
    happen_daily,
    look_on,
    noon,
    six,
    valued,
    watch,
    weekly,
)
from governance.tripwire.models import RegressionFiring, RegressionPolicy, RegressionState
from governance.tripwire.querysets import OpenDays, days_between, standing_tripwires, start_of, weeks_between
from governance.tripwire.rules import Day
from governance.tripwire.seeds import seed, unseed
from governance.tripwire.services import (
    evaluate_tripwires,
    record_kpi,
    release_tripwire,
    upsert_policy,
)
from governance.tripwire.tasks import evaluate

MakeBy = Callable[..., Actor]
Person = Callable[..., User]
pytestmark = [pytest.mark.both, pytest.mark.django_db]
GOOD, BAD = (18, 2), (8, 12)
WEEK = timedelta(days=7)


def dropped(name: tuple[str, str] = SLA) -> date:
    """Let a figure be good for twenty days and bad for five; returns the day after."""
    return happen_daily(name, [GOOD] * 20 + [BAD] * 5)


def rows() -> dict[str, list[dict[str, Any]]]:
    """Return everything that an evaluation may write, but for when it was last looked."""
    tables: list[Any] = [RegressionState, RegressionFiring, RiskThrottle, OutboxMessage, GoLiveState]
    found = {model.__name__: list(model.objects.order_by("pk").values()) for model in tables}
    for row in found["RegressionState"]:
        row.pop("last_checked")
    return found


# --- what every operation begins with -----------------------------------------------------------------------


def test_at_first_nine_metrics_are_watched_or_could_be() -> None:
    told = {
        policy.name: (
            policy.measure,
            policy.engine,
            f"{policy.max_drop_fraction:.2f}",
            policy.action,
            policy.enabled,
        )
        for policy in RegressionPolicy.objects.all()
    }
    rate, volume = "SUCCESS_RATE", "VOLUME"
    assert told == {
        "WHOLESALE/ladder_created": (volume, "WHOLESALE", "0.20", "THROTTLE", True),
        "WHOLESALE/followup_completed": (volume, "WHOLESALE", "0.20", "THROTTLE", True),
        "WHOLESALE/offer_generated": (volume, "WHOLESALE", "0.20", "THROTTLE", True),
        "WHOLESALE/followup_sla": (rate, "WHOLESALE", "0.20", "THROTTLE", True),
        "BUYER_MATCH/buyer_feedback": (rate, "WHOLESALE", "0.20", "THROTTLE", True),
        "WHOLESALE/contract_rate": (rate, "WHOLESALE", "0.20", "THROTTLE", False),
        "WHOLESALE/offer_accept_rate": (rate, "WHOLESALE", "0.15", "THROTTLE", False),
        "BUYER_MATCH/match_success": (rate, "WHOLESALE", "0.25", "THROTTLE", False),
        "CAPITAL/roi_event": ("MEAN", "CAPITAL", "0.30", "KILL_SWITCH", False),
    }
    limits = RegressionPolicy.objects.values_list(
        "window_events", "baseline_events", "min_events_to_enforce", "max_false_alarm"
    )
    assert set(limits) == {(50, 200, 50, Decimal("0.0005"))}
    assert RegressionState.objects.count() == 9


def test_the_way_back_leaves_what_somebody_changed_and_what_fired(by: MakeBy) -> None:
    def get(name: str) -> Any:
        return apps.get_model("governance", name)

    changed = RegressionPolicy.objects.get(metric="contract_rate")
    upsert_policy(changed.domain, changed.metric, {"enabled": True}, by=by("MANAGER"), at=six(MONDAY))
    watch()
    look_on(dropped())
    RegressionPolicy.objects.exclude(pk=changed.pk).update(enabled=True)
    RegressionPolicy.objects.filter(metric__in=["match_success", "roi_event"]).update(enabled=False)
    unseed(get)
    kept = {"contract_rate", "offer_accept_rate", "followup_sla"}
    assert set(RegressionPolicy.objects.values_list("metric", flat=True)) == kept
    seed(get, six(MONDAY))
    assert (RegressionPolicy.objects.count(), RegressionState.objects.count()) == (9, 9)


# --- the story ----------------------------------------------------------------------------------------------


def test_a_drop_holds_wholesale_back_once_until_a_manager_releases_it(by: MakeBy, person: Person) -> None:
    mona = person("MANAGER", "mona")
    User.objects.filter(pk=mona.pk).update(email="mona@example.ca")
    watch()
    day = dropped()
    with time_machine.travel(six(day), tick=False):
        first, again = evaluate(), evaluate()
    assert (first, again) == ({"evaluated": 1, "triggered": 1}, None)
    assert JobSlot.objects.get(job="governance.evaluate_tripwires").slot == day.isoformat()

    assert [row.tripwire for row in open_throttles(["WHOLESALE"])] == ["WHOLESALE/followup_sla"]
    denied = reserve_exposure("WHOLESALE", Decimal(100), by=JOB, at=six(day))
    assert (denied.ok, denied.code) == (False, "throttled")
    assert "WHOLESALE/followup_sla" in str(denied.message)

    mail = OutboxMessage.objects.get(kind="tripwire")
    assert (mail.to, mail.subject) == (
        "mona@example.ca",
        "Tripwire: Follow-ups within 2 hours fell by 56\xa0%",
    )
    assert "40\xa0% in the 5 days with events from 20 September 2026 to 24 September 2026" in mail.body
    assert "less than 90\xa0% in the 20 days with events from 31 August 2026" in mail.body
    assert "Reservations of WHOLESALE are denied" in mail.body

    released = release_tripwire(*SLA, by=by("MANAGER", "mona"), at=six(day) + DAY / 2, reason="phones back")
    assert (released.triggered, released.verdict) == (False, "LEARNING")
    assert reserve_exposure("WHOLESALE", Decimal(100), by=JOB, at=six(day) + DAY).ok
    firing = RegressionFiring.objects.get()
    assert (firing.released_by, firing.reason, firing.released_at) == (
        "mona",
        "phones back",
        six(day) + DAY / 2,
    )

    with time_machine.travel(six(day + DAY), tick=False):
        assert evaluate() == {"evaluated": 1, "triggered": 0}
    assert not open_throttles().exists()
    assert OutboxMessage.objects.filter(kind="tripwire").count() == 1


def test_evaluating_again_changes_nothing_more() -> None:
    watch()
    day = dropped()
    look_on(day)
    before = rows()
    assert before["RegressionFiring"]
    look_on(day)
    look_on(day, by=Actor.system("somebody else"))
    assert rows() == before


def test_while_it_is_triggered_figures_go_on_and_nothing_is_done_again() -> None:
    watch()
    day = happen_daily(SLA, [GOOD] * 20 + [BAD] * 5)
    look_on(day)
    happen_daily(SLA, [(0, 20)] * 5, since=day)
    later = look_on(day + 5 * DAY)
    assert (later.triggered, later.current) == (True, 0.0)
    assert later.last_triggered == six(day)
    assert (RegressionFiring.objects.count(), RiskThrottle.objects.count()) == (1, 1)


def test_an_earlier_look_than_the_last_one_says_nothing() -> None:
    watch()
    day = dropped()
    look_on(day)
    before = rows()
    assert look_on(day - 3 * DAY).triggered
    assert rows() == before


def test_a_release_is_done_once_and_sets_the_start_mark(by: MakeBy) -> None:
    watch()
    day = dropped()
    look_on(day)
    mona = by("MANAGER", "mona")
    at = six(day) + timedelta(hours=3)
    release_tripwire("wholesale", "followup_sla", by=mona, at=at, reason="phones back")
    before = rows()
    release_tripwire(*SLA, by=mona, at=at + DAY, reason="once more")
    assert rows() == before
    state = RegressionState.objects.get(policy__metric="followup_sla")
    assert (state.starts_at, state.frozen, state.baseline, state.samples) == (at, None, None, {})


def test_after_a_release_only_new_events_count(by: MakeBy) -> None:
    """Also those of the same day from before the release are old."""
    watch()
    day = dropped()
    look_on(day)
    happen(SLA, day, bad=20, at=six(day))
    release_tripwire(*SLA, by=by("MANAGER"), at=six(day) + timedelta(hours=1), reason="phones back")
    end = happen_daily(SLA, [GOOD] * 25, since=day)
    assert look_on(end).baseline == 0.9
    worse = happen_daily(SLA, [BAD] * 5, since=end)
    assert look_on(worse).triggered, "it watches again"
    assert RegressionFiring.objects.count() == 2


def test_who_may_release_and_evaluate(by: MakeBy) -> None:
    watch()
    at = six(dropped())
    for role in ("VA", "CLOSER", "AUDITOR"):
        with pytest.raises(Forbidden):
            evaluate_tripwires(at, by=by(role))
    for role in ("VA", "CLOSER", "AUDITOR", "SERVICE"):
        with pytest.raises(Forbidden):
            release_tripwire(*SLA, by=by(role), at=at, reason="I want to")
    assert not RegressionFiring.objects.exists()
    evaluate_tripwires(at, by=by("SERVICE", "robot"))
    assert RegressionFiring.objects.get().actor == "robot"
    assert RiskThrottle.objects.get().actor == "governance.evaluate_tripwires"
    manager = by("MANAGER")
    with pytest.raises(Invalid, match="Some values"):
        release_tripwire(*SLA, by=manager, at=at, reason=" ")
    with pytest.raises(NotFound):
        release_tripwire("WHOLESALE", "weather", by=manager, at=at, reason="x")
    assert RegressionState.objects.get(triggered=True).policy.name == "WHOLESALE/followup_sla"


def test_which_tripwires_are_evaluated(by: MakeBy) -> None:
    states = evaluate_tripwires(six(MONDAY), by=JOB)
    assert [state.policy.name for state in states] == [
        "BUYER_MATCH/buyer_feedback",
        "WHOLESALE/followup_completed",
        "WHOLESALE/followup_sla",
        "WHOLESALE/ladder_created",
        "WHOLESALE/offer_generated",
    ]
    with pytest.raises(NotFound):
        evaluate_tripwires(six(MONDAY), by=JOB, domain="WHOLESALE", metric="weather")
    with pytest.raises(Refused) as off:
        evaluate_tripwires(six(MONDAY), by=JOB, domain="CAPITAL", metric="roi_event")
    assert off.value.code == "tripwire_disabled"
    for names in ({"domain": "CAPITAL"}, {"metric": "roi_event"}, {"domain": "?", "metric": "roi_event"}):
        with pytest.raises(Invalid):
            evaluate_tripwires(six(MONDAY), by=JOB, **names)


# --- which events count -------------------------------------------------------------------------------------


def test_it_learns_first_and_says_when_it_arms() -> None:
    watch()
    day = happen_daily(SLA, [GOOD] * 10)
    state = look_on(day)
    assert (state.verdict, state.arms_on, state.baseline) == ("LEARNING", day + 15 * DAY, None)
    day = happen_daily(SLA, [GOOD] * 10, since=day)
    state = look_on(day)
    assert (state.verdict, state.arms_on, state.baseline) == ("LEARNING", day + 5 * DAY, 0.9)
    assert look_on(happen_daily(SLA, [GOOD] * 5, since=day)).verdict == "CLEAR"


def test_without_events_nothing_is_said() -> None:
    watch()
    state = look_on(MONDAY + 50 * DAY)
    assert (state.verdict, state.arms_on, state.smallest_drop) == ("LEARNING", None, None)


def test_the_day_that_is_not_over_does_not_count() -> None:
    watch()
    day = happen_daily(SLA, [GOOD] * 25)
    happen(SLA, day, bad=500, at=six(day) - timedelta(hours=2))
    assert look_on(day).verdict == "CLEAR"
    assert look_on(day + DAY).triggered


def test_events_without_success_are_no_events_of_a_rate() -> None:
    watch()
    day = happen_daily(SLA, [GOOD] * 20)
    for number in range(30):
        happen(SLA, day + number * DAY)
    state = look_on(day + 30 * DAY)
    assert (state.verdict, state.current) == ("LEARNING", None)


def test_quiet_days_are_passed_over_however_many() -> None:
    """The windows reach back over months in which nothing came in."""
    watch()
    day = happen_daily(SLA, [GOOD] * 20)
    day = happen_daily(SLA, [GOOD] * 15, since=day)
    day = happen_daily(SLA, [BAD] * 5, since=day + 200 * DAY)
    state = look_on(day + 90 * DAY)
    assert state.triggered
    assert state.samples["current"]["days"] == 5


def test_a_baseline_of_few_events_a_day_is_read_to_its_end() -> None:
    watch()
    day = happen_daily(SLA, [(2, 0)] * 100)
    state = look_on(day + 30 * DAY)
    assert state.samples["baseline"] == {
        "since": MONDAY.isoformat(),
        "until": (MONDAY + 99 * DAY).isoformat(),
        "days": 100,
        "events": 200,
        "figure": 1.0,
    }


def test_a_slow_slide_does_not_swallow_itself() -> None:
    """Each week is hardly worse than the one before; all of them are against the first twenty days."""
    watch()
    day = happen_daily(SLA, [(40, 10)] * 20)
    baseline = None
    for lost in range(1, 20):
        day = happen_daily(SLA, [(40 - lost, 10 + lost)] * 7, since=day)
        state = look_on(day)
        baseline = baseline or state.frozen
        assert (state.frozen, state.baseline) == (baseline, 0.8)
        if state.triggered:
            break
    assert state.triggered
    assert lost < 12


def correct(event: KpiEvent, success: bool | None, at: datetime) -> int:
    return emit_kpi(event.domain, event.metric, by=JOB, at=at, success=success, detail={"corrects": event.pk})


def test_a_corrected_event_counts_no_more_and_the_correction_on_its_own_day() -> None:
    first, second = MONDAY, MONDAY + DAY
    kept, wrong = happen(SLA, first, good=2)
    happen(SLA, second, bad=1)
    correct(wrong, False, noon(second))
    days = days_between(*SLA, start_of(first), start_of(second + DAY))
    assert days == [Day(first, 1, 1, 0), Day(second, 2, 0, 2)]
    last = KpiEvent.objects.order_by("-pk")[0]
    correct(last, None, noon(second))
    days = days_between(*SLA, start_of(first), start_of(second + DAY))
    assert days == [Day(first, 1, 1, 0), Day(second, 2, 0, 1)]
    correct(kept, True, noon(second + 9 * DAY))
    assert days_between(*SLA, start_of(first), start_of(second)) == [], "a later one corrects it too"


def test_only_an_earlier_event_of_the_same_metric_is_corrected() -> None:
    (other,) = happen(LADDERS, MONDAY, good=1, value=Decimal("7.5"))
    (mine,) = happen(SLA, MONDAY, good=1, value=Decimal("7.5"))
    for named in (other.pk, mine.pk + 10**6, 0, -1, "1", 1.5, True, None, [mine.pk], {"id": mine.pk}):
        happen(SLA, MONDAY, detail={"corrects": named})
    (day,) = days_between(*SLA, start_of(MONDAY), start_of(MONDAY + DAY))
    assert (day.events, day.good, day.valued, day.total) == (11, 1, 1, 7.5)
    assert days_between(*LADDERS, start_of(MONDAY), start_of(MONDAY + DAY))[0].good == 1


def test_corrections_keep_a_mistake_from_firing() -> None:
    watch()
    day = happen_daily(SLA, [GOOD] * 20)
    wrong = [event for number in range(5) for event in happen(SLA, day + number * DAY, bad=20)]
    for event in wrong:
        correct(event, True, event.created_at)
    assert look_on(day + 5 * DAY).verdict == "CLEAR"


def test_a_day_is_the_business_day_across_every_change_of_the_clock() -> None:
    """On 1 November 2026 Toronto goes from -04:00 to -05:00, on 8 March from -05:00 to -04:00."""
    instants = {
        "2026-11-01T03:59:59Z": date(2026, 10, 31),
        "2026-11-01T04:00:00Z": date(2026, 11, 1),
        "2026-11-02T04:59:59Z": date(2026, 11, 1),
        "2026-11-02T05:00:00Z": date(2026, 11, 2),
        "2026-03-08T04:59:59Z": date(2026, 3, 7),
        "2026-03-08T05:00:00Z": date(2026, 3, 8),
        "2026-03-09T03:59:59Z": date(2026, 3, 8),
        "2026-03-09T04:00:00Z": date(2026, 3, 9),
    }
    for text in instants:
        happen(SLA, MONDAY, good=1, at=datetime.fromisoformat(text))
    found = days_between(*SLA, datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert [(day.on, day.good) for day in found] == [
        (on, list(instants.values()).count(on)) for on in sorted(set(instants.values()))
    ]
    assert len(by_hour(*SLA, datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))) == 2


# --- what is done about it ----------------------------------------------------------------------------------


def test_a_warning_acts_on_nothing() -> None:
    watch()
    happen_daily(SLA, [(12, 8)] * 20 + [(9, 11)] * 5)
    state = look_on(MONDAY + 25 * DAY)
    assert state.p_value is not None
    assert (state.verdict, state.triggered) == ("WARNING", False)
    assert 0.0005 < state.p_value < 0.01
    assert not RegressionFiring.objects.exists()
    assert not RiskThrottle.objects.exists()
    assert not OutboxMessage.objects.exists()


def test_a_tripwire_that_only_tells_tells_every_manager_with_an_address(person: Person) -> None:
    for role, name, email in (
        ("MANAGER", "mona", "mona@example.ca"),
        ("MANAGER", "max", "max@example.ca"),
        ("MANAGER", "nomail", ""),
        ("VA", "vera", "vera@example.ca"),
    ):
        User.objects.filter(pk=person(role, name).pk).update(email=email)
    User.objects.filter(username="max").update(is_active=False)
    watch(action="NOTIFY", engine="")
    look_on(dropped())
    mail = OutboxMessage.objects.get()
    assert mail.to == "mona@example.ca"
    assert "Nothing was stopped" in mail.body
    assert not RiskThrottle.objects.exists()
    assert [state.policy.name for state in standing_tripwires()] == ["WHOLESALE/followup_sla"]


def test_a_mean_that_falls_engages_the_kill_switch_once(by: MakeBy) -> None:
    watch(ROI)
    day = valued(ROI, [1.0, 1.2] * 10 + [0.5, 0.6, 0.4, 0.5, 0.6])
    state_of = look_on(day, ROI)
    assert state_of.triggered
    assert state().kill_switch_engaged
    assert (state().changed_by, "Return on capital fell by 53" in state().reason) == (
        "governance.evaluate_tripwires",
        True,
    )
    set_kill_switch(False, by=by("MANAGER"), at=six(day), reason="looked at")
    look_on(day, ROI)
    look_on(day + DAY, ROI)
    assert not state().kill_switch_engaged, "it acts once, until it is released itself"
    set_kill_switch(True, by=by("MANAGER"), at=six(day), reason="again")
    release_tripwire(*ROI, by=by("MANAGER"), at=six(day + DAY), reason="market turned")
    assert state().kill_switch_engaged, "the kill switch has its own release"


# --- volumes ------------------------------------------------------------------------------------------------


@pytest.fixture
def no_holidays() -> None:
    for policy in MarketPolicy.objects.all():
        MarketPolicy.objects.filter(pk=policy.pk).update(rules={**policy.rules, "skip_holidays": False})


@pytest.mark.usefixtures("no_holidays")
def test_a_week_with_half_the_ladders_throttles() -> None:
    watch(LADDERS)
    day = happen_daily(LADDERS, weekly(20) * 5)
    steady = look_on(day, LADDERS)
    assert (steady.verdict, steady.current, steady.drop_fraction) == ("CLEAR", 110 / 6, 0.0)
    day = happen_daily(LADDERS, weekly(9), since=day)
    assert look_on(day - DAY, LADDERS).verdict == "CLEAR", "the week is not over"
    half = look_on(day, LADDERS)
    assert half.triggered
    assert half.samples["current"]["since"] == (day - 7 * DAY).isoformat()
    assert RiskThrottle.objects.get().tripwire == "WHOLESALE/ladder_created"


def test_a_volume_that_stops_altogether_trips() -> None:
    watch(LADDERS)
    day = happen_daily(LADDERS, weekly(20) * 4)
    assert look_on(day + 7 * DAY, LADDERS).drop_fraction == 1.0


def test_a_volume_arms_after_five_weeks_from_the_first_with_events() -> None:
    watch(LADDERS, since=MONDAY - 30 * DAY)
    day = happen_daily(LADDERS, weekly(20) * 2)
    state = look_on(day, LADDERS)
    assert (state.verdict, state.arms_on) == ("LEARNING", MONDAY + 5 * WEEK)
    day = happen_daily(LADDERS, weekly(20) * 2, since=day)
    assert look_on(day, LADDERS).arms_on == MONDAY + 5 * WEEK
    day = happen_daily(LADDERS, weekly(20), since=day)
    assert look_on(day, LADDERS).verdict == "CLEAR"


def test_a_mark_in_the_middle_of_a_week_begins_with_the_next() -> None:
    watch(LADDERS, since=MONDAY + DAY)
    day = happen_daily(LADDERS, weekly(20) * 5)
    state = look_on(day, LADDERS)
    assert state.samples["baseline"]["since"] == (MONDAY + WEEK).isoformat()
    assert state.verdict == "LEARNING"


def test_weeks_in_which_a_throttle_held_do_not_count(by: MakeBy) -> None:
    """The engine was held back: that fewer came in is what was wanted."""
    watch(LADDERS)
    day = happen_daily(LADDERS, weekly(20) * 5)
    throttle("WHOLESALE", "WHOLESALE/followup_sla", by=JOB, at=noon(day + DAY))
    day = happen_daily(LADDERS, weekly(2) * 2, since=day)
    held = look_on(day, LADDERS)
    assert (held.verdict, held.samples["current"]["since"]) == ("CLEAR", (day - 21 * DAY).isoformat())
    RiskThrottle.objects.update(released_at=noon(day - 10 * DAY))
    free = look_on(day, LADDERS)
    assert free.triggered
    assert free.samples["current"]["since"] == (day - 7 * DAY).isoformat()


def test_a_throttle_of_another_engine_or_of_all_of_them() -> None:
    watch(LADDERS)
    day = happen_daily(LADDERS, weekly(20) * 4 + weekly(5))
    throttle("GLOBAL", "CAPITAL/roi_event", by=JOB, at=noon(day - DAY))
    assert look_on(day, LADDERS).verdict == "LEARNING"
    RiskThrottle.objects.update(engine="CAPITAL")
    assert look_on(day, LADDERS).triggered


@pytest.mark.usefixtures("no_holidays")
def test_throttled_weeks_are_left_out_of_the_baseline_too() -> None:
    watch(LADDERS)
    RiskThrottle.objects.create(
        engine="WHOLESALE", tripwire="X/y", since=noon(MONDAY + WEEK), released_at=noon(MONDAY + WEEK + DAY)
    )
    day = happen_daily(LADDERS, weekly(20) + weekly(1) + weekly(20) * 4)
    state = look_on(day, LADDERS)
    assert (state.verdict, state.baseline) == ("CLEAR", 110 / 6)
    assert state.samples["baseline"]["until"] == (MONDAY + 5 * WEEK - DAY).isoformat()


@pytest.mark.usefixtures("unblocked")
@pytest.mark.parametrize("enforced", [True, False])
def test_weeks_in_which_everything_stood_do_not_count_where_the_switches_are_obeyed(
    enforced: bool, settings: Settings, by: MakeBy
) -> None:
    settings.GO_LIVE_ENFORCE = enforced
    watch(LADDERS)
    manager = by("MANAGER")
    with unguarded(connection, "governance_historicalgolivestate"):
        GoLiveState.history.all().delete()
    set_go_live(True, by=manager, at=noon(MONDAY - 9 * DAY), reason="first day")
    day = happen_daily(LADDERS, weekly(20) * 5)
    set_kill_switch(True, by=manager, at=noon(day), reason="fire")
    set_kill_switch(False, by=manager, at=noon(day + DAY), reason="put out")
    day = happen_daily(LADDERS, weekly(2), since=day)
    assert look_on(day, LADDERS).triggered is not enforced


def test_a_week_with_holidays_is_judged_by_its_open_days() -> None:
    """Thanksgiving, 12 October 2026, is off in most provinces, and another day was closed."""
    monday = date(2026, 10, 12)
    Closure.objects.create(province="", date=monday + DAY, name="Flood", closed=True)
    (week,) = weeks_between(*LADDERS, monday, monday + WEEK, OpenDays())
    open_monday, open_tuesday, *others = week.open
    assert (0 < open_monday < 0.5, open_tuesday, others) == (True, 0.0, [1.0, 1.0, 1.0, 1.0, 0.0])
    watch(LADDERS, since=monday - 4 * WEEK)
    usual = happen_daily(LADDERS, weekly(20) * 4, since=monday - 4 * WEEK)
    happen_daily(LADDERS, [(4, 0), (0, 0), (20, 0), (20, 0), (20, 0), (10, 0)], since=usual)
    found = look_on(monday + WEEK, LADDERS)
    assert found.drop_fraction is not None
    assert (found.verdict, found.drop_fraction < 0.1) == ("CLEAR", True)


def test_without_any_policy_every_day_is_open() -> None:
    assert OpenDays().share(MONDAY + 6 * DAY) == 0.0
    MarketPolicy.objects.update(enabled=False)
    assert OpenDays().share(MONDAY + 6 * DAY) == 1.0


# --- policies -----------------------------------------------------------------------------------------------


def test_a_new_tripwire_begins_disabled_and_learns_from_now_on(by: MakeBy) -> None:
    at = six(MONDAY)
    policy = upsert_policy("notify", "mail_sent", {}, by=by("MANAGER", "mona"), at=at, reason="watch mails")
    assert (policy.name, policy.enabled, policy.measure, policy.action, policy.version) == (
        "NOTIFY/mail_sent",
        False,
        "SUCCESS_RATE",
        "NOTIFY",
        1,
    )
    assert (policy.changed_by, policy.reason, policy.history.count()) == ("mona", "watch mails", 1)
    assert RegressionState.objects.get(policy=policy).starts_at == at


def test_other_windows_set_the_start_mark_and_nothing_else_does(by: MakeBy) -> None:
    watch()
    look_on(happen_daily(SLA, [GOOD] * 25))
    manager, at = by("MANAGER"), six(MONDAY + 30 * DAY)

    def change(**changes: Any) -> RegressionState:
        upsert_policy(*SLA, changes, by=manager, at=at, reason="why not")
        return RegressionState.objects.get(policy__metric="followup_sla")

    untouched = {
        "enabled": False,
        "max_drop_fraction": Decimal("0.3"),
        "action": "NOTIFY",
        "engine": "CAPITAL",
        "min_events_to_enforce": 80,
        "max_false_alarm": Decimal("0.001"),
    }
    for name, value in untouched.items():
        state = change(**{name: value})
        assert (state.starts_at, state.baseline) == (start_of(MONDAY), 0.9), name
    for name, value in {"window_events": 60, "baseline_events": 300, "measure": "VOLUME"}.items():
        RegressionState.objects.update(starts_at=start_of(MONDAY), baseline=0.9, frozen=[1])
        state = change(**{name: value})
        assert (state.starts_at, state.baseline, state.frozen) == (at, None, None), name
    assert change(window_events=60).policy.version == 10, "the same again is no version"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"engine": "", "action": "THROTTLE"}, "engine"),
        ({"engine": "whole sale"}, "engine"),
        ({"measure": "MEDIAN"}, "measure"),
        ({"action": "SHOUT"}, "action"),
        ({"window_events": 0}, "window_events"),
        ({"baseline_events": 10**9}, "baseline_events"),
        ({"max_drop_fraction": Decimal("0")}, "max_drop_fraction"),
        ({"max_drop_fraction": Decimal("1.1")}, "max_drop_fraction"),
        ({"max_false_alarm": Decimal("0")}, "max_false_alarm"),
        ({"max_false_alarm": Decimal("0.06")}, "max_false_alarm"),
    ],
)
def test_what_a_policy_cannot_be(changes: dict[str, object], field: str, by: MakeBy) -> None:
    with pytest.raises(Invalid) as wrong:
        upsert_policy(*SLA, changes, by=by("MANAGER"), at=six(MONDAY))
    assert list(wrong.value.errors) == [field]
    assert RegressionPolicy.objects.get(metric="followup_sla").version == 1


def test_who_may_change_a_policy_and_which_names_there_are(by: MakeBy) -> None:
    for role in ("VA", "CLOSER", "AUDITOR"):
        with pytest.raises(Forbidden):
            upsert_policy(*SLA, {"enabled": False}, by=by(role), at=six(MONDAY))
    with pytest.raises(Forbidden):
        upsert_policy(*SLA, {"enabled": False}, by=by("SERVICE", scopes=()), at=six(MONDAY))
    upsert_policy(*SLA, {"enabled": False}, by=by("SERVICE", "robot"), at=six(MONDAY))
    for domain, metric in (("WHOLE SALE", "x"), ("", "x"), ("X" * 41, "x"), ("1X", "x"), ("X", "a b"),
                           ("X", ""), ("X", "é"), ("X", "x" * 61)):  # fmt: skip
        with pytest.raises(Invalid):
            upsert_policy(domain, metric, {}, by=by("MANAGER"), at=six(MONDAY))
    with pytest.raises(Refused) as stale:
        upsert_policy(*SLA, {"enabled": True}, by=by("MANAGER"), at=six(MONDAY), expected_version=1)
    assert stale.value.code == "stale_version"


def test_the_database_keeps_one_open_firing_and_no_throttle_without_an_engine() -> None:
    watch()
    look_on(dropped())
    firing = RegressionFiring.objects.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        RegressionFiring.objects.create(policy=firing.policy, tripped_at=firing.tripped_at, action="NOTIFY")
    with pytest.raises(IntegrityError), transaction.atomic():
        RegressionPolicy.objects.filter(metric="followup_sla").update(engine="")
    with pytest.raises(IntegrityError), transaction.atomic():
        RegressionFiring.objects.update(released_at=firing.tripped_at - DAY)


# --- events from outside ------------------------------------------------------------------------------------


def test_an_event_from_outside_is_kept_with_who_told_it(by: MakeBy) -> None:
    number = record_kpi(
        "capital",
        "roi_event",
        by=by("SERVICE", "robot"),
        at=noon(MONDAY),
        value=Decimal("0.12"),
        detail={"deal": "D-7"},
    )
    event = KpiEvent.objects.get(pk=number)
    assert (event.domain, event.metric, event.success, event.value, event.detail, event.actor) == (
        "CAPITAL",
        "roi_event",
        None,
        Decimal("0.12"),
        {"deal": "D-7"},
        "robot",
    )


def test_an_event_from_outside_corrects_one_of_its_own_metric_only(by: MakeBy) -> None:
    first = record_kpi(*ROI, by=by("CLOSER"), at=noon(MONDAY), success=True)
    (other,) = happen(SLA, MONDAY, good=1)
    for wrong in (other.pk, first + 10**6, 1.5, "D7", True):
        with pytest.raises(Invalid):
            record_kpi(*ROI, by=by("CLOSER"), at=noon(MONDAY), success=False, detail={"corrects": wrong})
    record_kpi(*ROI, by=by("CLOSER"), at=noon(MONDAY), success=False, detail={"corrects": first})
    assert days_between(*ROI, start_of(MONDAY), start_of(MONDAY + DAY)) == [Day(MONDAY, 1, 0, 1)]


def test_who_may_not_record_and_what_is_no_event(by: MakeBy) -> None:
    for role in ("VA", "AUDITOR"):
        with pytest.raises(Forbidden):
            record_kpi(*ROI, by=by(role), at=noon(MONDAY))
    for domain, metric, detail in (("", "x", {}), ("X", "", {}), ("X", "x", {"note": "called Anne Roy"})):
        with pytest.raises(Invalid):
            record_kpi(domain, metric, by=by("CLOSER"), at=noon(MONDAY), detail=detail)
    assert not KpiEvent.objects.exists()


# --- when something breaks ----------------------------------------------------------------------------------


def test_a_tripwire_that_cannot_be_evaluated_stops_no_other_and_is_raised() -> None:
    RegressionState.objects.update(starts_at=start_of(MONDAY))
    RegressionState.objects.filter(policy__metric="buyer_feedback").update(frozen=[["no day"]])
    day = dropped()
    with pytest.raises(ValueError, match="no day"):
        evaluate_tripwires(six(day), by=JOB)
    assert RegressionState.objects.get(policy__metric="followup_sla").triggered
    checked = RegressionState.objects.filter(last_checked=six(day))
    assert (checked.count(), checked.filter(policy__metric="buyer_feedback").exists()) == (4, False)
