"""Nothing holds SQLite's one writer longer than half a second: a switch that is turned waits for it."""

from __future__ import annotations

import csv
import gc
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from buyers.models import Buyer
from buyers.services import record_feedback, recount_node
from followups.intake.services import import_leads
from followups.models import ContactPoint, FollowUpTask, Lead
from followups.services import (
    Completion,
    bring_back_held,
    complete_for,
    complete_task,
    mark_shared,
    realign_due,
    reassign_found,
    request_realigning,
    snapshot_sla,
    stop_ladder,
)
from followups.services.opt_outs import LEADS_AT_ONCE, _undo_part, presses_to_undo, undo_opt_out
from followups.services.sharing import MOST_LEADS
from followups.services.sla import escalate_overdue
from followups.tests.factories import DAY, MINUTE, NOW, ladder
from governance.contact.do_not_call import import_do_not_call
from governance.core.actors import Actor
from governance.core.errors import Invalid
from governance.core.places import ZONES, Place
from governance.kpi.models import KpiEvent
from governance.kpi.services import Kpi, emit_kpis
from governance.market.models import MarketPolicy
from governance.models import User
from governance.retention import registry
from governance.retention.services import BATCH, remove_step

log = logging.getLogger(__name__)
# the same on both databases, but PostgreSQL's own time is not this process's
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
People = Callable[..., Actor]
MOST = 0.5  # seconds
LEADS = 120


class Holds:
    """How long each transaction took, in seconds of this thread: other processes slow the wall's clock."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._begun: list[float] = []

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Judge the transactions of the block."""
        self.seconds.clear()
        yield
        assert self.seconds, f"{what}: nothing was written"
        longest = max(self.seconds)
        log.warning("%s: %.0f ms at most, %s transactions", what, 1000 * longest, len(self.seconds))
        assert longest < MOST, what

    def begin(self) -> None:
        self._begun.append(time.thread_time())

    def end(self) -> None:
        if self._begun:
            self.seconds.append(time.thread_time() - self._begun.pop())


@pytest.fixture
def holds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Holds]:
    found = Holds()
    gc.collect()
    gc.freeze()  # what thousands of earlier tests left in memory is not searched within a transaction
    enter, leave = transaction.Atomic.__enter__, transaction.Atomic.__exit__

    def entered(self: Any) -> None:
        outermost = not connection.in_atomic_block
        enter(self)
        if outermost:
            found.begin()

    def left(self: Any, *given: Any) -> None:
        try:
            leave(self, *given)
        finally:
            if not connection.in_atomic_block:
                found.end()

    monkeypatch.setattr(transaction.Atomic, "__enter__", entered)
    monkeypatch.setattr(transaction.Atomic, "__exit__", left)
    yield found
    gc.unfreeze()


def sheet(folder: Path, *, province: str = "ON", phone: str = "", name: str = "") -> Path:
    path = folder / "leads.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["Lead ID", "Province", "Name", "Phone", "Email"])
        for n in range(LEADS):
            rows.writerow(
                [
                    f"L-{n:05d}",
                    province,
                    name or f"Seller {n}",
                    phone or f"416 555 {n:04d}",
                    f"a{n}@example.ca",
                ]
            )
    return path


def test_an_import_of_leads_holds_it_for_a_batch_alone(by: People, holds: Holds, tmp_path: Path) -> None:
    who = by("MANAGER")
    with holds.of("new leads"):
        import_leads(sheet(tmp_path), by=who, at=NOW)
    with holds.of("their ladders"):
        import_leads(sheet(tmp_path), by=who, at=NOW, ladders=True)
    with holds.of("leads that moved, with their tasks"):
        counts = import_leads(sheet(tmp_path, province="MB"), by=who, at=NOW)
    assert counts.moved == LEADS
    assert set(FollowUpTask.objects.values_list("province", flat=True)) == {"MB"}


def test_so_does_one_whose_leads_all_have_one_number(by: People, holds: Holds, tmp_path: Path) -> None:
    who, number = by("MANAGER"), "416 555 0199"
    with holds.of("ladders of a shared number"):
        import_leads(sheet(tmp_path, phone=number), by=who, at=NOW, ladders=True)
    with holds.of("leads that turn out to be one person"):
        import_leads(sheet(tmp_path, phone=number, name="Anne Tremblay"), by=who, at=NOW)
    waiting = FollowUpTask.objects.filter(step=1, held_reason="person_active")
    assert waiting.count() == LEADS - 1
    point = ContactPoint.objects.filter(kind="PHONE")[0]
    with holds.of("a number marked as shared"):
        mark_shared(point.pk, "AGENT", by=who, at=NOW)
    with holds.of("held tasks brought back"):
        for minute in range(1, 16):
            bring_back_held(NOW + minute * MINUTE)
    assert not waiting.exists()
    with holds.of("a mark taken back"):
        mark_shared(point.pk, "", by=who, at=NOW)
    with holds.of("an opt-out of them all"):
        complete_task(
            FollowUpTask.objects.filter(is_current=True)[0].pk, Completion("OPTED_OUT"), by=who, at=NOW
        )
    assert set(Lead.objects.values_list("status", flat=True)) == {"DEAD"}


def test_so_does_a_call_that_is_recorded_on_twenty_leads(by: People, holds: Holds) -> None:
    who = by("VA")
    first, *others = [ladder(who, f"L-{n}", name=f"Seller {n}").tasks[0] for n in range(MOST_LEADS + 2)]
    also = [task.lead_id for task in others]
    with pytest.raises(Invalid):
        complete_for(first.pk, Completion("SENT"), by=who, at=NOW, also=also)
    for task, outcome in ((first, "SENT"), (others.pop(), "REACHED")):
        with holds.of(f"{outcome} on twenty leads"):
            complete_for(task.pk, Completion(outcome), by=who, at=NOW, also=[one.lead_id for one in others])
    assert FollowUpTask.objects.filter(status="COMPLETED").count() == 1 + 20 + 1 + 20


