"""The gate as sums on plain values: nine checks, their order, the clocks and the calendar."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from governance.contact.frequency import ContactRow
from governance.contact.models import Consent
from governance.contact.rules import (
    CHECKS,
    HORIZON,
    Calendar,
    ClosedDay,
    ConsentRow,
    HoursInTurn,
    LegalHours,
    OpenHours,
    Question,
    SuppressionRow,
    Verdict,
    judge,
    judge_as_given,
    next_allowed,
    zones_for,
)
from governance.core.hours import Window, read_clock
from governance.core.places import ZONES
from governance.market.rules import DEFAULT_RULES, ContactRules

pytestmark = pytest.mark.once

TORONTO = ZoneInfo("America/Toronto")
CRTC = (
    LegalHours(1, "CA", (0, 1, 2, 3, 4), 540, 1290, date(2008, 9, 30), "CRTC"),
    LegalHours(2, "CA", (5, 6), 600, 1080, date(2008, 9, 30), "CRTC"),
)
STOP = SuppressionRow(7, "seller", "", False, datetime(2026, 11, 1, tzinfo=UTC))
LIFT = SuppressionRow(8, "seller", "", True, datetime(2026, 11, 2, tzinfo=UTC))
YES = ConsentRow(9, "seller", "SMS", "EXPRESS", datetime(2026, 11, 3, tzinfo=UTC), None)


def at(text: str, zone: str = "America/Toronto") -> datetime:
    """An instant by the wall clock of a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def calendar(
    rules: ContactRules | None = DEFAULT_RULES,
    *,
    channel: str = "SMS",
    province: str = "ON",
    closures: Sequence[ClosedDay] = (),
    legal: Sequence[LegalHours] | None = None,
) -> Calendar:
    law = legal if legal is not None else CRTC if channel == "CALL" else ()
    return Calendar(province, rules, law, closures)


def ask(
    when: datetime,
    channel: str = "SMS",
    *,
    state: str = "",
    zones: Sequence[str] = ("America/Toronto",),
    on: Calendar | None = None,
    **person: object,
) -> Verdict:
    question = Question(channel, personal=bool(person) or True, **person)  # type: ignore[arg-type]  # a table's words
    return judge(question, on or calendar(channel=channel), state, zones, when)


def results(verdict: Verdict) -> list[str]:
    return [check.result for check in verdict.checks]


# --- the table ---------------------------------------------------------------------------------------------

WEDNESDAY = "2026-11-25"  # day 2


@pytest.mark.parametrize(
    ("when", "channel", "reason"),
    [
        ("2026-11-25 14:30", "SMS", "within_window"),
        ("2026-11-25 09:00", "SMS", "within_window"),
        ("2026-11-25 08:59:59", "SMS", "outside_contact_window"),
        ("2026-11-25 19:59:59", "SMS", "within_window"),
        ("2026-11-25 20:00", "SMS", "outside_contact_window"),
        ("2026-11-25 22:30", "SMS", "outside_contact_window"),
        ("2026-11-25 20:00", "CALL", "outside_contact_window"),
        ("2026-11-25 21:29", "CALL", "outside_contact_window"),
        ("2026-11-25 21:30", "CALL", "outside_statutory_hours"),
        ("2026-11-25 22:30", "CALL", "outside_statutory_hours"),
        ("2026-11-28 09:30", "CALL", "outside_statutory_hours"),
        ("2026-11-28 10:00", "CALL", "within_window"),
        ("2026-11-28 18:00", "CALL", "outside_statutory_hours"),
        ("2026-11-29 03:00", "SMS", "outside_contact_window"),
        ("2026-11-29 03:00", "CALL", "outside_statutory_hours"),
        ("2026-11-29 12:00", "CALL", "outside_contact_window"),
        ("2026-12-25 14:00", "SMS", "holiday"),
    ],
)
def test_the_time_decides(when: str, channel: str, reason: str) -> None:
    verdict = ask(at(when), channel)
    assert (verdict.reason, verdict.ok) == (reason, reason == "within_window")


