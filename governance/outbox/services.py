"""Doing things once: idempotent answers, and messages that are sent later."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import OperationalError, connection, transaction
from django.db.models import Case, F, QuerySet, Value, When
from django.db.models.functions import Greatest
from django.utils.translation import gettext as _

from governance.core import hooks
from governance.core.errors import Refused
from governance.core.transactions import WriterBusy, in_transaction
from governance.outbox.models import MAX_ATTEMPTS, Heartbeat, IdempotentAnswer, OutboxMessage

log = logging.getLogger(__name__)

ANSWERS_KEPT = timedelta(hours=24)
HEARTBEAT = "jobs"
BEAT_WITHIN = timedelta(minutes=5)  # an older beat means that no jobs run
LOCK_WAIT = timedelta(seconds=10)
RETRY_AFTER = timedelta(minutes=2)
SECONDS = 10.0
GIVEN_UP = "message_given_up"


class MismatchedKey(Refused):
    """The key was used for another request."""

    status = 422


def request_hash(request: object) -> str:
    """Return the digest that identifies a request."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()


def _mismatched() -> MismatchedKey:
    return MismatchedKey("key_reused", _("This Idempotency-Key was used for another request; use a new one."))


def _claim_keys(user_id: int, hashes: Mapping[str, str], at: datetime) -> dict[str, int]:
    """Insert the rows of those keys that have none, and return their ids; wait for calls that hold them."""
    rows = IdempotentAnswer.objects.filter(user_id=user_id, key__in=list(hashes))
    expired = rows.filter(created_at__lt=at - ANSWERS_KEPT)
    if connection.vendor != "postgresql":  # SQLite has one writer: this request has waited already
        expired.delete()
        known = set(rows.values_list("key", flat=True))
        made = IdempotentAnswer.objects.bulk_create(
            IdempotentAnswer(user_id=user_id, key=key, request_hash=digest, created_at=at)
            for key, digest in hashes.items()
            if key not in known
        )
        return {row.key: row.pk for row in made}
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT // timedelta(milliseconds=1)}")
            expired.delete()
            cursor.execute(  # in one order, so that two calls never deadlock
                "INSERT INTO governance_idempotentanswer "
                "(user_id, key, request_hash, status, body, created_at) "
                "SELECT %s, key, digest, 0, '', %s "
                "FROM unnest(%s::text[], %s::text[]) AS given (key, digest) "
                "ORDER BY key ON CONFLICT DO NOTHING RETURNING key, id",
                [user_id, at, list(hashes), list(hashes.values())],
            )
            found = dict(cursor.fetchall())
            cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
            return found
    except OperationalError as busy:
        if getattr(busy.__cause__, "sqlstate", "") == "55P03":
            raise Refused(
                "key_in_use", _("The first request with this key is still running; try again in a moment.")
            ) from busy
        raise


def answer_once(
    *,
    user_id: int,
    key: str,
    request: object,
    at: datetime,
    handle: Callable[[], tuple[int, str, bool]],
) -> tuple[int, str, bool]:
    """Run `handle` once per user and key and return (status, body, replayed).

    `handle` returns the status, the rendered body and whether to store the answer; it runs in the same
    transaction as the row that stores its answer, again after a deadlock. A refusal is not stored and can be
    retried. Raises MismatchedKey `key_reused` (422) for another request with the key, Refused `key_in_use`
    after waiting 10 s for the first (on SQLite, for the writer), Unavailable `busy`.
    """
    digest = request_hash(request)
    mine = IdempotentAnswer.objects.filter(user_id=user_id, key=key)

    def once() -> tuple[int, str, bool]:
        while not _claim_keys(user_id, {key: digest}, at):
            stored = mine.first()
            if stored is None:  # deleted since, as older than 24 hours
                continue
            if stored.request_hash != digest:
                raise _mismatched()
            return stored.status, stored.body, True
        status, body, keep = handle()
        if keep:
            mine.update(status=status, body=body)
        else:
            mine.delete()
        return status, body, False

    try:
        return in_transaction(once, patience=LOCK_WAIT.total_seconds())
    except WriterBusy as busy:  # the owner of a running key is not visible before its row is written
        raise Refused(
            "key_in_use",
            _("A write is still in progress; try again in a moment with the same key."),
        ) from busy


