"""Scenes for the tests of the pages: leads with ladders, begun through the services."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from followups import services
from followups.models import FollowUpTask, LadderTemplate
from governance.core.actors import Actor

# A Tuesday, 10:00 in Toronto, where contact is allowed from 09:00 to 20:00.
NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
NIGHT = datetime(2026, 11, 25, 2, 35, tzinfo=UTC)  # 21:35 of the same day, after the law's hours for calls
SOMEBODY = Actor.system("tests")


def begin(lead_id: str, *, at: datetime = NOW, owner: str = "", **details: Any) -> FollowUpTask:
    """Begin a ladder in Toronto and return its first task, a text message that is due at once."""
    said = {
        "name": f"Lead {lead_id}",
        "city": "Toronto",
        "phone": "416 555 0100",
        "language": "en",
        **details,
    }
    place = {"province": said.pop("province", "ON"), "market": said.pop("market", "ALL")}
    made = services.create_ladder(
        lead_id, by=SOMEBODY, at=at, owner=owner, details=services.LeadDetails(**said), **place
    )
    return made.tasks[0]


def many(count: int, *, at: datetime = NOW, **details: Any) -> list[FollowUpTask]:
    """Begin ladders for several leads, one second after another."""
    return [
        begin(f"L-{n}", at=at + timedelta(seconds=n), phone=f"416 555 {n:04d}", **details)
        for n in range(1, count + 1)
    ]


def call_step(lead_id: str, *, at: datetime = NOW, **details: Any) -> FollowUpTask:
    """Begin a ladder, complete its text message and return the call that follows, due 30 minutes later."""
    first = begin(lead_id, at=at, **details)
    done = services.complete_task(first.pk, services.Completion(), by=SOMEBODY, at=at)
    assert done.next_task is not None
    return done.next_task


def with_scripts() -> None:
    """Give the default template's first two steps something to say."""
    template = LadderTemplate.objects.get(province="")
    template.steps[0]["script_en"] = "Hello, are you still thinking of selling?"
    template.steps[0]["script_fr"] = "Bonjour, pensez-vous toujours à vendre?"
    template.steps[1]["script_en"] = "Good morning, it is about your house."
    LadderTemplate.objects.filter(pk=template.pk).update(steps=template.steps)