def test_the_nine_checks_are_listed_in_their_order_and_the_first_refusal_is_named() -> None:
    rules = replace(DEFAULT_RULES, channels=("CALL",), consent_channels=("SMS",))
    law = (LegalHours(1, "ON", (0,), 600, 660, date(2020, 1, 1), "Act"),)
    verdict = ask(
        at("2026-12-25 03:00"),
        state="policy_disabled",
        on=calendar(rules, legal=law),
        score=Decimal("0.1"),
        has_points=True,
        suppressions=(STOP,),
        contacts=tuple(ContactRow(n, "p", "SMS", at("2026-12-25 01:00")) for n in range(3)),
    )
    assert [check.check for check in verdict.checks] == list(CHECKS)
    assert [check.reason for check in verdict.checks] == [
        "policy_disabled", "channel_not_allowed", "suppressed", "consent_missing", "lead_score_below_minimum",
        "holiday", "outside_statutory_hours", "outside_contact_window", "too_soon",
    ]  # fmt: skip
    assert set(results(verdict)) == {"fail"}
    assert (verdict.ok, verdict.reason) == (False, "policy_disabled")


@pytest.mark.parametrize("passing", range(8))
def test_each_check_is_named_once_those_before_it_pass(passing: int) -> None:
    """Heal the refusals one after the other, in the order of the checks."""
    reasons = [
        "policy_disabled", "channel_not_allowed", "suppressed", "consent_missing", "lead_score_below_minimum",
        "holiday", "outside_statutory_hours", "outside_contact_window",
    ]  # fmt: skip
    rules = replace(
        DEFAULT_RULES,
        channels=("SMS",) if passing > 1 else ("CALL",),
        consent_channels=("SMS",),
    )
    stop = replace(STOP, at=YES.at + timedelta(days=1))  # a newer stop: the consent does not lift it
    law = () if passing > 6 else (LegalHours(1, "ON", (0,), 600, 660, date(2020, 1, 1), "Act"),)
    verdict = ask(
        at("2026-12-29 03:00" if passing > 5 else "2026-12-25 03:00"),
        state="" if passing > 0 else "policy_disabled",
        on=calendar(rules, legal=law),
        has_points=True,
        suppressions=() if passing > 2 else (stop,),
        consents=(YES,) if passing > 3 else (),
        score=Decimal("0.65") if passing > 4 else Decimal("0.6499"),
    )
    assert verdict.reason == reasons[passing]
    assert [check.result for check in verdict.checks[:passing]] == ["pass"] * passing


def test_without_a_policy_nothing_else_is_judged() -> None:
    verdict = ask(at("2026-11-25 14:30"), state="policy_missing", on=calendar(None))
    assert verdict.reason == "policy_missing"
    assert results(verdict) == ["fail"] + ["not_checked"] * 8


def test_no_windows_means_never() -> None:
    verdict = ask(at("2026-11-25 14:30"), on=calendar(replace(DEFAULT_RULES, windows=())))
    assert verdict.reason == "no_windows_defined"


def test_nothing_personal_is_checked_of_nobody() -> None:
    rules = replace(DEFAULT_RULES, consent_channels=("SMS",))
    verdict = judge(Question("SMS"), calendar(rules), "", ["America/Toronto"], at("2026-11-25 14:30"))
    assert results(verdict) == [
        "pass",
        "pass",
        "not_checked",
        "not_checked",
        "not_checked",
        "pass",
        "pass",
        "pass",
        "not_checked",
    ]
    assert verdict.ok


# --- suppressions and consents -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "channel", "stopped"),
    [
        ([STOP], "SMS", True),
        ([replace(STOP, channel="CALL")], "SMS", False),
        ([replace(STOP, channel="SMS")], "SMS", True),
        ([STOP, LIFT], "SMS", False),
        ([LIFT, replace(STOP, at=LIFT.at + timedelta(1))], "SMS", True),
        ([STOP, replace(LIFT, channel="CALL")], "SMS", True),
        ([STOP, replace(LIFT, digest="other")], "SMS", True),
        ([replace(STOP, press="a"), replace(LIFT, press="a")], "SMS", False),
        ([replace(STOP, press="a"), replace(LIFT, press="b")], "SMS", True),
        ([STOP, replace(LIFT, press="a")], "SMS", True),  # an undo ends no stop but its own
        ([STOP, replace(STOP, id=9, press="a"), replace(LIFT, id=10, press="a")], "SMS", True),
        ([replace(STOP, press="a"), replace(STOP, id=9), replace(LIFT, id=10, press="a")], "SMS", True),
        ([replace(STOP, press="a"), replace(STOP, id=9, press="b"), LIFT], "SMS", False),
    ],
)
def test_a_stop_holds_until_it_is_lifted(rows: list[SuppressionRow], channel: str, stopped: bool) -> None:
    verdict = ask(at("2026-11-25 14:30"), channel, has_points=True, suppressions=tuple(rows))
    assert verdict.reason == ("suppressed" if stopped else "within_window")


