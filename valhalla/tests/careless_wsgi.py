"""A web server as it must not be, against which test_kills_under_load.py has been seen to fail.

It remembers an answer after what it answers for was committed, so a kill between the two has it done twice;
it writes KPI events after the commit, so a kill leaves what is half done; and it answers that a reservation
is settled before it is, so a kill loses it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from typing import Any

from django.db import connection, transaction

from valhalla.wsgi import application  # which sets Django up, for the next lines

from governance.core import hooks  # isort: skip
from governance.models import IdempotentAnswer, KpiEvent  # isort: skip

__all__ = ["application"]

LATER = 0.1  # seconds, as a queue or a slow neighbour takes them


def answer_once(*, user_id: int, key: str, request: Any, at: Any, handle: Any) -> tuple[int, str, bool]:
    stored = IdempotentAnswer.objects.filter(user_id=user_id, key=key).first()
    if stored is not None:
        return stored.status, stored.body, True
    if request[1].endswith("/settle"):
        threading.Timer(20 * LATER, do_afterwards, [handle]).start()
        return 200, json.dumps({"reservation": {"id": request[2]["reservation_id"]}}), True
    status, body, keep = handle()
    time.sleep(LATER)
    if keep:
        row = IdempotentAnswer(
            user_id=user_id, key=key, request_hash="", status=status, body=body, created_at=at
        )
        IdempotentAnswer.objects.bulk_create([row], ignore_conflicts=True)
    return status, body, False


def do_afterwards(handle: Any) -> None:
    try:
        handle()
    finally:
        connection.close()


def write_later(events: Iterable[KpiEvent]) -> list[KpiEvent]:
    rows = list(events)

    def write() -> None:
        time.sleep(LATER)
        _write(rows)

    transaction.on_commit(write)
    return rows


_write = KpiEvent.objects.bulk_create
vars(KpiEvent.objects)["bulk_create"] = write_later
vars(hooks)["answer_once"] = answer_once
