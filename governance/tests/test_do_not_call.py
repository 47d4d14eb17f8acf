"""The national do-not-call list: read in as it comes, once, adding stops for calls and never lifting one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from governance.actors import By
from governance.contact import do_not_call
from governance.contact.digests import PHONE, digest
from governance.contact.do_not_call import UnreadableList, import_do_not_call, newest_list
from governance.contact.models import DoNotCallImport, Suppression
from governance.contact.services import can_contact, lift_suppression
from governance.contact.statements import state_consent, unstated_channels
from governance.errors import Forbidden, Invalid, Refused
from governance.tests.factories import NOW

pytestmark = pytest.mark.django_db
BY = By.system("tests")
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
        read_in(listed("4165550101"), list_date=TODAY + timedelta(days=1))


def test_only_a_manager_imports_it(listed: Callable[..., Path], by: Callable[..., By]) -> None:
    path = listed("4165550101")
    for role in ("VA", "CLOSER", "AUDITOR", "SERVICE"):
        with pytest.raises(Forbidden):
            read_in(path, by=by(role))
    assert read_in(path, by=by("MANAGER")).actor == "a-manager"


def test_the_command_says_what_it_did_and_what_is_wrong(listed: Callable[..., Path], tmp_path: Path) -> None:
    said = StringIO()
    call_command("import_do_not_call", str(listed("4165550101")), "--date", "2026-01-05", stdout=said)
    assert said.getvalue() == "1 numbers, 1 of them new, 0 lines without a number.\n"
    assert newest_list() == date(2026, 1, 5)
    with pytest.raises(CommandError, match="no list of telephone numbers"):
        call_command("import_do_not_call", str(listed("x", name="x.csv")), "--date", "2026-01-05")
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_do_not_call", str(tmp_path / "none.csv"), "--date", "2026-01-05")
    with pytest.raises(CommandError, match="Is a directory"):
        call_command("import_do_not_call", str(tmp_path), "--date", "2026-01-05")
    with pytest.raises(CommandError):
        call_command("import_do_not_call", str(listed("4165550101")), "--date", "tomorrow")


# --- how consent is obtained --------------------------------------------------------------------------------


def test_a_manager_states_for_each_channel_how_consent_is_obtained(by: Callable[..., By]) -> None:
    assert unstated_channels() == ["SMS", "EMAIL"]
    first = state_consent("SMS", " A box on the form. ", by=by("MANAGER"), at=NOW, reason="counsel")
    assert (first.how, first.version, first.changed_by, first.reason) == (
        "A box on the form.", 1, "a-manager", "counsel",
    )  # fmt: skip
    assert unstated_channels() == ["EMAIL"]
    same = state_consent("SMS", "A box on the form.", by=by("MANAGER"), at=NOW, reason="again")
    assert same.version == 1
    second = state_consent("SMS", "By telephone, recorded.", by=by("MANAGER"), at=NOW, reason="new way")
    assert (second.version, second.history.count()) == (2, 2)


@pytest.mark.parametrize("role", ["VA", "CLOSER", "AUDITOR", "SERVICE"])
def test_nobody_else_states_it(role: str, by: Callable[..., By]) -> None:
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
