"""The national do-not-call list: read in as it comes, once, adding stops for calls and never lifting one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import DjangoAssertNumQueries

from governance.contact import do_not_call
from governance.contact.digests import PHONE, digest
from governance.contact.do_not_call import UnreadableList, ending_lists, import_do_not_call, newest_list
from governance.contact.models import (
    AreaCodeList,
    AreaCodeStatement,
    ContactDecision,
    DoNotCallImport,
    Suppression,
)
from governance.contact.national_list import AreaList, ListedNumber
from governance.contact.reasons import EXEMPTIONS
from governance.contact.rules import Question
from governance.contact.services import (
    Answer,
    can_contact,
    decision,
    judge_again,
    lift_suppression,
    open_gate,
    question_about,
)
from governance.contact.statements import (
    state_consent,
    state_exempt_calls,
    unstated_channels,
)
from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid, Refused
from governance.core.hooks import LeadFacts
from governance.core.places import Place
from governance.tests.factories import (
    NOW,
    ConsentFactory,
    DoNotCallImportFactory,
    SuppressionFactory,
    email_point,
    lead_of,
    phone_point,
)

pytestmark = [pytest.mark.both, pytest.mark.django_db]
BY = Actor.system("tests")
TODAY = date(2026, 11, 24)


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., Path]:
    def write(*lines: str, name: str = "list.csv") -> Path:
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


def read_in(path: Path, **more: Any) -> DoNotCallImport:
    return import_do_not_call(path, **{"list_date": TODAY, "by": BY, "at": NOW, **more})


def point(number: str) -> str:
    return digest(PHONE, number)


def test_every_number_of_the_list_is_stopped_for_calls(listed: Callable[..., Path]) -> None:
    path = listed("area,number", "416,5550101", "(514) 555-0102", "1-604-555-0103", "", "4165550101")
    told: list[int] = []
    done = read_in(path, say=told.append)
    assert (done.numbers, done.added, done.unreadable, done.list_date) == (4, 3, 1, TODAY)
    assert told == [4]
    assert set(Suppression.objects.values_list("point_digest", "channel", "action", "source")) == {
        (point(f"+1{number}"), "CALL", "SUPPRESS", "NATIONAL_LIST")
        for number in ("4165550101", "5145550102", "6045550103")
    }
    for channel, reason in (("CALL", "suppressed"), ("SMS", "within_window")):
        answer = can_contact(
            channel=channel, at=NOW, province="ON", phone="+14165550101", zone="America/Toronto"
        )
        assert answer.verdict.reason == reason


def test_the_same_file_again_writes_nothing(listed: Callable[..., Path]) -> None:
    path = listed("4165550101", "4165550102")
    first = read_in(path)
    again = read_in(path, at=NOW + timedelta(days=1))
    assert again.pk == first.pk
    assert (Suppression.objects.count(), DoNotCallImport.objects.count()) == (2, 1)


def test_next_months_list_adds_what_is_new_and_lifts_nothing(listed: Callable[..., Path]) -> None:
    read_in(listed("4165550101", "4165550102"))
    lift_suppression([point("+14165550102")], by=BY, at=NOW, reason="she asked us to call", channel="CALL")
    later = NOW + timedelta(days=29)
    done = read_in(listed("4165550102", "4165550103", name="new.csv"), list_date=later.date(), at=later)
    assert (done.numbers, done.added) == (2, 1)
    stops = Suppression.objects.filter(action="SUPPRESS")
    assert stops.count() == 3, "the one that is no longer listed stays, the lifted one is not stopped again"
    assert newest_list() == later.date()


def test_many_numbers_come_in_batches_and_a_run_cut_short_is_run_again(
    listed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(do_not_call, "BATCH", 10)
    path = listed(*(f"41655{number:05}" for number in range(20_000, 20_035)))

    def cut_short(count: int) -> None:
        if count == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_in(path, say=cut_short)
    assert (Suppression.objects.count(), newest_list()) == (20, None)
    done = read_in(path)
    assert (done.numbers, done.added, Suppression.objects.count()) == (35, 15, 35)


@pytest.mark.parametrize(
    "lines",
    [(), ("",), ("name,city", "Anne,Toronto"), ("4165550101", *["no number"] * 5), ("1234567890",)],
    ids=["empty", "blank", "another table", "mostly something else", "no Canadian number"],
)
def test_a_file_that_is_no_list_of_numbers_is_refused(
    listed: Callable[..., Path], lines: tuple[str, ...]
) -> None:
    with pytest.raises(UnreadableList):
        read_in(listed(*lines))
    assert not Suppression.objects.exists()
    assert newest_list() is None


def test_a_list_is_of_no_day_to_come(listed: Callable[..., Path]) -> None:
    with pytest.raises(Invalid):
        read_in(listed("4165550101"), list_date=TODAY + timedelta(days=2))


def test_a_list_dated_in_utc_is_accepted_while_it_is_still_yesterday_in_toronto(
    listed: Callable[..., Path],
) -> None:
    late = datetime(2026, 11, 25, 0, 30, tzinfo=UTC)  # 19:30 on the 24th in Toronto
    assert read_in(listed("4165550101"), list_date=late.date(), at=late).list_date == late.date()


def test_only_a_manager_imports_it(listed: Callable[..., Path], by: Callable[..., Actor]) -> None:
    path = listed("4165550101")
    for role in ("VA", "CLOSER", "AUDITOR", "SERVICE"):
        with pytest.raises(Forbidden):
            read_in(path, by=by(role))
    assert read_in(path, by=by("MANAGER")).actor == "a-manager"


def test_the_command_says_what_it_did_and_what_is_wrong(listed: Callable[..., Path], tmp_path: Path) -> None:
    said = StringIO()
    call_command("import_do_not_call", str(listed("4165550101")), "--date", "2026-01-05", stdout=said)
    assert said.getvalue() == "1 numbers, 1 of them new, 0 lines without a number. Area codes: 416.\n"
    assert newest_list() == date(2026, 1, 5)
    with pytest.raises(CommandError, match="not a list of telephone numbers"):
        call_command("import_do_not_call", str(listed("x", name="x.csv")), "--date", "2026-01-05")
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_do_not_call", str(tmp_path / "none.csv"), "--date", "2026-01-05")
    with pytest.raises(CommandError, match="Is a directory"):
        call_command("import_do_not_call", str(tmp_path), "--date", "2026-01-05")
    with pytest.raises(CommandError):
        call_command("import_do_not_call", str(listed("4165550101")), "--date", "tomorrow")
    call = ["import_do_not_call", str(listed("4165550101")), "--date", "2026-01-06"]
    call_command(*call, "--area-codes", "416", "437", stdout=said)
    assert said.getvalue().endswith("Area codes: 416, 437.\n")
    with pytest.raises(CommandError, match="three digits"):
        call_command(*call, "--area-codes", "41")


# --- the list of each area code -----------------------------------------------------------------------------

MORNING = datetime(2026, 12, 10, 15, 0, tzinfo=UTC)  # a Thursday, 10:00 in Toronto
STALE = datetime(2026, 12, 29, 15, 0, tzinfo=UTC)  # 35 days after the list; a Tuesday
SELLER = "+14165550199"


def lists() -> dict[str, date]:
    return dict(AreaCodeList.objects.values_list("area_code", "list_date"))


def call(at: datetime, phone: str = SELLER, **other: Any) -> Answer:
    place = {"province": "ON", "zone": "America/Toronto", "channel": "CALL"}
    return can_contact(**{**place, "at": at, "phone": phone, **other})


def test_each_import_says_which_area_codes_its_list_covers(
    listed: Callable[..., Path], told: list[str]
) -> None:
    done = read_in(listed("4165550101", "416,5550102", "6045550103", "area,number"))
    assert done.area_codes == ["416", "604"]
    assert lists() == {"416": TODAY, "604": TODAY}
    assert told.count("") == 1, "held calls are judged anew"
    later = TODAY + timedelta(days=5)
    read_in(listed("4165550101", name="new.csv"), list_date=later, at=NOW + timedelta(days=5))
    assert lists() == {"416": later, "604": TODAY}
    read_in(listed("4165550101", "6045550104", name="old.csv"), list_date=TODAY - timedelta(days=3))
    assert lists() == {"416": later, "604": TODAY}, "an older list takes no newer one's place"


def test_a_list_may_cover_area_codes_without_a_number(listed: Callable[..., Path]) -> None:
    path = listed("4165550101")
    assert read_in(path, area_codes=["416", " 942 "]).area_codes == ["416", "942"]
    assert read_in(path, area_codes=["942"]).pk == read_in(path).pk, "the same file again"
    for wrong in ("41", "0416", "abc", "116", "４１６"):
        with pytest.raises(Invalid) as refused:
            read_in(path, area_codes=[wrong])
        assert list(refused.value.errors) == ["area_codes"]


def test_an_import_of_before_area_codes_were_recorded_can_be_made_again(
    listed: Callable[..., Path],
) -> None:
    path = listed("4165550101")
    digest_of_file = sha256(path.read_bytes()).hexdigest()
    DoNotCallImportFactory.create(file_digest=digest_of_file, list_date=TODAY)
    assert lists() == {}
    assert read_in(path).area_codes == ["416"]
    assert lists() == {"416": TODAY}


def test_a_call_is_refused_once_the_list_of_its_area_code_is_older_than_31_days(
    listed: Callable[..., Path],
) -> None:
    read_in(listed("4165550101"))
    last = datetime(2026, 12, 26, 4, 59, 59, tzinfo=UTC)  # 25 December in Toronto, the 31st day
    assert call(last).verdict.checks[2].as_json() == {"check": "suppression", "result": "pass", "reason": ""}
    assert call(last + timedelta(seconds=1)).verdict.reason == "dncl_stale"
    refused = call(STALE)
    assert (refused.verdict.ok, refused.verdict.reason, refused.verdict.overridable) == (
        False,
        "dncl_stale",
        False,
    )
    assert refused.next_allowed_at is None
    for channel in ("SMS", "EMAIL"):
        assert call(STALE, channel=channel).verdict.reason == "within_window"
    assert call(STALE, "+16045550199").verdict.reason == "within_window", "no list was ever read in there"
    assert call(STALE, phone="").verdict.reason == "within_window", "nobody in particular"


def test_the_next_allowed_instant_is_never_one_at_which_the_list_is_too_old(
    listed: Callable[..., Path],
) -> None:
    read_in(listed("4165550101"))
    evening = datetime(2026, 12, 24, 3, 0, tzinfo=UTC)  # 22:00 on the 23rd
    assert call(evening).next_allowed_at == datetime(2026, 12, 24, 14, 0, tzinfo=UTC)
    christmas_eve = datetime(2026, 12, 25, 3, 0, tzinfo=UTC)
    answer = call(christmas_eve)
    assert answer.verdict.reason == "outside_statutory_hours"
    assert answer.next_allowed_at is None, "after two holidays the list is too old"


def test_the_next_list_allows_the_calls_again(listed: Callable[..., Path]) -> None:
    read_in(listed("4165550101"))
    read_in(listed("4165550102", name="new.csv"), list_date=STALE.date(), at=STALE)
    assert call(STALE).verdict.reason == "within_window"
    before = STALE - timedelta(hours=1)
    assert call(before).verdict.reason == "dncl_stale", "what was so then is judged by the list of then"
    assert call(MORNING).verdict.reason == "within_window"


EXEMPT = [
    ("EXPRESS", "CALL", timedelta(days=3000), "express_consent"),
    ("BUSINESS", "CALL", timedelta(days=545), "business_relationship"),
    ("BUSINESS", "SMS", timedelta(days=545), "business_relationship"),
    ("INQUIRY", "SMS", timedelta(days=181), "inquiry"),
    ("INQUIRY", "CALL", timedelta(days=181), "inquiry"),
]


@pytest.mark.parametrize(("kind", "channel", "ago", "exemption"), EXEMPT)
def test_an_exempt_number_is_called_all_the_same_and_the_answer_says_why(
    kind: str, channel: str, ago: timedelta, exemption: str, listed: Callable[..., Path]
) -> None:
    read_in(listed("4165550101"))
    ConsentFactory.create(kind=kind, channel=channel, at=STALE - ago)
    answer = call(STALE)
    assert (answer.verdict.reason, answer.next_allowed_at) == ("within_window", STALE)
    assert answer.verdict.checks[2].as_json() == {
        "check": "suppression",
        "result": "pass",
        "reason": "",
        "exemption": exemption,
    }
    assert "416" in answer.warnings[0]
    assert str(EXEMPTIONS[exemption]) in answer.warnings[0]
    SuppressionFactory.create(at=STALE + timedelta(days=1), channel="CALL")
    assert call(STALE).verdict.reason == "suppressed", "no exemption ends a stop of ours"
    assert not call(STALE).warnings


@pytest.mark.parametrize(
    "rows",
    [
        [("EXPRESS", "SMS", timedelta(days=1))],
        [("INQUIRY", "CALL", timedelta(days=185))],
        [("BUSINESS", "CALL", timedelta(days=550))],
        [("EXPRESS", "CALL", timedelta(days=-1))],
        [("EXPRESS", "CALL", timedelta(days=9)), ("WITHDRAWN", "CALL", timedelta(days=8))],
        [("INQUIRY", "SMS", timedelta(days=9)), ("WITHDRAWN", "CALL", timedelta(days=8))],
        [("INQUIRY", "SMS", timedelta(days=9)), ("WITHDRAWN", "SMS", timedelta(days=8))],
    ],
    ids=str,
)
def test_what_is_over_withdrawn_or_for_texts_exempts_no_call(
    rows: list[tuple[str, str, timedelta]], listed: Callable[..., Path]
) -> None:
    read_in(listed("4165550101"))
    for kind, channel, ago in rows:
        ConsentFactory.create(kind=kind, channel=channel, at=STALE - ago)
    assert call(STALE).verdict.reason == "dncl_stale"


def test_express_consent_counts_for_its_own_number_a_relationship_for_the_person(
    listed: Callable[..., Path], leads: dict[str, LeadFacts]
) -> None:
    read_in(listed("4165550101"))
    other = phone_point("+14165550123")
    leads["L-1"] = lead_of(points=(other, email_point()))
    ConsentFactory.create(kind="EXPRESS", channel="CALL", at=NOW)
    assert call(STALE, phone="", lead_id="L-1").verdict.reason == "dncl_stale"
    leads["L-1"] = lead_of(points=(other, phone_point(), email_point()))
    both = call(STALE, phone="", lead_id="L-1")
    assert both.verdict.reason == "dncl_stale", "either number might be called"
    ConsentFactory.create(kind="INQUIRY", channel="EMAIL", at=NOW, point_digest=email_point().digest)
    assert call(STALE, phone="", lead_id="L-1").verdict.ok


def test_the_number_that_is_called_is_known_by_either_of_its_keys_hashes() -> None:
    old = AreaList("416", TODAY, NOW)
    asked = Question("CALL", True, True, numbers=(ListedNumber("new", old, "old"),), called="old")
    assert asked.lists(STALE).refused
    assert not replace(asked, called="another").lists(STALE).refused


def test_an_exemption_that_ends_ends_the_next_allowed_instants(listed: Callable[..., Path]) -> None:
    read_in(listed("4165550101"))
    ConsentFactory.create(kind="INQUIRY", channel="SMS", at=datetime(2026, 6, 29, 16, 0, tzinfo=UTC))
    night = datetime(2026, 12, 29, 4, 0, tzinfo=UTC)
    assert call(night).next_allowed_at == datetime(2026, 12, 29, 14, 0, tzinfo=UTC)
    assert call(STALE + timedelta(hours=1)).next_allowed_at is None


@pytest.mark.parametrize("exempt", [False, True])
def test_a_kept_decision_is_judged_again_by_the_list_of_then(
    exempt: bool, listed: Callable[..., Path], leads: dict[str, LeadFacts], by: Callable[..., Actor]
) -> None:
    read_in(listed("4165550101"))
    leads["L-1"] = lead_of()
    if exempt:
        ConsentFactory.create(kind="INQUIRY", channel="SMS", at=NOW)
    gate = open_gate(Place("ON", "ALL"), "CALL", STALE, city="Toronto")
    asked = question_about("CALL", lead_of().points, None, at=STALE)
    verdict = gate.judge(asked, STALE)
    kept = decision(
        "START", verdict, gate, asked, by=by("VA"), at=STALE, now=STALE, phone_digest=point(SELLER)
    )
    kept.save()
    [used] = kept.basis["lists"]
    assert used[1:3] == ["416", "2026-11-24"]
    assert kept.basis.get("exempt") == ([["416", "inquiry"]] if exempt else None)
    ConsentFactory.create(kind="EXPRESS", channel="CALL", at=NOW)
    read_in(listed("4165550102", name="new.csv"), list_date=STALE.date(), at=STALE)
    again = judge_again(ContactDecision.objects.get(pk=kept.pk))
    assert (again.ok, again.reason) == (exempt, "within_window" if exempt else "dncl_stale")
    assert [check.as_json() for check in again.checks] == [check.as_json() for check in verdict.checks]
    assert again.basis == kept.basis


def test_the_lists_are_read_in_the_question_that_is_asked_anyway(
    listed: Callable[..., Path], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(3):
        call(MORNING)
    read_in(listed("4165550101"))
    with django_assert_num_queries(3):
        assert call(STALE).verdict.reason == "dncl_stale"


def test_lists_that_end_within_a_week_are_named(
    listed: Callable[..., Path], by: Callable[..., Actor]
) -> None:
    read_in(listed("4165550101", "6045550101"))

    def ending(day: int) -> list[str]:
        moment = datetime(2026, 12, day, 15, 0, tzinfo=UTC)
        return [row.area_code for row in ending_lists(moment)]

    assert (ending(17), ending(18), ending(26)) == ([], ["416", "604"], ["416", "604"])
    reason = "Only people who asked us are called there."
    state_exempt_calls("604", True, by=by("MANAGER"), at=NOW, reason=reason)
    assert ending(18) == ["416"]
    state_exempt_calls("604", False, by=by("MANAGER"), at=NOW, reason="We call others there as well.")
    assert ending(18) == ["416", "604"]


# --- where only exempt numbers are called -------------------------------------------------------------------


def test_a_manager_states_where_only_exempt_numbers_are_called(by: Callable[..., Actor]) -> None:
    reason = "Only people who asked us are called there."
    first = state_exempt_calls(" 250 ", True, by=by("MANAGER"), at=NOW, reason=reason)
    assert (first.area_code, first.version, first.changed_by, first.reason) == ("250", 1, "a-manager", reason)
    same = state_exempt_calls("250", True, by=by("MANAGER"), at=NOW, reason="Said once more.")
    assert same.version == 1
    over = state_exempt_calls("250", False, by=by("MANAGER"), at=NOW, reason="We call others there now.")
    assert (over.version, over.history.count()) == (2, 2)
    assert not AreaCodeStatement.objects.filter(only_exempt=True).exists()


@pytest.mark.parametrize("role", ["VA", "CLOSER", "AUDITOR", "SERVICE"])
def test_nobody_else_states_where_only_exempt_numbers_are_called(role: str, by: Callable[..., Actor]) -> None:
    with pytest.raises(Forbidden):
        state_exempt_calls("250", True, by=by(role), at=NOW, reason="Because I say so.")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"reason": "too short"}, "change_reason"),
        ({"reason": " " * 20}, "change_reason"),
        ({"area_code": "25"}, "area_code"),
        ({"area_code": "150"}, "area_code"),
        ({"area_code": "2500"}, "area_code"),
        ({"area_code": "nul\0"}, "area_code"),
    ],
    ids=str,
)
def test_a_statement_on_an_area_code_has_a_code_and_a_reason(given: dict[str, str], field: str) -> None:
    said = {"area_code": "250", "reason": "Only people who asked us.", **given}
    with pytest.raises(Invalid) as wrong:
        state_exempt_calls(said["area_code"], True, by=BY, at=NOW, reason=said["reason"])
    assert list(wrong.value.errors) == [field]


def test_a_statement_on_an_area_code_that_changed_meanwhile_is_not_overwritten() -> None:
    state_exempt_calls("250", True, by=BY, at=NOW, reason="Only people who asked.", expected_version=0)
    with pytest.raises(Refused, match="version 1"):
        state_exempt_calls("250", False, by=BY, at=NOW, reason="Not any more, no.", expected_version=0)


# --- how consent is obtained --------------------------------------------------------------------------------


def test_a_manager_states_for_each_channel_how_consent_is_obtained(by: Callable[..., Actor]) -> None:
    assert unstated_channels() == ["SMS", "EMAIL"]
    first = state_consent("SMS", " A box on the form. ", by=by("MANAGER"), at=NOW, reason="counsel")
    assert (first.how, first.version, first.changed_by, first.reason) == (
        "A box on the form.",
        1,
        "a-manager",
        "counsel",
    )
    assert unstated_channels() == ["EMAIL"]
    same = state_consent("SMS", "A box on the form.", by=by("MANAGER"), at=NOW, reason="again")
    assert same.version == 1
    second = state_consent("SMS", "By telephone, recorded.", by=by("MANAGER"), at=NOW, reason="new way")
    assert (second.version, second.history.count()) == (2, 2)


@pytest.mark.parametrize("role", ["VA", "CLOSER", "AUDITOR", "SERVICE"])
def test_nobody_else_states_it(role: str, by: Callable[..., Actor]) -> None:
    with pytest.raises(Forbidden):
        state_consent("SMS", "A box.", by=by(role), at=NOW, reason="x")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"reason": " "}, "change_reason"),
        ({"how": "  "}, "how"),
        ({"how": "x" * 1001}, "how"),
        ({"channel": "CALL"}, "channel"),
        ({"how": "nul\0"}, "how"),
    ],
    ids=str,
)
def test_a_statement_has_words_and_a_reason(given: dict[str, str], field: str) -> None:
    said = {"channel": "SMS", "how": "A box.", "reason": "why", **given}
    with pytest.raises(Invalid) as wrong:
        state_consent(said["channel"], said["how"], by=BY, at=NOW, reason=said["reason"])
    assert list(wrong.value.errors) == [field]
    assert unstated_channels() == ["SMS", "EMAIL"]


def test_a_statement_that_changed_meanwhile_is_not_overwritten() -> None:
    state_consent("SMS", "One.", by=BY, at=NOW, reason="x", expected_version=0)
    with pytest.raises(Refused, match="version 1"):
        state_consent("SMS", "Two.", by=BY, at=NOW, reason="x", expected_version=0)