@pytest.mark.parametrize(
    ("consent", "stopped"),
    [
        (YES, False),
        (replace(YES, at=STOP.at - timedelta(1)), True),
        (replace(YES, kind="INQUIRY"), True),
        (replace(YES, channel="CALL"), True),
        (replace(YES, digest="other"), True),
    ],
)
def test_a_newer_express_consent_for_the_channel_ends_a_stop(consent: ConsentRow, stopped: bool) -> None:
    verdict = ask(at("2026-11-25 14:30"), has_points=True, suppressions=(STOP,), consents=(consent,))
    assert verdict.reason == ("suppressed" if stopped else "within_window")


SOON = at("2026-11-25 15:00")
WITHDRAWN = ConsentRow(10, "seller", "SMS", "WITHDRAWN", at("2026-11-10 12:00"), None)


@pytest.mark.parametrize(
    ("rows", "ok"),
    [
        ([], False),
        ([YES], True),
        ([replace(YES, channel="CALL")], False),
        ([replace(YES, kind="INQUIRY", expires_at=SOON)], True),
        ([replace(YES, kind="INQUIRY", expires_at=at("2026-11-25 14:30"))], False),
        ([YES, WITHDRAWN], False),
        ([WITHDRAWN, replace(YES, at=WITHDRAWN.at + timedelta(1))], True),
        ([replace(YES, at=SOON)], False),
    ],
)
def test_where_consent_is_needed_it_must_hold(rows: list[ConsentRow], ok: bool) -> None:
    on = calendar(replace(DEFAULT_RULES, consent_channels=("SMS",)))
    verdict = ask(at("2026-11-25 14:30"), on=on, has_points=True, consents=tuple(rows))
    assert verdict.reason == ("within_window" if ok else "consent_missing")


@pytest.mark.parametrize("kind", [*Consent.Kind.values, "VERBAL"])
def test_what_is_no_known_kind_of_consent_is_none(kind: str) -> None:
    on = calendar(replace(DEFAULT_RULES, consent_channels=("SMS",)))
    verdict = ask(at("2026-11-25 14:30"), on=on, has_points=True, consents=(replace(YES, kind=kind),))
    gives = kind in ("EXPRESS", "INQUIRY", "BUSINESS")
    assert verdict.reason == ("within_window" if gives else "consent_missing")


def test_the_score_must_reach_the_minimum() -> None:
    for score, reason in (("0.6499", "lead_score_below_minimum"), ("0.65", "within_window")):
        assert ask(at("2026-11-25 14:30"), score=Decimal(score)).reason == reason


# --- holidays and closures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("province", "day", "reason"),
    [
        ("ON", "2026-12-25", "holiday"),
        ("ON", "2026-12-28", "holiday"),  # Boxing Day, a Saturday, is observed on Monday
        ("QC", "2026-06-24", "holiday"),
        ("ON", "2026-06-24", "within_window"),
        ("AB", "2027-02-15", "holiday"),
        ("QC", "2027-02-15", "within_window"),
        ("ON", "2027-07-01", "holiday"),
    ],
)
def test_public_days_are_the_provinces_own_and_those_observed(province: str, day: str, reason: str) -> None:
    assert ask(at(f"{day} 14:00"), on=calendar(province=province)).reason == reason


def test_holidays_count_only_where_the_policy_skips_them() -> None:
    on = calendar(replace(DEFAULT_RULES, skip_holidays=False))
    assert ask(at("2026-12-25 14:00"), on=on).reason == "within_window"


