"""Messages are sent once, and one that cannot be sent stops no other."""

from __future__ import annotations

import smtplib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from pytest_django import Settings

from governance.core.actors import Actor
from governance.models import OutboxMessage, User
from governance.outbox import services
from governance.outbox.jobs import each
from governance.outbox.services import drain_outbox, post_message
from valhalla.testing import at_once

NOW = datetime(2026, 11, 24, 15, 7, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WAITS = (0, 2, 8, 32, 128)  # minutes before each try

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., Actor]


class Killed(BaseException):
    """Nothing of the sender's code runs on after it, as after a SIGKILL."""


class Server(EmailBackend):
    """A mail server that refuses poison, brings down who sends a killer, and is away when told to be."""

    away = False
    opened = 0

    def open(self) -> bool:
        if Server.away:
            raise ConnectionRefusedError
        Server.opened += 1
        return True

    def send_messages(self, messages: Sequence[Any]) -> int:
        if any("poison" in message.to[0] for message in messages):
            raise smtplib.SMTPRecipientsRefused({})
        if any("killer" in message.to[0] for message in messages):
            raise Killed
        return super().send_messages(messages)


@pytest.fixture(autouse=True)
def _server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.Server"
    monkeypatch.setattr(Server, "away", False)
    monkeypatch.setattr(Server, "opened", 0)


@pytest.fixture
def manager(by: People) -> None:
    by("MANAGER", "mia")
    User.objects.filter(username="mia").update(email="mia@example.ca")


def post(to: str, at: datetime = NOW, kind: str = "note") -> OutboxMessage:
    post_message(kind, to, "Subject", "Text", once=f"{kind}:{to}", at=at)
    return OutboxMessage.objects.get(dedupe=f"{kind}:{to}")


def receivers() -> list[str]:
    return [message.to[0] for message in mail.outbox]


def drain_at_every_try() -> datetime:
    """Drain at each of the five instants at which a message that fails is tried."""
    at = NOW
    for wait in WAITS:
        at += wait * MINUTE
        drain_outbox(at)
    return at


def test_a_message_is_sent_once() -> None:
    post("ann@example.ca")

    assert (drain_outbox(NOW), drain_outbox(NOW), drain_outbox(NOW + 10 * MINUTE)) == (1, 0, 0)
    assert receivers() == ["ann@example.ca"]


def test_a_poison_message_stops_no_other() -> None:
    poison = post("poison@example.ca")
    for number in range(3):
        post(f"ann-{number}@example.ca")

    assert drain_outbox(NOW) == 3
    poison.refresh_from_db()
    assert (poison.attempts, poison.last_error, poison.sent_at) == (1, "SMTPRecipientsRefused", None)


def test_a_message_that_fails_is_tried_five_times_with_growing_waits_and_then_given_up() -> None:
    poison = post("poison@example.ca")
    tried: list[int] = []
    for minute in range(sum(WAITS) + 600):
        drain_outbox(NOW + minute * MINUTE)
        before, poison = poison.attempts, OutboxMessage.objects.get()
        tried += [minute] * (poison.attempts - before)

    assert tried == [0, 2, 10, 42, 170]
    assert poison.dead_at == NOW + 170 * MINUTE
    assert poison.sent_at is None


def test_managers_are_told_of_a_message_that_was_given_up(manager: None) -> None:
    post("poison@example.ca")
    drain_at_every_try()

    (notice,) = mail.outbox
    assert notice.to == ["mia@example.ca"]
    assert "“Subject” to poison@example.ca failed 5 times and will not be tried again" in str(notice.body)


def test_managers_are_told_once_a_day_however_many_are_given_up(manager: None) -> None:
    for number in range(3):
        post(f"poison-{number}@example.ca")
    drain_at_every_try()

    assert OutboxMessage.objects.exclude(dead_at=None).count() == 3
    assert receivers() == ["mia@example.ca"]


def test_of_a_notice_that_is_given_up_itself_nobody_is_told(manager: None) -> None:
    post("poison@example.ca", kind=services.GIVEN_UP)
    drain_at_every_try()

    (notice,) = OutboxMessage.objects.all()
    assert notice.dead_at is not None


