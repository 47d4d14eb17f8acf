"""The jobs of follow-ups, as the scheduler runs them: they read the clock and call a service."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import time_machine
from django.core import mail

from followups import tasks
from followups.models import FollowUpTask, RealignRequest, SlaSnapshot
from followups.services import claim_due
from followups.tests.factories import DAY, HOUR, MINUTE, NOW, fresh, ladder, local_times, set_policy, steps_of
from governance.core.actors import Actor
from governance.models import ContactDecision, JobSlot, KpiEvent, OutboxMessage, User
from governance.outbox.services import post_message

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]


def test_every_minute_claims_are_freed_held_tasks_looked_at_and_messages_sent(by: People) -> None:
    made = ladder(by("VA"))
    claim_due(by=by("VA"), at=NOW)
    FollowUpTask.objects.filter(pk=made.tasks[5].pk).update(due_at=None, held_reason="policy_disabled")
    post_message("note", "boss@example.ca", "Hello", "Text", once="note", at=NOW)
    set_policy(by("MANAGER"), rules={"min_lead_score_to_contact": 0.5})
    with time_machine.travel(NOW + 20 * MINUTE, tick=False):
        found = tasks.dispatch_due()
        assert found == {
            "claims_freed": 1,
            "held_looked_at": 1,
            "realigned": 0,
            "nurture_started": 0,
            "unopened_reported": 0,
            "messages_sent": 1,
        }
        assert tasks.dispatch_due() is None  # the minute is done
    assert (fresh(made.tasks[0]).claimed_by, len(mail.outbox)) == ("", 1)
    assert local_times(steps_of(made))[5] == "Wed 02 14:30"
    assert RealignRequest.objects.get().done_at is not None
    with time_machine.travel(NOW + 21 * MINUTE, tick=False):
        assert set(tasks.dispatch_due().values()) == {0}


def test_a_change_of_policy_is_worked_through_within_the_minute(by: People) -> None:
    made = ladder(by("VA"))
    late = {"contact_windows_local": [{"days": [0, 1, 2, 3, 4], "start": "16:00", "end": "20:00"}]}
    set_policy(by("MANAGER"), rules=late)
    with time_machine.travel(NOW + MINUTE, tick=False):
        assert tasks.dispatch_due()["realigned"] == 4
    assert local_times(steps_of(made))[1] == "Wed 25 16:00"


def test_late_tasks_are_counted_and_the_digest_goes_out(by: People) -> None:
    by("MANAGER", "mia")
    User.objects.filter(username="mia").update(email="mia@example.ca")
    made = ladder(by("VA"))
    with time_machine.travel(NOW + 3 * HOUR, tick=False):
        assert tasks.escalate_overdue() == 2  # the second step was due at 15:00
        assert tasks.escalate_overdue() is None
        tasks.dispatch_due()
    assert KpiEvent.objects.filter(metric="followup_sla", success=False).count() == 2
    assert [message.to for message in mail.outbox] == [["mia@example.ca"]]
    assert OutboxMessage.objects.filter(sent_at=None).count() == 0
    assert fresh(made.tasks[0]).status == "OPEN"


def test_the_daily_snapshot(by: People) -> None:
    ladder(by("VA"))
    with time_machine.travel(NOW + DAY, tick=False):
        assert (
            tasks.snapshot_sla() == 1 + 1 + 1 + 2 + 3
        )  # all; the owner, the province, two channels, three steps
        assert tasks.snapshot_sla() is None
    assert set(SlaSnapshot.objects.values_list("dimension", flat=True)) == {
        "ALL",
        "OWNER",
        "PROVINCE",
        "CHANNEL",
        "STEP",
    }


def test_jobs_contact_nobody(by: People) -> None:
    ladder(by("VA"))
    with time_machine.travel(NOW + DAY, tick=False):
        for job in (tasks.dispatch_due, tasks.escalate_overdue, tasks.realign_due, tasks.snapshot_sla):
            job()
    assert not ContactDecision.objects.exists()
    assert JobSlot.objects.filter(error="").count() == 4