def test_so_does_an_opt_out_that_is_taken_back_on_twenty_leads(by: People, holds: Holds) -> None:
    """They have an agent's number; of those that a first click left out the next one takes care."""
    who = by("VA")
    tasks = [ladder(who, f"L-{n}", name=f"Seller {n}").tasks[0] for n in range(20)]
    said = Completion("OPTED_OUT", by_key=True)
    complete_task(tasks[0].pk, said, by=who, at=NOW + MINUTE)
    assert set(Lead.objects.values_list("status", flat=True)) == {"DEAD"}
    (press,) = presses_to_undo(who, NOW + 2 * MINUTE)
    first = _undo_part(press.pk, by=who, at=NOW + 2 * MINUTE)
    assert first.undone_at is None
    assert Lead.objects.filter(status="WORKING").count() == LEADS_AT_ONCE
    assert [one.pk for one in presses_to_undo(who, NOW + 3 * MINUTE)] == [press.pk]
    with holds.of("an opt-out taken back"):
        undo_opt_out(press.pk, by=who, at=NOW + 3 * MINUTE)
    assert set(Lead.objects.values_list("status", flat=True)) == {"WORKING"}
    assert FollowUpTask.objects.filter(status="OPEN").count() == 20 * 6 - 1
    assert presses_to_undo(who, NOW + 3 * MINUTE) == []


def test_so_do_jobs_and_acts_on_many_tasks(by: People, holds: Holds, tmp_path: Path) -> None:
    who = by("MANAGER")
    import_leads(sheet(tmp_path), by=who, at=NOW, ladders=True)
    request_realigning("ON", who, NOW)
    MarketPolicy.objects.update(timezone="America/Vancouver")
    with holds.of("realigning"):
        moved = realign_due(NOW + MINUTE, seconds=60)
    assert moved > LEADS
    with holds.of("reassigning by filter"):
        reassign_found({"province": "ON"}, "vera", by=who, at=NOW, reason="ill")
    with holds.of("escalating"):
        escalate_overdue(NOW + 30 * DAY)
    numbers = tmp_path / "list.txt"
    numbers.write_text("\n".join(f"416555{n:04d}" for n in range(2000)))
    with holds.of("the national list"):
        import_do_not_call(numbers, list_date=NOW.date(), by=who, at=NOW)
    with holds.of("the day's SLA"):
        snapshot_sla(NOW + DAY)


def test_so_do_retention_and_a_recount(by: People, holds: Holds, databases_clock: None) -> None:
    who, now = by("MANAGER"), timezone.now()
    old = now - 3000 * DAY
    with transaction.atomic():
        emit_kpis([Kpi("TEST", "old", True, None, {"n": n}) for n in range(BATCH + 10)], by=who, at=old)
    rule = registry.rule_of("kpi_events")
    assert rule is not None
    with holds.of("a step of retention"):
        removed = remove_step(rule, now - 2557 * DAY, by=who, at=now, most=BATCH)
    assert removed >= BATCH
    assert KpiEvent.objects.count() <= 10
    with transaction.atomic():
        for n in range(300):
            answer = record_feedback(Place.read("ON"), "SFR", "BOUGHT", by=who, at=now, buyer_id=f"B-{n}")
    with holds.of("a recount of a market"):
        recount_node(answer.node.pk, repair=True, fall_out=True, by=who, at=now + 100 * DAY)


def upload(manager: Client, screen: str, *lines: str) -> None:
    """Import a file by its page: look at what it would do, then do it."""
    file = SimpleUploadedFile("rows.csv", "\n".join(lines).encode(), content_type="text/csv")
    shown = manager.post(f"/admin/{screen}/import/", {"file": file})
    assert shown.status_code == 200
    assert shown.context_data is not None
    given = {"rows": shown.context_data["rows"], "_import": "1", "reason": "a new year"}
    assert manager.post(f"/admin/{screen}/import/", given).status_code == 302


def test_so_does_a_file_that_a_manager_imports(
    person: Callable[..., User], client: Client, holds: Holds
) -> None:
    client.force_login(person("MANAGER"))
    with holds.of("buyers"):
        upload(client, "buyers/buyer", "external id,name", *(f"B-{n},Buyer {n}" for n in range(LEADS)))
    assert Buyer.objects.count() == LEADS
    with holds.of("opt-outs"):
        upload(
            client,
            "governance/suppression",
            "Phone or e-mail,channel,source,action",
            *(f"416555{n:04d},,," for n in range(LEADS)),
        )
    policies = [f"{province},MARKET {n},no" for province in ZONES for n in range(LEADS // 13)]
    with holds.of("market policies"):
        upload(client, "governance/marketpolicy", "Province,Market,Enabled", *policies)
    assert MarketPolicy.objects.filter(enabled=False).count() == len(policies)


def test_what_must_not_be_written_is_noticed(by: People, holds: Holds) -> None:
    made = ladder(by("MANAGER"))

    def slow(at: datetime) -> None:
        with transaction.atomic():
            until = time.thread_time() + MOST
            while time.thread_time() < until:
                pass
            stop_ladder(made.ladder.pk, by=by("MANAGER"), at=at, reason="for a test")

    with pytest.raises(AssertionError, match="too long"), holds.of("too long"):
        slow(NOW)