def answer_each_once(
    *,
    user_id: int,
    requests: Mapping[str, object],
    at: datetime,
    handle: Callable[[list[str]], Sequence[tuple[int, str, bool]]],
) -> dict[str, tuple[int, str, bool] | Exception]:
    """Run `handle` once per user and key, for many keys inside the caller's transaction.

    Returns for each key what `answer_once` returns, or the MismatchedKey that it would raise. `handle` gets
    the keys that are new, in order, and may answer only the first of them; the rest, and what follows them,
    is left out. The answers and what was done are committed together. Raises Refused `key_in_use`.
    """
    hashes = {key: request_hash(request) for key, request in requests.items()}
    mine = _claim_keys(user_id, hashes, at)
    others = IdempotentAnswer.objects.filter(
        user_id=user_id, key__in=[key for key in hashes if key not in mine]
    )
    stored = {row.key: row for row in others}
    found: dict[str, tuple[int, str, bool] | Exception] = {}
    kept: list[IdempotentAnswer] = []
    answers = iter(handle([key for key in hashes if key in mine]))
    for key, digest in hashes.items():
        if key in mine:
            answer = next(answers, None)
            if answer is None:
                break
            status, body, keep = answer
            found[key] = status, body, False
            if keep:
                kept.append(IdempotentAnswer(pk=mine[key], key=key, status=status, body=body))
        elif key in stored and stored[key].request_hash == digest:
            found[key] = stored[key].status, stored[key].body, True
        else:
            found[key] = _mismatched()
    IdempotentAnswer.objects.bulk_update(kept, ["status", "body"])
    unkept = set(mine.values()) - {row.pk for row in kept}
    if unkept:
        IdempotentAnswer.objects.filter(pk__in=unkept).delete()
    return found


def purge_answers(at: datetime, limit: int = 5000) -> int:
    """Delete stored answers older than 24 hours; return how many."""
    old = IdempotentAnswer.objects.filter(created_at__lt=at - ANSWERS_KEPT).values("pk")[:limit]
    return IdempotentAnswer.objects.filter(pk__in=list(old.values_list("pk", flat=True))).delete()[0]


def post_message(
    kind: str, to: str, subject: str, body: str, *, once: str, at: datetime, correlation_id: str = ""
) -> None:
    """Write a message to be sent by the sending job; a second one with the same `once` is not written."""
    OutboxMessage.objects.bulk_create(
        [
            OutboxMessage(
                kind=kind, to=to, subject=subject, body=body, dedupe=once,
                correlation_id=correlation_id, created_at=at, not_before=at,
            )
        ],
        ignore_conflicts=True,
    )  # fmt: skip


def drain_outbox(at: datetime, limit: int = 50, seconds: float | None = None) -> int:
    """Send queued messages for at most `seconds`, by default 10, plus the time of the last; return how many.

    Each is claimed by a conditional update before it is sent, so two senders never send the same. If a sender
    is killed after the mail server accepted a message and before that was recorded, it is sent again after
    RETRY_AFTER: mail cannot be sent exactly once. Both copies have the same Message-ID, by which mail systems
    recognize them as one. A message that fails waits 2, 8, 32 and 128 minutes and fails permanently at the
    fifth attempt. While the mail server is unreachable, messages wait and no attempt is counted.
    """
    until = time.monotonic() + (SECONDS if seconds is None else seconds)
    waiting = OutboxMessage.objects.filter(sent_at=None, dead_at=None, not_before__lte=at)
    sent = 0
    mail = get_connection()
    try:
        while batch := list(waiting.order_by("not_before", "pk")[:limit]):
            for message in batch:
                if time.monotonic() > until or not _opened(mail):
                    return sent
                sent += _send(message, mail, at)
    finally:
        mail.close()
    return sent


