"""The calls that are measured: sixteen of the API, the VA's page and the manager's board.

Each says how its n-th request looks. Ids that it uses up, such as tasks to complete, come from `Prepared`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

VERSION = re.compile(r'name="v" value="([^"]+)"')
PROVINCES = ("BC", "AB", "SK", "MB", "ON", "QC", "NB", "NS", "PE", "NL")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What bench/prepare.py left in the database for the calls."""

    token: str
    va_session: str
    manager_session: str
    tasks: list[int] = field(default_factory=list)  # open, current, in a province where it is day
    cards: list[str] = field(default_factory=list)  # paths of the tasks that Next gave to the VA
    seen: dict[str, str] = field(default_factory=dict)  # what the last page said

    def see(self, page: str) -> None:
        """Keep the version of the VA's page, by which it later asks for news."""
        if found := VERSION.search(page):
            self.seen["version"] = found[1]


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call by its name: `request` makes the n-th; `most` bounds how often it can be made."""

    name: str
    request: Callable[[Prepared, int], Request]
    most: int = 100_000
    reference: tuple[float, float] | None = None  # ms of CPU, application and PostgreSQL, of another program
    answers: tuple[int, ...] = (200, 201)
    looks: bool = False  # at the VA's page before each round
    uses: str = ""  # the list of `Prepared` of which each request takes one
    fills: bool = False  # `cards`, by where its answers lead


def _api(prepared: Prepared, method: str, path: str, body: dict[str, Any] | None, key: str = "") -> Request:
    headers = {"Authorization": f"Bearer {prepared.token}", "Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    if key:
        headers["Idempotency-Key"] = key
    return Request(method, f"/api{path}", headers, None if body is None else json.dumps(body).encode())


def reading(path: str, **query: Any) -> Callable[[Prepared, int], Request]:
    def request(prepared: Prepared, n: int) -> Request:
        told = {name: value(n) if callable(value) else value for name, value in query.items()}
        return _api(prepared, "GET", f"{path}?{urlencode(told)}" if told else path, None)

    return request


def writing(path: str, body: Callable[[int], dict[str, Any]]) -> Callable[[Prepared, int], Request]:
    return lambda prepared, n: _api(prepared, "POST", path, body(n))


def _complete(prepared: Prepared, n: int) -> Request:
    return _api(prepared, "POST", f"/followups/task/{prepared.tasks[n]}/complete", {"outcome": "SENT"})


def _page(prepared: Prepared, method: str, path: str, form: dict[str, str] | None = None) -> Request:
    headers = {"Cookie": f"sessionid={prepared.va_session}; csrftoken={'c' * 32}", "HX-Request": "true"}
    headers["HX-Target"] = "front"
    if form is None:
        return Request(method, path, headers)
    headers |= {"Content-Type": "application/x-www-form-urlencoded", "X-CSRFToken": "c" * 32}
    return Request(method, path, headers, urlencode(form).encode())


def _page_complete(prepared: Prepared, n: int) -> Request:
    return _page(prepared, "POST", f"{prepared.cards[n]}complete/", {"said": "SENT"})


def _next(prepared: Prepared, n: int) -> Request:
    return _page(prepared, "POST", "/followups/next/", {})


def _news(prepared: Prepared, n: int) -> Request:
    return _page(prepared, "GET", f"/followups/news/?v={prepared.seen.get('version', '')}&task=")


def page(prepared: Prepared) -> Request:
    """Return the request for the VA's whole page."""
    return Request("GET", "/followups/", {"Cookie": f"sessionid={prepared.va_session}"})


def _board(prepared: Prepared, n: int) -> Request:
    return Request("GET", "/admin/", {"Cookie": f"sessionid={prepared.manager_session}"})


def _province(n: int) -> str:
    return PROVINCES[n % len(PROVINCES)]


def _lead(n: int) -> dict[str, Any]:
    return {"lead_id": f"B-{n}", "province": "ON", "phone": f"+1647{2000000 + n}"}


def _offer(n: int) -> dict[str, Any]:
    return {"province": "ON", "lead_id": f"V-{n + 1}", "arv": 450_000, "repairs": 50_000}


RISK, REGRESSION = "/governance/risk", "/governance/regression"
CALLS = (
    Call("page.news", _news, answers=(204,), looks=True),
    Call("task.complete", _complete, 150, (4.8, 2.0), uses="tasks"),
    Call("due", reading("/followups/due"), reference=(3.8, 3.2)),
    Call(
        "market.can-contact",
        reading("/governance/market/can-contact", province=_province, channel="SMS", weekday=1, hhmm="10:30"),
        reference=(2.1, 0.6),
    ),
    Call("market.policies", reading("/governance/market/policies"), reference=(2.2, 0.4)),
    Call(
        "risk.reserve",
        writing(f"{RISK}/check-and-reserve", lambda n: {"engine": "WHOLESALE", "amount": "1.00"}),
        reference=(6.6, 2.3),
    ),
    Call(
        "market.effective",
        reading("/governance/market/effective", province=_province, market="TORONTO"),
        reference=(1.7, 0.4),
    ),
    Call(
        "liquidity.feedback",
        writing("/buyers/liquidity/feedback", lambda n: {"province": _province(n), "event": "PASSED"}),
        reference=(4.6, 1.9),
    ),
    Call(
        "liquidity.score",
        reading("/buyers/liquidity/score", province=_province, market=lambda n: f"MARKET {n % 40}"),
        reference=(1.9, 0.7),
    ),
    Call(
        "offers.upsert",
        writing("/deals/offers/policies/upsert", lambda n: {"province": "ON", "enabled": True}),
        reference=(2.8, 0.8),
    ),
    Call("offers.policies", reading("/deals/offers/policies"), reference=(2.4, 0.8)),
    Call("ladder.create", writing("/followups/ladder/create", _lead), reference=(10.6, 3.5)),
    Call("liquidity.nodes", reading("/buyers/liquidity/nodes"), reference=(3.6, 1.0)),
    Call("offers.compute", writing("/deals/offers/compute", _offer), 1_000, (5.5, 2.0)),
    Call("regression.evaluate", writing(f"{REGRESSION}/evaluate", lambda n: {}), reference=(8.9, 1.6)),
    Call(
        "market.upsert",
        writing(
            "/governance/market/policies/upsert",
            lambda n: {"province": "YT", "enabled": bool(n % 2), "reason": "bench"},
        ),
        reference=(3.9, 1.5),
    ),
    Call("sla", reading("/followups/sla"), reference=(10.0, 24.6)),
    Call("page.next", _next, 120, answers=(302,), fills=True),
    Call("page.complete", _page_complete, 90, uses="cards"),
    Call("board", _board, 100),
)
