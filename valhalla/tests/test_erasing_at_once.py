"""An erasure amid people who work on the same person: whoever comes first, nothing of them remains."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from followups import services
from followups.models import FollowUpTask, Lead
from followups.services import Completion, LeadDetails
from followups.tests.scenes import NOW
from followups.tests.test_followups_admin import lead_form
from governance.core.actors import Actor, Role
from governance.core.errors import NotFound
from governance.models import Erasure, User
from governance.retention.erasing import erase_person
from governance.retention.registry import LEAD
from valhalla.testing import at_once
from valhalla.tests.test_erasing import NAME, SHE, plain, tables_naming_them

pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def begin(lead_id: str, number: int, by: Actor) -> FollowUpTask:
    said = LeadDetails(name=NAME, city="Toronto", phone=f"514 239 7{number % 1000:03d}", notes=f"{SHE} notes")
    return services.create_ladder(lead_id, by=by, at=NOW, province="ON", details=said).tasks[0]


def erase_amid(
    people: int, by: Actor, make_client: Callable[[], APIClient], desk: Client, chance: random.Random
) -> None:
    """Work on so many leads from 32 clients, one of whose calls erases each of them."""
    tasks = [begin(f"L-{number}", number, by) for number in range(people)]
    forms = {task.pk: lead_form(task.lead) for task in tasks}

    def claim(task: FollowUpTask) -> None:
        headers = {"Idempotency-Key": f"claim-{task.pk}"}
        answer = make_client().post("/api/followups/due/claim", {"limit": 1}, headers=headers)
        assert answer.status_code == 200, answer.content

    def save_form(task: FollowUpTask) -> None:
        answer = desk.post(f"/admin/followups/lead/{task.lead_id}/change/", forms[task.pk])
        assert answer.status_code in (200, 302, 403), answer.content

    said = Completion(note=f"{SHE} note", happened=True)
    doors: dict[str, Callable[[FollowUpTask], object]] = {
        "complete": lambda task: services.complete_task(task.pk, said, by=by, at=NOW),
        "skip": lambda task: services.skip_task(task.pk, by=by, at=NOW, reason=f"{SHE} skip"),
        "inbound": lambda task: services.record_inbound(
            task.lead.external_id, by=by, at=NOW, channel="CALL", note=f"{SHE} call"
        ),
        "again": lambda task: begin(task.lead.external_id, task.pk, by),
        "claim": claim,
        "save": save_form,
        "erase": lambda task: erase_person(LEAD, task.lead_id, why="REQUESTED", by=by, at=NOW),
    }
    work = [(name, task) for task in tasks for name in doors]
    work += [("erase", task) for task in tasks]
    chance.shuffle(work)

    answers = at_once(lambda item: doors[item[0]](item[1]), work)

    erased = [answer for answer in answers if isinstance(answer, Erasure)]
    assert len(erased) == people == Erasure.objects.count()
    assert (
        sum(isinstance(answer, NotFound) and answer.code == "person_not_found" for answer in answers)
        == people
    )
    assert tables_naming_them() == {}
    assert Lead.objects.exclude(external_id__startswith="erased-").count() == 0
    assert FollowUpTask.objects.filter(status="OPEN").count() == 0


@pytest.fixture
def colleagues(person: Callable[..., User], api: Callable[..., APIClient]) -> tuple[Any, Client]:
    desk = Client()
    desk.force_login(person(Role.MANAGER))
    api(Role.VA, "vera")
    return (lambda: api(Role.VA, "vera")), desk


def test_nothing_remains_whoever_was_working_on_her(
    by: Callable[..., Actor], colleagues: Any, chance: random.Random
) -> None:
    make_client, desk = colleagues
    erase_amid(12, by(Role.MANAGER), make_client, desk, chance)


@pytest.mark.long
def test_nothing_remains_of_two_hundred(
    by: Callable[..., Actor], colleagues: Any, chance: random.Random
) -> None:
    make_client, desk = colleagues
    erase_amid(200, by(Role.MANAGER), make_client, desk, chance)


def test_sqlite_keeps_no_trace_in_its_file(by: Callable[..., Actor]) -> None:
    """What is deleted is overwritten; a file that only forgot where it was would still tell."""
    if connection.vendor != "sqlite":
        return
    path = Path(connection.settings_dict["NAME"])

    def told() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            assert cursor.fetchone()[0] == 0
        files = [file for file in path.parent.iterdir() if file.name.startswith(path.name)]
        return any(
            SHE.encode() in plain(file.read_bytes().decode("latin-1")).lower().encode() for file in files
        )

    with connection.cursor() as cursor:
        cursor.execute("PRAGMA secure_delete = OFF")
    task = begin("L-1", 1, by(Role.MANAGER))
    services.complete_task(
        task.pk, Completion(note=f"{SHE} " * 500, happened=True), by=by(Role.MANAGER), at=NOW
    )
    assert told()

    erase_person(LEAD, task.lead_id, why="REQUESTED", by=by(Role.MANAGER), at=NOW)

    assert tables_naming_them() == {}
    assert not told()
