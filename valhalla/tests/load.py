"""Clients over HTTP who do a program's work with Idempotency-Keys, and repeat whatever was not answered."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

FOR_ONE_LOAD = 10_000  # numbers of leads that one load may use
GIVES_UP = 120.0  # seconds without an answer after which a client fails
TORONTO = ZoneInfo("America/Toronto")
NIGHT = ((3, 0), (23, 30))


@dataclass
class Answered:
    """What clients got: answers by what was asked, refusals, and how often no answer or a failure came."""

    answers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    lost: int = 0
    failed: int = 0
    loads: int = 0

    @property
    def total(self) -> int:
        return sum(map(len, self.answers.values()))

    def of(self, kind: str, *path: str) -> list[object]:
        """One value of each answer of a kind."""
        found: list[Any] = self.answers.get(kind, [])
        for name in path:
            found = [value[name] for value in found]
        return found


class _Refused(Exception):
    pass


def last_night() -> str:
    """An instant of the last 22 hours at which nobody may be contacted."""
    now = datetime.now(TORONTO) - timedelta(minutes=5)
    nights = (
        now.replace(hour=hour, minute=minute, second=0, microsecond=0) - timedelta(days=back)
        for hour, minute in NIGHT
        for back in (0, 1)
    )
    return max(night for night in nights if night < now).isoformat()


class Client:
    """One client, who works until `stop` is set and then finishes what they began."""

    def __init__(
        self, number: int, port: int, token: str, stop: threading.Event, seed: str, into: Answered
    ) -> None:
        self.number, self.port, self.stop, self.into = number, port, stop, into
        self.first = into.loads * FOR_ONE_LOAD
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.chance = random.Random(seed)

    def work(self) -> None:
        number = self.first
        while not self.stop.is_set():
            try:
                self.follow(number)
            except _Refused as refusal:
                self.into.refusals.append(str(refusal))
            number += 1

    def follow(self, number: int) -> None:
        """One lead's way: a ladder, a contact that took place at night, an inbound call, an offer's risk."""
        lead = f"L-{self.number}-{number}"
        phone = f"+1416{2 + self.number}{number:06}"  # her own: an opt-out stops whoever shares it
        made = self.send(
            "ladder", "/api/followups/ladder/create", lead_id=lead, province="ON", city="Toronto", phone=phone
        )
        first, second = made["tasks"][:2]
        self.send(
            "completion",
            f"/api/followups/task/{first['id']}/complete",
            happened=True,
            contacted_at=last_night(),
            note="at night",
        )
        self.send("inbound", f"/api/followups/lead/{lead}/inbound", channel="CALL")
        self.send("feedback", "/api/buyers/liquidity/feedback", province="ON", event="PASSED")
        reserved = self.send(
            "reservation", "/api/governance/risk/check-and-reserve", engine="WHOLESALE", amount="100.00"
        )
        if number % 4 != 3:
            self.send(
                "settlement",
                "/api/governance/risk/settle",
                reservation_id=reserved["reservation_id"],
                realized_loss="1.00",
            )
        if number % 3 == 0:
            self.send("opt-out", f"/api/followups/task/{second['id']}/complete", outcome="OPTED_OUT")

    def send(self, kind: str, path: str, **data: object) -> dict[str, Any]:
        """Send until it is answered, always under the same key; now and then once more for its answer."""
        key = f"{self.chance.getrandbits(128):032x}"
        until = time.monotonic() + GIVES_UP
        answers: list[bytes] = []
        wanted = 1 + (self.chance.random() < 0.1)
        while len(answers) < wanted:
            if time.monotonic() > until:
                raise AssertionError(f"{path}: no answer within {GIVES_UP:.0f} s")
            answer = self.post(path, key, json.dumps(data))
            if answer is not None:
                answers.append(answer)
            else:
                time.sleep(self.chance.uniform(0.1, 0.3))
        if len(set(answers)) > 1:
            self.into.differing.append(f"{path}: {answers}")
        read: dict[str, object] = json.loads(answers[0])
        self.into.answers.setdefault(kind, []).append(read)
        return read

    def post(self, path: str, key: str, body: str) -> bytes | None:
        """The answer of one call, None where there was none or it said to come again."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", path, body, {**self.headers, "Idempotency-Key": key})
            if self.chance.random() < 0.05:  # hang up before the answer comes
                self.into.lost += 1
                return None
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            self.into.lost += 1
            return None
        finally:
            connection.close()
        if response.status in (200, 201):
            return text
        if response.status >= 500 or b'"key_in_use"' in text:
            self.into.failed += 1
            return None
        raise _Refused(f"{path}: {response.status} {text.decode()[:300]}")


@contextmanager
def load(port: int, token: str, clients: int, chance: random.Random, into: Answered) -> Iterator[None]:
    """Have so many clients work until the block ends, and wait until each has finished."""
    stop = threading.Event()
    with ThreadPoolExecutor(clients) as pool:
        work = [
            pool.submit(Client(number, port, token, stop, str(chance.random()), into).work)
            for number in range(clients)
        ]
        try:
            yield
        finally:
            stop.set()
        for done in work:
            done.result()
    into.loads += 1
