"""Several people are planned at once, with a reason; a token ends with one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.test import Client

from followups.models import FollowUpTask
from followups.tests.scenes import begin
from governance.accounts.querysets import at_work
from governance.accounts.services import mark_away, set_shifts
from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid
from governance.core.hours import Window
from governance.models import Absence, User, WorkProfile

pytestmark = pytest.mark.django_db
AT = datetime(2026, 11, 24, 17, tzinfo=UTC)
FIRST, LAST = date(2026, 12, 24), date(2026, 12, 26)

People = Callable[..., User]


def test_people_are_away_on_whole_days_of_their_own_zone_and_a_repeat_changes_nothing(
    person: People, by: Callable[..., Actor]
) -> None:
    east, west = person("VA", "amara"), person("VA", "wendy")
    WorkProfile.objects.create(user=west, zone="America/Regina")
    said: dict[str, Any] = {"by": by("MANAGER", "mona"), "at": AT, "reason": "holidays"}

    made = mark_away([east.pk, west.pk], FIRST, LAST, **said)

    assert [(row.user.username, row.starts_at, row.ends_at, row.marked_by) for row in made] == [
        ("amara", datetime(2026, 12, 24, 5, tzinfo=UTC), datetime(2026, 12, 27, 5, tzinfo=UTC), "mona"),
        ("wendy", datetime(2026, 12, 24, 6, tzinfo=UTC), datetime(2026, 12, 27, 6, tzinfo=UTC), "mona"),
    ]
    working = set(at_work(datetime(2026, 12, 25, tzinfo=UTC)).values_list("username", flat=True))
    assert not working & {"amara", "wendy"}
    assert mark_away([east.pk, west.pk], FIRST, LAST, **said) == []
    assert Absence.objects.count() == 2


@pytest.mark.parametrize(
    ("first", "last", "reason"),
    [
        (LAST, FIRST, "holidays"),
        (FIRST, date(9999, 12, 31), "holidays"),
        (date(1, 1, 1), date(1, 1, 2), "holidays"),
        (FIRST, LAST, " "),
        (FIRST, LAST, "x" * 201),
    ],
)
def test_days_that_cannot_be_and_a_missing_reason_are_refused(
    first: date, last: date, reason: str, person: People, by: Callable[..., Actor]
) -> None:
    with pytest.raises(Invalid):
        mark_away([person("VA", "amara").pk], first, last, by=by("MANAGER"), at=AT, reason=reason)
    assert not Absence.objects.exists()


@pytest.mark.parametrize("role", ["VA", "CLOSER", "AUDITOR", "SERVICE"])
def test_only_a_manager_plans_when_people_work(role: str, person: People, by: Callable[..., Actor]) -> None:
    amara, week = person("VA", "amara"), [Window((0, 1), 540, 1020)]
    with pytest.raises(Forbidden):
        mark_away([amara.pk], FIRST, LAST, by=by(role), at=AT, reason="x")
    with pytest.raises(Forbidden):
        set_shifts([amara.pk], week, by=by(role), at=AT, reason="x")


def test_several_people_get_the_same_shifts_in_one_form(client: Client, person: People) -> None:
    people = [person("VA", name) for name in ("amara", "ben")]
    client.force_login(person("MANAGER", "mona"))
    form = {
        "action": "set_shifts",
        "_selected_action": [user.pk for user in people],
        "apply": "1",
        "days": ["0", "5"],
        "hours": "9-12, 13-17",
        "reason": "winter",
    }
    wrong = client.post("/admin/governance/user/", {**form, "hours": "soon"}).content.decode()
    assert "is not valid" in wrong

    client.post("/admin/governance/user/", form)

    week = [
        {"days": [0, 5], "start": "09:00", "end": "12:00"},
        {"days": [0, 5], "start": "13:00", "end": "17:00"},
    ]
    assert [profile.shifts for profile in WorkProfile.objects.all()] == [week, week]
    history = client.get(f"/admin/governance/user/{people[0].pk}/history/").content.decode()
    assert "Shifts changed: winter" in history
    client.force_login(person("AUDITOR", "audrey"))
    profile = WorkProfile.objects.get(user=people[0])
    for page in (f"workprofile/{profile.pk}", f"user/{people[0].pk}"):
        told = client.get(f"/admin/governance/{page}/change/").content.decode()
        assert told.count("Monday 09:00 to 12:00 and 13:00 to 17:00, Saturday 09:00 to 12:00 and 13:") == 1
        assert "&quot;days&quot;" not in told


def test_before_people_are_marked_away_their_open_tasks_are_shown(client: Client, person: People) -> None:
    amara = person("VA", "amara")
    begin("L-1", owner="amara")
    count = FollowUpTask.objects.open().filter(owner_key="amara").count()
    assert count > 1
    client.force_login(person("MANAGER", "mona"))

    page = client.post("/admin/governance/user/", {"action": "mark_away", "_selected_action": [amara.pk]})

    assert f"amara · {count} open tasks" in page.content.decode()
    assert "offered to everybody else" in page.content.decode()
    assert not Absence.objects.exists()