DAY = date(2026, 11, 25)
CLOSED = ClosedDay(3, "ON", DAY, True, 0, "Staff day", "")
HOLIDAY = date(2026, 12, 25)


@pytest.mark.parametrize(
    ("rows", "when", "reason"),
    [
        ([CLOSED], "2026-11-25 14:30", "holiday"),
        ([replace(CLOSED, province="")], "2026-11-25 14:30", "holiday"),
        ([replace(CLOSED, closed_from=840)], "2026-11-25 13:59", "within_window"),
        ([replace(CLOSED, closed_from=840)], "2026-11-25 14:00", "holiday"),
        ([replace(CLOSED, province=""), replace(CLOSED, closed=False)], "2026-11-25 14:30", "within_window"),
        ([replace(CLOSED, province="", closed=False), CLOSED], "2026-11-25 14:30", "holiday"),
        ([replace(CLOSED, day=HOLIDAY, closed=False)], "2026-12-25 14:30", "within_window"),
        ([replace(CLOSED, day=HOLIDAY, province="", closed=False)], "2026-12-25 14:30", "within_window"),
        # a holiday stays one although someone also entered its evening
        ([replace(CLOSED, day=HOLIDAY, closed_from=1020)], "2026-12-25 14:30", "holiday"),
    ],
)
def test_closures_add_to_the_public_days_and_take_from_them(
    rows: list[ClosedDay], when: str, reason: str
) -> None:
    assert ask(at(when), on=calendar(closures=rows)).reason == reason


def test_a_cited_closure_is_law() -> None:
    law = replace(CLOSED, citation="Election Act, s. 5")
    on = calendar(replace(DEFAULT_RULES, skip_holidays=False), closures=[law])
    verdict = ask(at("2026-11-25 14:30"), on=on)
    assert (verdict.reason, verdict.citation, verdict.overridable) == ("holiday", "Election Act, s. 5", False)
    own = ask(at("2026-11-25 14:30"), on=calendar(closures=[CLOSED]))
    assert (own.reason, own.citation, own.overridable) == ("holiday", "", True)
    ignored = ask(
        at("2026-11-25 14:30"), on=calendar(replace(DEFAULT_RULES, skip_holidays=False), closures=[CLOSED])
    )
    assert ignored.ok


# --- the law's hours ---------------------------------------------------------------------------------------


def test_of_the_law_the_newest_rows_that_are_in_force_hold() -> None:
    newer = LegalHours(3, "CA", (0, 1, 2, 3, 4, 5, 6), 600, 1200, date(2026, 11, 26), "CRTC 2026")
    on = calendar(channel="CALL", legal=[*CRTC, newer])
    assert ask(at("2026-11-25 09:30"), "CALL", on=on).ok
    refused = ask(at("2026-11-26 09:30"), "CALL", on=on)
    assert (refused.reason, refused.citation) == ("outside_statutory_hours", "CRTC 2026")


def test_a_provinces_law_narrows_that_of_canada() -> None:
    own = LegalHours(3, "ON", (0, 1, 2, 3, 4), 600, 1300, date(2020, 1, 1), "Ontario Act")
    on = calendar(
        replace(DEFAULT_RULES, windows=(Window((0, 1, 2, 3, 4, 5, 6), 0, 1440),)), legal=[*CRTC, own]
    )
    assert ask(at("2026-11-25 09:30"), "CALL", on=on).reason == "outside_statutory_hours"
    assert ask(at("2026-11-25 10:00"), "CALL", on=on).ok
    assert ask(at("2026-11-25 21:35"), "CALL", on=on).reason == "outside_statutory_hours"
    assert ask(at("2026-11-28 12:00"), "CALL", on=on).reason == "outside_statutory_hours"


