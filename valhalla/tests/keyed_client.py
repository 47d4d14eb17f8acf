"""A client in a process of its own, which stops in the middle of a POST with a key, there to be killed.

Arguments: the point at which it stops, the text of its token, the key. There it says "here" and waits.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

import django

Handle = Callable[[], tuple[int, str, bool]]
FEEDBACK = "/api/buyers/liquidity/feedback?province=ON&event=PASSED"


def stop() -> NoReturn:
    sys.stdout.write("here\n")
    sys.stdout.flush()
    while True:
        time.sleep(60)


def stopping(point: str) -> Callable[..., tuple[int, str, bool]]:
    """Return the way in which an answer is given once, stopping at a point of it."""
    from governance.core.transactions import in_transaction
    from governance.outbox import services
    from governance.outbox.services import answer_once

    if point == "effect written":
        return lambda *, handle, **how: answer_once(handle=stopped_after(handle), **how)
    if point == "answer stored":  # the effect too, nothing of it committed
        vars(services)["in_transaction"] = lambda work, **how: in_transaction(stopped_after(work), **how)
        return answer_once
    if point == "committed":  # and the caller has not heard of it
        return stopped_after(answer_once)
    return {"naive: remembered last": remember_last, "naive: remembered first": remember_first}[point]


def stopped_after(work: Callable[..., object]) -> Callable[..., NoReturn]:
    def run(**how: object) -> NoReturn:
        work(**how)
        stop()

    return run


# --- what must not be written -------------------------------------------------------------------------------


def remember_last(*, user_id: int, key: str, handle: Handle, **how: object) -> NoReturn:
    """Do it, then store the answer: a kill between the two loses the answer of what was done."""
    handle()
    stop()


def remember_first(*, user_id: int, key: str, request: Any, at: Any, handle: Handle) -> NoReturn:
    """Store that it is done, then do it: a kill between the two answers for what never was."""
    from governance.models import IdempotentAnswer
    from governance.outbox.services import request_hash

    IdempotentAnswer.objects.create(
        user_id=user_id, key=key, request_hash=request_hash(request), status=200, body="{}", created_at=at
    )
    stop()


def main(point: str, token: str, key: str) -> None:
    django.setup()
    from django.test.utils import setup_test_environment
    from rest_framework.test import APIClient

    from governance.core import hooks

    setup_test_environment()
    vars(hooks)["answer_once"] = stopping(point)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    answer = client.post(FEEDBACK, headers={"Idempotency-Key": key})
    sys.exit(f"was not stopped, but answered {answer.status_code}")


if __name__ == "__main__":
    main(*sys.argv[1:])