def _opened(mail: BaseEmailBackend) -> bool:
    """Open the connection to the mail server, if needed; return False while the server is unreachable."""
    try:
        mail.open()
    except Exception as problem:  # SMTP's, the network's, or a folder that cannot be written to
        log.warning("messages wait for the mail server: %s", type(problem).__name__)
        return False
    return True


def _send(message: OutboxMessage, mail: BaseEmailBackend, at: datetime) -> int:
    """Claim and send one message; return 1 if it was sent."""
    row = OutboxMessage.objects.filter(pk=message.pk, sent_at=None, dead_at=None)
    mine = row.filter(attempts=message.attempts, not_before=message.not_before)
    if message.attempts >= MAX_ATTEMPTS:  # the sender itself was killed at the last attempt
        _give_up(message, mine, message.last_error or "killed", at)
        return 0
    wait = RETRY_AFTER * (4**message.attempts if message.attempts + 1 < MAX_ATTEMPTS else 1)
    if not mine.update(attempts=F("attempts") + 1, not_before=at + wait):
        return 0
    try:
        EmailMessage(
            message.subject,
            message.body,
            to=[message.to],
            connection=mail,
            headers={"Message-ID": message_id(message)},
        ).send()
    except Exception as problem:  # whatever the mail server's error, the message stays for the next attempt
        log.warning("outbox message %s failed: %s", message.pk, type(problem).__name__)
        mail.close()  # the next message must not get a connection in the middle of this one
        if message.attempts + 1 >= MAX_ATTEMPTS:
            _give_up(message, row, type(problem).__name__, at)
        else:
            row.update(last_error=type(problem).__name__)
        return 0
    row.update(sent_at=at, last_error="")
    return 1


def message_id(message: OutboxMessage) -> str:
    """Return the Message-ID of an outbox message, the same at every attempt."""
    once = f"{message.dedupe} {message.created_at.isoformat()}"
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    return f"<{hashlib.sha256(once.encode()).hexdigest()[:32]}@{domain}>"


def _give_up(message: OutboxMessage, row: QuerySet[OutboxMessage], why: str, at: datetime) -> None:
    """Mark a message as failed permanently and notify the managers, once a day; not for failing notices."""
    with transaction.atomic():
        if not row.update(dead_at=at, last_error=why):
            return
        log.error("outbox message %s was given up: %s", message.pk, why)
        if message.kind == GIVEN_UP:
            return
        for address in {address for found in hooks.told_of_trouble.ask() for address in found}:
            post_message(
                GIVEN_UP,
                address,
                _("A message could not be sent"),
                _(
                    "“%(subject)s” to %(to)s failed %(tries)s times and will not be tried again: %(why)s. "
                    "Messages that failed permanently are listed in admin under outbox messages."
                )
                % {"subject": message.subject, "to": message.to, "tries": MAX_ATTEMPTS, "why": why},
                once=f"given-up:{address}:{at:%Y-%m-%d}",
                at=at,
                correlation_id=message.correlation_id,
            )


def last_beat() -> datetime | None:
    """Return when the jobs last reported that they run; None if never."""
    found: datetime | None = Heartbeat.objects.filter(name=HEARTBEAT).values_list("at", flat=True).first()
    return found


def beat(at: datetime) -> dict[str, int]:
    """Record that jobs run at `at`, and delete a batch of old answers.

    The time is moved back only if it is so far ahead that a wrong clock must have written it. Returns how
    many answers were deleted.
    """
    newer = Case(When(at__gt=at + BEAT_WITHIN, then=Value(at)), default=Greatest("at", Value(at)))
    if not Heartbeat.objects.filter(name=HEARTBEAT).update(at=newer):
        Heartbeat.objects.bulk_create([Heartbeat(name=HEARTBEAT, at=at)], ignore_conflicts=True)
    return {"answers": purge_answers(at, 1000)}