# --- what may be overridden --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "overridable"),
    [
        (ask(at("2026-11-25 22:30")), True),
        (ask(at("2026-11-25 14:30"), score=Decimal("0.1")), True),
        (ask(at("2026-12-25 14:30")), True),
        (ask(at("2026-11-25 14:30"), on=calendar(replace(DEFAULT_RULES, windows=()))), True),
        (ask(at("2026-11-25 22:30"), "CALL"), False),
        (ask(at("2026-11-25 14:30"), has_points=True, suppressions=(STOP,)), False),
        (ask(at("2026-11-25 22:30"), has_points=True, suppressions=(STOP,)), False),
        (ask(at("2026-11-25 14:30"), state="policy_disabled"), False),
        (ask(at("2026-11-25 14:30"), on=calendar(None), state="policy_missing"), False),
        (ask(at("2026-11-25 14:30")), False),
    ],
)
def test_only_our_own_policy_may_be_overridden(verdict: Verdict, overridable: bool) -> None:
    assert verdict.overridable is overridable


# --- whose clock -------------------------------------------------------------------------------------------


def test_the_nearest_known_clock_counts_else_all_of_the_province() -> None:
    known = {
        "own": "America/Halifax",
        "policy": "America/Regina",
        "city": "America/Edmonton",
        "market": "America/Winnipeg",
    }
    for name in list(known):
        assert zones_for("ON", **known) == (known[name],)
        known[name] = ""
    assert zones_for("ON", **known) == ZONES["ON"]


def test_every_clock_of_nunavut_must_allow_it() -> None:
    """At 09:30 in Iqaluit it is still 07:30 in Cambridge Bay."""
    zones = ZONES["NU"]
    on = calendar(province="NU")
    assert (
        ask(at("2026-11-30 09:30", "America/Iqaluit"), on=on, zones=zones).reason == "outside_contact_window"
    )
    assert ask(at("2026-11-30 09:00", "America/Cambridge_Bay"), on=on, zones=zones).ok
    assert ask(at("2026-11-30 19:59", "America/Iqaluit"), on=on, zones=zones).ok
    assert (
        ask(at("2026-11-30 20:00", "America/Iqaluit"), on=on, zones=zones).reason == "outside_contact_window"
    )
    opens = OpenHours(on, zones).next_open(datetime(2026, 11, 29, 7, 0, tzinfo=UTC))
    assert (
        opens == at("2026-11-30 09:00", "America/Cambridge_Bay") == datetime(2026, 11, 30, 16, 0, tzinfo=UTC)
    )


def test_vancouver_stands_at_minus_seven_in_december_2026() -> None:
    verdict = ask(datetime(2026, 12, 15, 4, 45, tzinfo=UTC), zones=["America/Vancouver"])
    assert verdict.local_times == ("2026-12-14 21:45 America/Vancouver",)
    assert verdict.reason == "outside_contact_window"


_PROBE = """
import os, sys
from datetime import datetime, timezone
from zoneinfo import ZoneInfo, TZPATH
import django
django.setup()
from governance.core.moments import local
print(local(datetime(2026, 12, 15, 4, 45, tzinfo=timezone.utc), "America/Vancouver").strftime("%H:%M"))
"""


