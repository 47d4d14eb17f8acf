"""Jobs are run by hand at most once at a time, and paused with a reason that no restart undoes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from pytest_django import DjangoAssertNumQueries

from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid
from governance.models import JobSlot, JobSwitch, User
from governance.outbox import jobs
from governance.outbox.jobs import run_by_hand, run_once
from governance.outbox.services import beat
from governance.outbox.switching import switch_job
from valhalla.pages.schedules import lines_at
from valhalla.scheduler import Entry
from valhalla.schedules import make_missing

pytestmark = [pytest.mark.both, pytest.mark.django_db]
AT = datetime(2026, 11, 24, 17, 3, 20, tzinfo=UTC)
NIGHTLY = "buyers.refresh_activity"
DISPATCH = "followups.dispatch_due"


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """A nightly job that notes when its work was done."""
    ran: list[datetime] = []

    def work(at: datetime) -> int:
        ran.append(at)
        return len(ran)

    monkeypatch.setitem(jobs.SLOTS, "test.night", "day")
    monkeypatch.setitem(jobs.WORK, "test.night", work)
    return ran


def test_a_run_by_hand_takes_the_slot_that_is_due(done: list[datetime]) -> None:
    assert run_by_hand("test.night", AT, "mona") == (True, 1)
    assert JobSlot.objects.get().by_hand == "mona"
    assert run_once("test.night", "day", jobs.WORK["test.night"], AT + timedelta(hours=1)) is None
    assert done == [AT]


def test_nothing_is_begun_while_the_job_runs(done: list[datetime]) -> None:
    JobSlot.objects.create(job="test.night", slot="2026-11-24", started_at=AT - timedelta(minutes=1))
    assert run_by_hand("test.night", AT, "mona") == (False, None)
    assert done == []


def test_a_day_that_is_done_is_run_again_by_hand_but_once_a_minute(done: list[datetime]) -> None:
    run_once("test.night", "day", jobs.WORK["test.night"], AT - timedelta(hours=9))
    assert run_by_hand("test.night", AT, "mona") == (True, 2)
    assert run_by_hand("test.night", AT + timedelta(seconds=1), "morgan") == (False, None)
    slots = list(JobSlot.objects.order_by("slot").values_list("slot", "by_hand"))
    assert slots == [("2026-11-24", ""), ("2026-11-24T17:03 by hand", "mona")]


def test_a_scheduler_that_takes_over_a_run_by_hand_is_not_told_as_a_person(done: list[datetime]) -> None:
    JobSlot.objects.create(job="test.night", slot="2026-11-24", started_at=AT, by_hand="mona")
    run_once("test.night", "day", jobs.WORK["test.night"], AT + jobs.TAKE_OVER_AFTER)
    assert JobSlot.objects.get().by_hand == ""


def test_a_pause_says_who_and_why_and_no_restart_ends_it(by: Callable[..., Actor]) -> None:
    make_missing(AT)
    mona = by("MANAGER", "mona")
    assert switch_job(NIGHTLY, paused=True, by=mona, at=AT, reason="stock-taking")
    assert not switch_job(NIGHTLY, paused=True, by=mona, at=AT, reason="again")

    make_missing(AT)
    assert not PeriodicTask.objects.get(task=NIGHTLY).enabled
    PeriodicTask.objects.get(task=NIGHTLY).delete()
    make_missing(AT)
    assert not PeriodicTask.objects.get(task=NIGHTLY).enabled, "a row that comes back is still paused"

    assert switch_job(NIGHTLY, paused=False, by=mona, at=AT + timedelta(hours=1), reason="counted")
    assert PeriodicTask.objects.get(task=NIGHTLY).enabled
    told = JobSwitch.objects.get().history.order_by("version").values_list("paused", "changed_by", "reason")
    assert list(told) == [(True, "mona", "stock-taking"), (False, "mona", "counted")]


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_a_pause_needs_a_reason(reason: str, by: Callable[..., Actor]) -> None:
    make_missing(AT)
    with pytest.raises(Invalid):
        switch_job(NIGHTLY, paused=True, by=by("MANAGER"), at=AT, reason=reason)


@pytest.mark.parametrize("role", ["VA", "CLOSER", "AUDITOR", "SERVICE"])
def test_only_a_manager_pauses(role: str, by: Callable[..., Actor]) -> None:
    make_missing(AT)
    with pytest.raises(Forbidden):
        switch_job(NIGHTLY, paused=True, by=by(role), at=AT, reason="x")


def test_a_scheduler_that_notes_a_run_does_not_undo_a_pause_made_meanwhile(by: Callable[..., Actor]) -> None:
    make_missing(AT)
    entry = Entry(PeriodicTask.objects.get(task=DISPATCH))
    entry = next(entry)
    switch_job(DISPATCH, paused=True, by=by("MANAGER"), at=AT, reason="mail server moves")
    entry.save()
    row = PeriodicTask.objects.get(task=DISPATCH)
    assert (row.enabled, row.total_run_count) == (False, 1)
    assert row.last_run_at, "the library’s own way writes the whole row and forgets this of a paused one"


def test_the_page_tells_in_words_and_a_manager_runs_and_pauses_there(
    client: Client, person: Callable[..., User], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    make_missing(timezone.now())
    client.force_login(person("MANAGER", "mona"))
    row = PeriodicTask.objects.get(task=DISPATCH)
    address = f"/admin/schedules/{row.pk}/"

    said = client.post(address, {"act": "run"}, follow=True).content.decode()
    assert "followups.dispatch_due ran: nothing to do." in said
    assert "every minute · ran" in said
    assert ", by mona, by hand · nothing to do" in said
    assert JobSlot.objects.get().job == DISPATCH
    logged = LogEntry.objects.get()
    assert (logged.user.get_username(), logged.object_repr.split(":")[0]) == ("mona", DISPATCH)
    assert logged.change_message == "Run by hand: nothing to do."
    under_way = JobSlot.objects.create(job=DISPATCH, slot="under way", started_at=timezone.now())
    client.post(address, {"act": "run"})
    under_way.delete()
    assert LogEntry.objects.count() == 1, "what was not begun is not kept as run"

    said = client.post(address, {"act": "pause", "reason": ""}, follow=True).content.decode()
    assert "Say why this changes" in said
    said = client.post(
        address, {"act": "pause", "reason": "the mail server moves"}, follow=True
    ).content.decode()
    assert "Paused by mona" in said
    assert "no e-mail is sent" in said
    assert "1 is paused" in client.get("/admin/").content.decode()
    for number in range(30):
        JobSlot.objects.create(job=DISPATCH, slot=f"2026-11-01T00:{number:02}", started_at=AT)
    with django_assert_num_queries(3):
        lines_at(timezone.now())

    client.post(address, {"act": "go_on", "reason": "it has moved"})
    row.refresh_from_db()
    assert row.enabled


def test_an_auditor_looks_and_does_nothing(client: Client, person: Callable[..., User]) -> None:
    make_missing(timezone.now())
    row = PeriodicTask.objects.get(task=DISPATCH)
    client.force_login(person("AUDITOR"))
    assert "Run now" not in client.get("/admin/schedules/").content.decode()
    said: dict[str, object] = {"act": "pause", "reason": "x"}
    assert client.post(f"/admin/schedules/{row.pk}/", said).status_code == 403


def test_a_nightly_job_that_is_done_runs_next_tomorrow() -> None:
    make_missing(AT)
    begun = datetime(2026, 11, 24, 8, 25, tzinfo=UTC)  # 3:25 in Toronto
    JobSlot.objects.create(
        job=NIGHTLY,
        slot="2026-11-24",
        started_at=begun,
        finished_at=begun + timedelta(seconds=2),
        result={"nodes": 3, "fell_out": 0},
    )
    PeriodicTask.objects.update(last_run_at=begun)

    line = next(line for line in lines_at(AT) if line.name == NIGHTLY)

    assert line.when.startswith("daily at 3:25, Toronto time")
    assert line.last.replace("\N{NO-BREAK SPACE}", " ") == "ran 8 hours ago, took 2.0 s"
    assert line.result == "3 markets recounted"
    assert line.next == "25 Nov., 03:25, Toronto time"


def test_a_nightly_job_is_watched_only_once_its_first_time_has_passed() -> None:
    make_missing(AT)
    PeriodicTask.objects.update(date_changed=AT)  # noon in Toronto

    def lights(at: datetime) -> dict[str, str]:
        return {line.name: line.state for line in lines_at(at)}

    before, after = lights(AT + timedelta(hours=15)), lights(AT + timedelta(hours=16))
    assert (before[NIGHTLY], after[NIGHTLY], after["governance.evaluate_tripwires"]) == (
        "good",
        "watch",
        "good",
    )
    assert before[DISPATCH] == "watch", "one of every minute was due at once"
    PeriodicTask.objects.update(last_run_at=AT + timedelta(hours=16))
    assert lights(AT + timedelta(hours=17))[NIGHTLY] == "watch", "handed over, and no run came of it"


def test_the_page_says_in_front_that_nothing_is_started_by_itself(
    client: Client, person: Callable[..., User], by: Callable[..., Actor]
) -> None:
    now = timezone.now()
    make_missing(now)
    client.force_login(person("MANAGER", "mona"))

    def said() -> str:
        return str(client.get("/admin/schedules/").context["silent"])

    assert said().startswith("No job starts by itself: the scheduler has never run.")
    beat(now - timedelta(minutes=6))
    assert said().startswith("No job starts by itself: the scheduler has not run since ")
    switch_job("governance.heartbeat", paused=True, by=by("MANAGER"), at=now, reason="quiet")
    assert said() == "", "a paused heartbeat shows nothing either way"
    switch_job("governance.heartbeat", paused=False, by=by("MANAGER"), at=now, reason="on")
    beat(timezone.now())
    assert said() == ""
