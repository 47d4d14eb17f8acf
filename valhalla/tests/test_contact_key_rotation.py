"""A second contact key: what was recorded under the first one holds, before and after points are moved."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from followups import services
from followups.models import ContactPoint, FollowUpTask, Ladder, LookupEvent
from followups.points import lead_digest, read_point
from followups.services.due import due_tasks
from followups.services.rekeying import move_points
from followups.tests.scenes import NOW, begin
from governance.contact import digests
from governance.contact.do_not_call import import_do_not_call
from governance.contact.keys import add_key, drop_key
from governance.contact.models import ContactDecision, HashKeyCheck, Suppression
from governance.contact.services import (
    can_contact,
    hash_key_problem,
    judge_again,
    lift_suppression,
    record_consent,
    suppress,
)
from governance.contact.transfer import given_stops
from governance.core import key_file
from governance.core.actors import Actor
from governance.core.errors import NotFound, Refused, Unavailable
from governance.models import KpiEvent
from governance.retention.erasing import erase_person, find_people
from valhalla import contact_key, keys
from valhalla.testing import make_person

pytestmark = [pytest.mark.both, pytest.mark.django_db]
PHONE, OTHER, EMAIL = "+14165550133", "+14165550134", "anne@example.ca"
NEW_KEY = "k02:" + "a-new-key-" * 6
JOB = Actor.system("tests")
SOON = NOW + timedelta(minutes=5)
Rotate = Callable[[], None]


@pytest.fixture(params=[False, True], ids=["points not moved", "points moved"])
def rotate(settings: Settings, request: pytest.FixtureRequest) -> Rotate:
    """Add a second key as an operator would, before or after its contact points were moved to it."""

    def add() -> None:
        settings.CONTACT_HASH_KEYS_KEPT = (settings.CONTACT_HASH_KEY,)
        settings.CONTACT_HASH_KEY = NEW_KEY
        add_key(2, digests.key_fingerprint(), by=JOB, at=NOW)
        if request.param:
            move_points()

    return add


@pytest.fixture
def second_key(settings: Settings) -> None:
    settings.CONTACT_HASH_KEYS_KEPT = (settings.CONTACT_HASH_KEY,)
    settings.CONTACT_HASH_KEY = NEW_KEY
    add_key(2, digests.key_fingerprint(), by=JOB, at=NOW)


def hashed(number: str = PHONE) -> str:
    return digests.digest(digests.PHONE, number)


def reason(channel: str = "SMS", **asked: Any) -> str:
    verdict = can_contact(channel=channel, at=SOON, **(asked or {"province": "ON", "phone": PHONE})).verdict
    return verdict.reason


def refusal_of(lead_id: str, **details: Any) -> str:
    with pytest.raises(Refused) as refusal:
        begin(lead_id, at=SOON, **details)
    return str(refusal.value.extra["reason"])


# --- opt-outs and consents ----------------------------------------------------------------------------------


def test_a_digest_says_which_key_made_it(rotate: Rotate) -> None:
    first = hashed()
    rotate()
    second = hashed()
    assert (len(first), digests.key_number(first)) == (64, 1)
    assert (len(second), digests.key_number(second)) == (64, 2)
    assert digests.every_digest(digests.PHONE, PHONE) == (second, first)


def test_an_opt_out_of_before_holds_for_every_lead_of_the_number(rotate: Rotate) -> None:
    task = begin("L-1", phone=PHONE)
    services.complete_task(task.pk, services.Completion(outcome="OPTED_OUT"), by=JOB, at=NOW)
    rotate()
    assert reason() == reason(lead_id="L-1") == "suppressed"
    assert refusal_of("L-2", phone=PHONE) == "suppressed"
    assert refusal_of("L-1", phone=OTHER) == "suppressed", "the lead’s own opt-out, whatever number it has"
    again = services.complete_task(task.pk, services.Completion(outcome="OPTED_OUT"), by=JOB, at=SOON)
    assert again.already_completed
    assert {digests.key_number(row.point_digest) for row in Suppression.objects.all()} == {1}


def test_an_erased_persons_opt_out_holds_though_its_hash_alone_is_left(
    rotate: Rotate, by: Callable[..., Actor]
) -> None:
    task = begin("L-1", phone=PHONE)
    erase_person("LEAD", task.lead_id, why="REQUESTED", by=by("MANAGER"), at=NOW)
    rotate()
    assert not ContactPoint.objects.exists()
    assert refusal_of("L-2", phone=PHONE) == "suppressed"


def test_new_opt_outs_are_written_with_the_new_key(rotate: Rotate) -> None:
    rotate()
    task = begin("L-1", phone=PHONE)
    services.complete_task(task.pk, services.Completion(outcome="OPTED_OUT"), by=JOB, at=NOW)
    assert {digests.key_number(row.point_digest) for row in Suppression.objects.all()} == {2}
    assert refusal_of("L-2", phone=PHONE) == "suppressed"


def test_a_stop_of_before_ends_by_a_row_of_now(rotate: Rotate, by: Callable[..., Actor]) -> None:
    suppress([hashed()], by=JOB, at=NOW)
    old = hashed()
    rotate()
    lift_suppression([hashed()], by=by("MANAGER"), at=SOON, reason="she asked us to call", others=[old])
    assert reason() == "within_window"
    assert list(given_stops()) == [], "an export knows the hashes alone"


def test_the_manager_ends_it_on_the_screen_and_finds_all_rows(rotate: Rotate) -> None:
    suppress([hashed()], by=JOB, at=NOW)
    rotate()
    client = Client()
    client.force_login(make_person("MANAGER"))
    said = {"point": PHONE, "action": "LIFT", "channel": "", "source": "MANAGER", "reason": "she called us"}
    assert client.post(reverse("admin:governance_suppression_add"), said).status_code == 302
    assert reason() == "within_window"
    page = client.get(reverse("admin:governance_suppression_changelist"), {"q": "416 555 0133"})
    assert page.context["cl"].result_count == 3  # the stop, and its end under either key


def test_a_consent_of_now_ends_a_stop_of_before(rotate: Rotate, by: Callable[..., Actor]) -> None:
    suppress([hashed()], by=JOB, at=NOW - timedelta(days=1), channel="SMS")
    rotate()
    record_consent(hashed(), "SMS", "EXPRESS", by=by("MANAGER"), at=SOON, obtained_at=NOW, how="paper")
    assert reason() == "within_window"


def test_a_stop_of_now_stops_ladders_of_before(rotate: Rotate) -> None:
    begin("L-1", phone=PHONE)
    rotate()
    client = Client()
    client.force_login(make_person("MANAGER"))
    said = {"point": PHONE, "action": "SUPPRESS", "channel": "", "source": "MANAGER", "reason": ""}
    assert client.post(reverse("admin:governance_suppression_add"), said).status_code == 302
    assert Ladder.objects.get().status == Ladder.Status.STOPPED


def test_a_manager_takes_back_an_opt_out_of_before(rotate: Rotate, by: Callable[..., Actor]) -> None:
    task = begin("L-1", phone=PHONE)
    services.complete_task(task.pk, services.Completion(outcome="OPTED_OUT"), by=JOB, at=NOW)
    rotate()
    services.correct_task(
        task.pk, services.Completion(outcome="SENT"), by=by("MANAGER"), at=SOON, reason="wrong key"
    )
    assert reason(lead_id="L-1") == "within_window"
    assert list(given_stops()) == []


def test_the_national_list_is_not_written_twice(rotate: Rotate, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("4165550133\n")
    import_do_not_call(listed, list_date=NOW.date(), by=JOB, at=NOW)
    rotate()
    listed.write_text("4165550133\n4165550134\n")
    begin("L-2", phone=OTHER)
    assert import_do_not_call(listed, list_date=NOW.date(), by=JOB, at=SOON).added == 1
    assert reason("CALL") == "suppressed"
    held = FollowUpTask.objects.filter(channel="CALL", lead__external_id="L-2")
    assert set(held.values_list("held_reason", flat=True)) == {"suppressed"}


# --- decisions ----------------------------------------------------------------------------------------------


def test_a_decision_over_both_keys_is_judged_again_to_the_same_answer(
    rotate: Rotate, by: Callable[..., Actor]
) -> None:
    task = begin("L-1", phone=PHONE)
    suppress([hashed()], by=JOB, at=NOW - timedelta(days=1), channel="SMS")
    rotate()
    record_consent(hashed(), "SMS", "EXPRESS", by=by("MANAGER"), at=NOW, obtained_at=NOW, how="paper")
    services.start_task(task.pk, by=by("VA"), at=SOON)
    kept = ContactDecision.objects.latest("pk")
    verdict = judge_again(kept)
    assert kept.ok
    assert (verdict.ok, verdict.reason, verdict.basis) == (kept.ok, kept.reason, kept.basis)


def test_contacts_of_before_count(rotate: Rotate) -> None:
    for n in range(3):
        task = begin(f"L-{n}", phone=PHONE, name=f"Person {n}", at=NOW + n * timedelta(minutes=20))
        services.complete_task(task.pk, services.Completion(), by=JOB, at=NOW + n * timedelta(minutes=20))
    rotate()
    asked = can_contact(channel="SMS", at=NOW + timedelta(hours=2), province="ON", phone=PHONE)
    assert asked.verdict.reason == "too_soon"


def test_the_due_list_says_what_a_start_would_say(rotate: Rotate, by: Callable[..., Actor]) -> None:
    begin("L-1", phone=PHONE)
    begin("L-2", phone=OTHER)
    Suppression.objects.create(point_digest=hashed(), source="NATIONAL_LIST", at=NOW)
    Suppression.objects.create(point_digest=lead_digest("L-2"), source="MANAGER", at=NOW)
    rotate()
    rows = due_tasks(by=by("VA"), at=SOON)
    assert {row["contact"]["reason"] for row in rows} == {"suppressed"}


# --- people -------------------------------------------------------------------------------------------------


def test_a_look_up_and_an_erasure_find_the_person(rotate: Rotate, by: Any) -> None:
    task = begin("L-1", phone=PHONE)
    suppress([hashed(OTHER), hashed()], by=JOB, at=NOW)
    ending = {"by": by("MANAGER"), "at": NOW, "channel": "CALL"}
    lift_suppression([hashed()], reason="Anne said so", **ending)
    rotate()
    assert [lead["lead_id"] for lead in services.look_up(by=by("VA"), at=SOON, phone=PHONE)] == ["L-1"]
    assert digests.key_number(LookupEvent.objects.get().digest) == 2
    assert find_people(phone=PHONE) == [("LEAD", task.lead_id)]
    erase_person("LEAD", task.lead_id, why="REQUESTED", by=by("MANAGER"), at=SOON)
    assert not Suppression.objects.exclude(reason="").exists(), "words under the first key go too"


def test_the_later_lead_of_a_number_waits_for_the_one_of_before(rotate: Rotate) -> None:
    begin("L-1", phone=PHONE, name="Anne Tremblay")
    rotate()
    begin("L-2", phone=PHONE, name="Anne Tremblay", at=SOON)
    move_points()
    begin("L-3", phone=PHONE, name="Anne Tremblay", at=SOON)
    waits = FollowUpTask.objects.filter(held_reason="person_active").values_list("lead__external_id")
    assert {lead_id for (lead_id,) in waits} == {"L-2", "L-3"}
    assert ContactPoint.objects.values("digest").distinct().count() == 1
    services.stop_ladder(Ladder.objects.get(lead__external_id="L-1").pk, by=JOB, at=SOON, reason="sold")
    assert not FollowUpTask.objects.filter(held_reason="person_active", lead__external_id="L-2").exists()


def test_points_move_all_at_once_and_a_second_run_moves_none(second_key: None) -> None:
    old = digests.every_digest(digests.PHONE, PHONE)[1]
    for n in range(3):
        begin(f"L-{n}", phone=PHONE, name=f"Person {n}")
    begin("L-9", phone=OTHER, email=EMAIL)
    ContactPoint.objects.filter(value=PHONE).update(digest=old)
    begin("L-4", phone=PHONE, name="Person 4")
    assert set(ContactPoint.objects.filter(value=PHONE).values_list("digest", flat=True)) == {old}
    assert (move_points(), move_points()) == (4, 0)
    for point in ContactPoint.objects.all():
        assert point.digest == read_point(point.kind, point.value)[1]


# --- keys that are needed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ["suppression", "consent"])
def test_a_key_that_an_opt_out_or_consent_needs_is_not_dropped(
    settings: Settings, by: Callable[..., Actor], row: str
) -> None:
    if row == "suppression":
        suppress([hashed()], by=JOB, at=NOW)
    else:
        record_consent(hashed(), "SMS", "INQUIRY", by=by("MANAGER"), at=NOW, obtained_at=NOW, how="form")
    settings.CONTACT_HASH_KEYS_KEPT, settings.CONTACT_HASH_KEY = (settings.CONTACT_HASH_KEY,), NEW_KEY
    add_key(2, digests.key_fingerprint(), by=JOB, at=NOW)
    with pytest.raises(Refused) as refusal:
        contact_key.drop(1)
    assert refusal.value.code == "key_needed"
    assert "are found with it alone: keep it" in str(refusal.value)
    settings.CONTACT_HASH_KEYS_KEPT = ()
    assert hash_key_problem().startswith(
        "Contact key 1 is missing, and opt-outs were written with it: add it"
    )
    assert Client().get("/readyz").status_code == 503
    with pytest.raises(Unavailable):
        reason()


def test_a_key_that_nothing_needs_is_dropped_once_its_points_are_moved(
    settings: Settings, second_key: None
) -> None:
    begin("L-1", phone=PHONE)
    ContactPoint.objects.update(digest=digests.every_digest(digests.PHONE, PHONE)[1])
    with pytest.raises(Refused) as refusal:
        contact_key.drop(2)
    assert refusal.value.code == "key_in_use"
    contact_key.drop(1)
    with pytest.raises(NotFound):
        drop_key(1, by=JOB, at=NOW)
    settings.CONTACT_HASH_KEYS_KEPT = ()
    assert hash_key_problem() == ""
    assert refusal_or_none() == "within_window"
    assert ContactPoint.objects.get().digest == hashed()
    assert HashKeyCheck.objects.get(pk=1).dropped_at is not None
    metrics = KpiEvent.objects.filter(metric__startswith="contact_key").values_list("metric", flat=True)
    assert list(metrics.order_by("pk")) == ["contact_key_added", "contact_key_dropped"]


def refusal_or_none() -> str:
    return reason(lead_id="L-1")


def test_a_dropped_or_foreign_number_is_not_used_again(second_key: None) -> None:
    with pytest.raises(Refused) as refusal:
        add_key(2, "k02" + "0" * 61, by=JOB, at=NOW)
    assert refusal.value.code == "key_number_taken"


def test_a_key_may_lie_ready_on_every_machine_before_the_rotation(settings: Settings) -> None:
    settings.CONTACT_HASH_KEYS_KEPT = (NEW_KEY,)
    assert hash_key_problem() == ""
    assert reason() == "within_window"
    settings.CONTACT_HASH_KEYS_KEPT, settings.CONTACT_HASH_KEY = (settings.CONTACT_HASH_KEY,), NEW_KEY
    assert "run manage.py rotate_contact_key to add it" in hash_key_problem()
    with pytest.raises(Unavailable):
        reason()
    assert contact_key.rotate() == (2, 0)
    assert reason() == "within_window"
    with pytest.raises(keys.KeyProblem, match="CONTACT_HASH_KEY is key 2 of this database already"):
        contact_key.rotate()


def test_a_running_process_takes_up_the_file_that_another_one_rotated(
    settings: Settings, tmp_path: Path
) -> None:
    settings.CONTACT_HASH_KEY_IN_FILE, settings.CONTACT_HASH_KEY_FILE = True, tmp_path / "keys"
    first = settings.CONTACT_HASH_KEY
    settings.CONTACT_HASH_KEY_FILE.write_text(first)
    suppress([hashed()], by=JOB, at=NOW)
    contact_key.rotate()
    second = settings.CONTACT_HASH_KEY
    suppress([hashed(OTHER)], by=JOB, at=NOW)

    settings.CONTACT_HASH_KEY, settings.CONTACT_HASH_KEYS_KEPT = first, ()  # as the other process knows it
    with pytest.raises(Unavailable, match="changed a moment ago"):
        reason(province="ON", phone=OTHER)
    assert reason(province="ON", phone=OTHER) == reason() == "suppressed"
    assert (second, (first,)) == (settings.CONTACT_HASH_KEY, settings.CONTACT_HASH_KEYS_KEPT)

    settings.CONTACT_HASH_KEY, settings.CONTACT_HASH_KEYS_KEPT = first, ()
    assert Client().get("/readyz").status_code == 200


@pytest.mark.parametrize("cut", ["before the database", "before the file", "before the points"])
def test_a_rotation_that_was_cut_short_is_finished_with_the_same_key(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    settings.CONTACT_HASH_KEY_IN_FILE, settings.CONTACT_HASH_KEY_FILE = True, tmp_path / "keys"
    first = settings.CONTACT_HASH_KEY
    settings.CONTACT_HASH_KEY_FILE.write_text(first)
    begin("L-1", phone=PHONE)
    whole = key_file.write_keys

    class Killed(BaseException):
        pass

    def die(*args: object, **kwargs: object) -> None:
        raise Killed

    def write_the_first_time(path: Path, written: Any) -> None:
        whole(path, written)
        monkeypatch.setattr(keys, "write_keys", die)

    patches = {
        "before the database": (contact_key, "add_key", die),
        "before the file": (keys, "write_keys", write_the_first_time),
        "before the points": (contact_key, "move_points", die),
    }
    monkeypatch.setattr(*patches[cut])
    with pytest.raises(Killed):
        contact_key.rotate()
    monkeypatch.undo()
    settings.CONTACT_HASH_KEY_IN_FILE, settings.CONTACT_HASH_KEY_FILE = True, tmp_path / "keys"

    current, *kept = settings.CONTACT_HASH_KEY_FILE.read_text().split()
    settings.CONTACT_HASH_KEY, settings.CONTACT_HASH_KEYS_KEPT = current, tuple(kept)  # a restart
    assert hash_key_problem() == ""
    assert reason(lead_id="L-1") == "within_window"
    assert contact_key.rotate() == (2, 1)
    assert set(settings.CONTACT_HASH_KEY_FILE.read_text().split()) == {current, *kept}, "no further key"
    assert (first,) == settings.CONTACT_HASH_KEYS_KEPT
    assert settings.CONTACT_HASH_KEY_FILE.stat().st_mode & 0o777 == 0o600
    assert contact_key.rotate() == (3, 1)
    assert HashKeyCheck.objects.get(pk=3).moved_at is not None