def test_the_machines_own_zone_files_are_never_asked(tmp_path: Path) -> None:
    """A machine whose files call Toronto's clock Vancouver's makes no difference."""
    wrong = tmp_path / "America" / "Vancouver"
    wrong.parent.mkdir()
    wrong.write_bytes((files("tzdata.zoneinfo.America") / "Toronto").read_bytes())
    environment = {
        **os.environ,
        "PYTHONTZPATH": str(tmp_path),
        "TZDIR": str(tmp_path),
        "TZ": "Asia/Tokyo",
        "DJANGO_SETTINGS_MODULE": "valhalla.settings",
    }
    misled = subprocess.run(
        [sys.executable, "-c", _PROBE.replace("django.setup()", "pass")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert misled.stdout.strip() == "23:45", "the probe must be able to notice wrong files"
    right = subprocess.run(
        [sys.executable, "-c", _PROBE],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert right.stdout.strip() == "21:45"


# --- weekday and time as they are given --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "weekday", "clock", "reason"),
    [
        ("SMS", 2, "14:30", "within_window"),
        ("SMS", 2, "22:30", "outside_contact_window"),
        ("SMS", 2, "20:00", "outside_contact_window"),
        ("CALL", 2, "22:30", "outside_statutory_hours"),
        ("SMS", 6, "03:00", "outside_contact_window"),
        ("CALL", 6, "03:00", "outside_statutory_hours"),
    ],
)
def test_a_weekday_and_time_are_judged_as_given(channel: str, weekday: int, clock: str, reason: str) -> None:
    now = at("2026-12-25 03:00")  # a holiday: it must not matter
    verdict = judge_as_given(
        Question(channel),
        calendar(channel=channel),
        "",
        weekday=weekday,
        minute=read_clock(clock),
        today=now.date(),
        at=now,
    )
    assert verdict.reason == reason
    assert (verdict.checks[5].check, verdict.checks[5].result) == ("holiday", "not_checked")


def test_a_consent_of_this_morning_counts_for_a_weekday_as_given() -> None:
    now = at("2026-11-25 12:00")
    question = Question("SMS", True, True, consents=(replace(YES, at=at("2026-11-25 08:00")),))
    on = calendar(replace(DEFAULT_RULES, consent_channels=("SMS",)))
    assert judge_as_given(question, on, "", weekday=2, minute=870, today=now.date(), at=now).ok


# --- the next allowed instant (compared with a walk in test_next_allowed) -----------------------------------


def test_there_is_no_next_instant_beyond_sixty_days() -> None:
    never = calendar(replace(DEFAULT_RULES, windows=()))
    start = at("2026-11-25 14:30")
    assert OpenHours(never, ["America/Toronto"]).next_open(start) is None
    closed = [
        ClosedDay(n, "", start.date() + timedelta(days=n), True, 0, "strike", "")
        for n in range(HORIZON.days + 1)
    ]
    assert OpenHours(calendar(closures=closed), ["America/Toronto"]).next_open(start) is None
    assert OpenHours(calendar(closures=closed[:-5]), ["America/Toronto"]).next_open(start) is not None


@pytest.mark.parametrize(
    "person",
    [
        {"score": Decimal("0.1")},
        {"has_points": True, "suppressions": (STOP,)},
    ],
)
def test_what_time_does_not_heal_has_no_next_instant(person: dict[str, object]) -> None:
    question = Question("SMS", True, **person)  # type: ignore[arg-type]  # a table's words
    start = at("2026-11-25 22:30")
    verdict = judge(question, calendar(), "", ["America/Toronto"], start)
    assert next_allowed(question, verdict, OpenHours(calendar(), ["America/Toronto"]), start) is None


def test_the_search_walks_windows_not_minutes() -> None:
    """A year of closures is crossed by a few hundred steps, not by half a million."""
    start = at("2026-11-25 14:30")
    closed = [ClosedDay(n, "", start.date() + timedelta(days=n), True, 0, "strike", "") for n in range(400)]
    asked: list[date] = []

    class Counting(Calendar):
        def open_hours(self, day: date) -> tuple[tuple[int, int], ...]:
            asked.append(day)
            return super().open_hours(day)

    hours = OpenHours(Counting("ON", DEFAULT_RULES, (), closed), ["America/Toronto"])
    assert hours.first_open(start, start + timedelta(days=420)) is not None
    assert len(asked) < 3 * 420


@pytest.mark.parametrize("zones", [["America/Toronto"], ["America/Vancouver", "America/St_Johns"]])
def test_the_open_time_between_two_instants_is_the_sum_of_its_spans(
    chance: random.Random, zones: list[str]
) -> None:
    begin = datetime(2026, 3, 1, 12, tzinfo=UTC)  # both changes of the clocks lie within the year
    hours = OpenHours(calendar(), zones)
    turns = HoursInTurn([(None, OpenHours(calendar(), ZONES["AB"])), (begin + timedelta(days=90), hours)])
    for _case in range(300):
        since = begin + timedelta(minutes=chance.randrange(365 * 24 * 60))
        until = since + timedelta(seconds=chance.choice([0, 1, 3_600, 86_400, 200_000, 2_000_000, 9_000_000]))
        for each in (hours, turns):
            spans = sum((end - start for start, end in each.spans(since, until)), timedelta())
            assert each.open_time(since, until) == spans
    assert hours.open_time(begin, begin + timedelta(days=365)) > timedelta(days=50)
