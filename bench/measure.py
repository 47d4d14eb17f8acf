"""Requests in a closed loop, and what each of them cost the web processes and PostgreSQL."""

from __future__ import annotations

import http.client
import re
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from bench.calls import Call, Prepared, Request
from bench.machine import Postgres, Server

CLIENTS = 2
LEAST, MOST = 20, 2_000  # requests in a round, as far as a call can be made so often
WARM_UP = 8  # requests, so that each process has compiled its queries
NO_STATEMENT = re.compile(r"(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET|SHOW)\b", re.IGNORECASE)
LOGGED = re.compile(r"LOG:  (?:statement|execute [^:]+): (.*)")


@dataclass(slots=True)
class Figure:
    """One round of one call: ms of processor time per request, and latencies in ms."""

    app: float
    postgres: float
    latencies: list[float] = field(repr=False)

    @property
    def cpu(self) -> float:
        return self.app + self.postgres

    def quantile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


class Loop:
    """Sends the requests of a call one after the other from each client, and keeps what the answers say."""

    def __init__(self, port: int, answers: tuple[int, ...]) -> None:
        self.port, self.answers = port, answers
        self.locations: list[str] = []  # to which answers led
        self._lock = threading.Lock()

    def run(self, request: Callable[[int], Request], first: int, count: int) -> list[float]:
        """Make requests number `first` to `first + count - 1`; return their latencies. Raises SystemExit."""
        numbers = iter(range(first, first + count))

        def client(_number: int) -> list[float]:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
            took: list[float] = []
            while True:
                with self._lock:
                    number = next(numbers, None)
                if number is None:
                    connection.close()
                    return took
                took.append(self._send(connection, request(number)))

        with ThreadPoolExecutor(CLIENTS) as pool:
            return [one for each in pool.map(client, range(CLIENTS)) for one in each]

    def text(self, request: Request) -> str:
        """Return what one request is answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(request.method, request.path, request.body, request.headers)
        return connection.getresponse().read().decode()

    def _send(self, connection: http.client.HTTPConnection, request: Request) -> float:
        begun = time.perf_counter()
        connection.request(request.method, request.path, request.body, request.headers)
        answer = connection.getresponse()
        text = answer.read()
        if location := answer.headers.get("Location"):
            self.locations.append(location)
        if answer.status not in self.answers:
            raise SystemExit(f"{request.method} {request.path}: {answer.status} {text[:500]!r}")
        return (time.perf_counter() - begun) * 1000


def measure(
    request: Callable[[int], Request],
    answers: tuple[int, ...],
    *,
    first: int,
    count: int,
    web: tuple[Server, int],
    postgres: Postgres,
    locations: list[str] | None = None,
) -> Figure:
    """Measure `count` requests, and add the paths to which answers led to `locations`."""
    server, port = web
    assert postgres.server is not None
    before = server.milliseconds(), postgres.server.milliseconds()
    loop = Loop(port, answers)
    latencies = loop.run(request, first, count)
    after = server.milliseconds(), postgres.server.milliseconds()
    app, database = ((late - early) / count for early, late in zip(before, after, strict=True))
    if locations is not None:
        locations += loop.locations
    return Figure(app, database, latencies)


@dataclass(slots=True)
class Measured:
    """All rounds of a call, the bare view's beside them, and the statements of one request."""

    name: str
    rounds: list[Figure]
    bare: list[Figure]
    statements: int

    @property
    def app(self) -> float:
        return statistics.median(one.app for one in self.rounds)

    @property
    def postgres(self) -> float:
        return statistics.median(one.postgres for one in self.rounds)

    @property
    def cpu(self) -> float:
        return statistics.median(one.cpu for one in self.rounds)

    @property
    def in_bare_views(self) -> float:
        """The median over the rounds of the cost relative to that round's bare view."""
        return statistics.median(one.cpu / bare.cpu for one, bare in zip(self.rounds, self.bare, strict=True))

    @property
    def p50(self) -> float:
        return statistics.median(one.quantile(0.5) for one in self.rounds)

    @property
    def p95(self) -> float:
        return statistics.median(one.quantile(0.95) for one in self.rounds)


def statements_of(send: Callable[[], object], postgres: Postgres) -> int:
    """Count the statements that a request sends to PostgreSQL, besides those that only begin or end it."""
    assert postgres.server is not None
    log = postgres.server.log
    postgres.ask("ALTER SYSTEM SET log_statement = 'all'")
    postgres.ask("SELECT pg_reload_conf()")
    time.sleep(0.3)
    before = log.stat().st_size
    send()
    time.sleep(0.2)
    with log.open() as file:
        file.seek(before)
        told = [found[1] for line in file if (found := LOGGED.search(line))]
    postgres.ask("ALTER SYSTEM RESET log_statement")
    postgres.ask("SELECT pg_reload_conf()")
    return sum(not NO_STATEMENT.match(one) and "log_statement" not in one for one in told)


class Plan:
    """How often each call is made: as often as `seconds` a round allow, at most as it can be made in all."""

    def __init__(self, call: Call, prepared: Prepared, rounds: int, seconds: float) -> None:
        self.call, self.rounds, self.seconds = call, rounds, seconds
        left = len(getattr(prepared, call.uses)) if call.uses else call.most
        self.most = min(call.most, left)
        self._next = self._round = 0

    def take(self, count: int) -> tuple[int, int]:
        first, self._next = self._next, self._next + count
        return first, count

    def per_round(self, first_latency_ms: float) -> int:
        fits = int(self.seconds * 1000 / max(first_latency_ms, 0.2)) * CLIENTS
        left = (self.most - self._next) // max(self.rounds - self._round, 1)
        self._round += 1
        return min(max(fits, LEAST), left, MOST)