def test_a_message_that_kills_its_sender_each_time_is_given_up_too(manager: None) -> None:
    post("killer@example.ca")
    at = NOW
    for wait in WAITS:
        at += wait * MINUTE
        with pytest.raises(Killed):
            drain_outbox(at)
    drain_outbox(at + 2 * MINUTE)

    dead = OutboxMessage.objects.get(to="killer@example.ca")
    assert (dead.attempts, dead.last_error, dead.sent_at) == (5, "killed", None)
    assert dead.dead_at is not None
    assert receivers() == ["mia@example.ca"]


def test_while_the_mail_server_is_away_messages_wait_and_lose_no_try(monkeypatch: pytest.MonkeyPatch) -> None:
    post("ann@example.ca")
    with monkeypatch.context() as patch:
        patch.setattr(Server, "away", True)
        assert [drain_outbox(NOW + minute * MINUTE) for minute in range(60)] == [0] * 60
    assert OutboxMessage.objects.get().attempts == 0

    assert drain_outbox(NOW + 60 * MINUTE) == 1


def test_no_connection_is_made_for_nothing() -> None:
    assert drain_outbox(NOW) == 0
    assert Server.opened == 0


def test_a_slow_server_holds_a_run_up_for_seconds_and_the_next_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(4):
        post(f"ann-{number}@example.ca")
    clock = iter(range(0, 1000, 4))  # four seconds pass at each look
    monkeypatch.setattr(services, "time", SimpleNamespace(monotonic=lambda: next(clock)))

    assert drain_outbox(NOW) == 2
    assert drain_outbox(NOW) == 2
    assert len(set(receivers())) == 4


def test_one_run_sends_more_than_one_batch() -> None:
    for number in range(7):
        post(f"ann-{number}@example.ca")

    assert drain_outbox(NOW, limit=3) == 7


def test_both_copies_of_a_message_that_went_out_twice_carry_the_same_id() -> None:
    message = post("ann@example.ca")
    drain_outbox(NOW)
    OutboxMessage.objects.update(sent_at=None)  # as if its sender had been killed before it noted that
    drain_outbox(NOW + 2 * MINUTE)
    post("bob@example.ca", NOW + 2 * MINUTE)
    drain_outbox(NOW + 3 * MINUTE)

    first, copy, other = (str(found.extra_headers["Message-ID"]) for found in mail.outbox)
    assert first == copy == services.message_id(message)
    assert first != other
    assert first.endswith("@localhost>")


# --- jobs -------------------------------------------------------------------------------------------------


def test_a_step_of_a_job_that_fails_keeps_no_other_from_its_turn() -> None:
    done: list[str] = []

    def fail(at: datetime) -> int:
        raise LookupError("broken")

    def work(at: datetime) -> int:
        done.append("work")
        return 1

    with pytest.raises(LookupError):
        each(NOW, first=fail, second=work)
    assert done == ["work"]
    assert each(NOW, second=work) == {"second": 1}


# --- at once ----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_eight_who_drain_at_once_send_each_message_once() -> None:
    for number in range(40):
        post(f"ann-{number}@example.ca")

    at_once(drain_outbox, [NOW] * 8)

    assert set(Counter(receivers()).values()) == {1}
    assert OutboxMessage.objects.filter(sent_at=NOW, attempts=1).count() == len(mail.outbox) == 40


@pytest.mark.django_db(transaction=True)
def test_reading_what_waits_and_noting_it_then_would_send_it_to_all() -> None:
    """What must not be written: the variant against which the test above has been seen to fail."""
    post("ann@example.ca")
    all_have_read = threading.Barrier(8)

    def drain_naively(at: datetime) -> None:
        waiting = list(OutboxMessage.objects.filter(sent_at=None))
        all_have_read.wait(60)
        for message in waiting:
            mail.EmailMessage(message.subject, message.body, to=[message.to]).send()
            OutboxMessage.objects.filter(pk=message.pk).update(sent_at=at)

    at_once(drain_naively, [NOW] * 8)
    assert receivers() == ["ann@example.ca"] * 8
