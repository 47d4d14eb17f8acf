"""A dialer's loop: claim due calls, start each, record what came of it.

VALHALLA is the address of the API, TOKEN a service client's token; the argument is the most calls to make.
Only the standard library is used; `dial` is yours.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any

API = os.environ.get("VALHALLA", "http://127.0.0.1:8000/api")
ATTEMPTS = 5


def call(path: str, body: dict[str, Any], key: str = "") -> tuple[int, dict[str, Any]]:
    """Return the status and the answer, or the problem; wait and repeat when Valhalla asks for that."""
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}", "Content-Type": "application/json"}
    if key:  # the same key makes a repeated call harmless
        headers["Idempotency-Key"] = key
    for attempt in range(ATTEMPTS):
        request = urllib.request.Request(f"{API}/{path}", json.dumps(body).encode(), headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            problem = json.load(refused)
            wait = refused.headers.get("Retry-After")
            if wait is None or attempt == ATTEMPTS - 1:
                return refused.code, problem
            time.sleep(int(wait))
        except OSError:  # no answer: nobody knows whether it was done, so it is sent again
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(2**attempt)
    raise AssertionError("unreachable")


def dial(number: str) -> str:
    """Call the number and return the outcome; here nobody answers."""
    return "NO_ANSWER"


def main(most: int) -> None:
    made = refused = 0
    _status, claimed = call("followups/due/claim", {"channel": "CALL", "limit": most})
    for task in claimed.get("tasks", []):
        token = {"claim_token": claimed["claim_token"]}
        status, started = call(f"followups/task/{task['id']}/start", token)
        if status != 200:  # the window has closed, or they opted out: `code` says which
            refused += 1
            call(f"followups/task/{task['id']}/release", token)
            continue
        outcome = dial(started["contact_point"])
        status, done = call(
            f"followups/task/{task['id']}/complete", {**token, "outcome": outcome}, f"dialer-{task['id']}"
        )
        made += status == 200
    print(f"{made} calls made, {refused} refused")


if __name__ == "__main__":
    main(int(sys.argv[1]))
