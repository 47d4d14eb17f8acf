"""The access matrix: every address, every role, every method. An address without a row fails.

The rows are written from what the business wants, not from valhalla/roles.py: the two must meet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.test import APIClient

from governance.core.actors import Role
from governance.models import User

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")

# V(A), C(loser), M(anager), A(uditor), S(ervice client), P: a service client with the policy scope, R(oot).
ACTORS: dict[str, tuple[str, tuple[str, ...]]] = {
    "V": (Role.VA, ()),
    "C": (Role.CLOSER, ()),
    "M": (Role.MANAGER, ()),
    "A": (Role.AUDITOR, ()),
    "S": (Role.SERVICE, ()),
    "P": (Role.SERVICE, ("policy",)),
    "R": (Role.MANAGER, ()),
}

EVERYBODY = "VCMASPR"
BUT_AUDITORS = "VCMSPR"
READERS = "CMASPR"  # what is no VA's business
CLOSERS = "CMSPR"
PEOPLE_WHO_WORK = "VCMR"
POLICY = "MPR"
MANAGERS = "MR"
SOURCES = "MSPR"  # who sends leads

API: dict[str, dict[str, str]] = {
    # governance
    "api/governance/market/policies": {"get": EVERYBODY},
    "api/governance/market/policies/upsert": {"post": POLICY},
    "api/governance/market/policies/cancel": {"post": POLICY},
    "api/governance/market/simulate": {"post": POLICY},
    "api/governance/market/effective": {"get": EVERYBODY},
    "api/governance/market/can-contact": {"get": EVERYBODY, "post": EVERYBODY},
    "api/governance/contact/decisions": {"get": READERS},
    "api/governance/contact/decisions/<int:pk>": {"get": READERS},
    "api/governance/kpi/events": {"get": READERS},
    "api/governance/kpi/events/<int:pk>": {"get": READERS},
    "api/governance/go-live/state": {"get": EVERYBODY},
    "api/governance/runbook/status": {"get": READERS},
    "api/governance/runbook/markdown": {"get": READERS},
    "api/governance/go-live/checklist": {"get": READERS},
    "api/governance/go-live/enable": {"post": MANAGERS},
    "api/governance/go-live/disable": {"post": MANAGERS},
    "api/governance/go-live/kill-switch/engage": {"post": "CMR"},
    "api/governance/go-live/kill-switch/release": {"post": MANAGERS},
    "api/governance/risk/policies": {"get": EVERYBODY},
    "api/governance/risk/policies/upsert": {"post": POLICY},
    "api/governance/risk/ledger/today": {"get": READERS},
    "api/governance/risk/snapshot": {"get": READERS},
    "api/governance/risk/check-and-reserve": {"post": CLOSERS},
    "api/governance/risk/settle": {"post": CLOSERS},
    "api/governance/risk/release": {"post": CLOSERS},
    "api/governance/risk/events": {"get": READERS},
    "api/governance/risk/events/<int:pk>": {"get": READERS},
    "api/governance/heimdall/policies": {"get": EVERYBODY},
    "api/governance/heimdall/policies/upsert": {"post": POLICY},
    "api/governance/heimdall/scorecard": {"get": READERS},
    "api/governance/heimdall/scorecard/today": {"get": READERS},
    "api/governance/heimdall/sandbox/trial": {"post": CLOSERS},
    "api/governance/heimdall/recommend": {"post": CLOSERS},
    "api/governance/heimdall/promote": {"post": MANAGERS},
    "api/governance/regression/policies": {"get": EVERYBODY},
    "api/governance/regression/policies/upsert": {"post": POLICY},
    "api/governance/regression/state": {"get": READERS},
    "api/governance/regression/evaluate": {"post": "MSPR"},
    "api/governance/regression/kpi": {"post": CLOSERS},
    "api/governance/regression/release": {"post": MANAGERS},
    # follow-ups
    "api/followups/ladder/create": {"post": BUT_AUDITORS},
    "api/followups/ladders/bulk": {"post": BUT_AUDITORS},
    "api/followups/ladder/<int:pk>/stop": {"post": MANAGERS},
    "api/followups/due": {"get": EVERYBODY},
    "api/followups/due/claim": {"post": PEOPLE_WHO_WORK},
    "api/followups/sla": {"get": EVERYBODY},
    "api/followups/task/<int:pk>/start": {"post": BUT_AUDITORS},
    "api/followups/task/<int:pk>/complete": {"post": BUT_AUDITORS},
    "api/followups/task/<int:pk>/renew": {"post": PEOPLE_WHO_WORK},
    "api/followups/task/<int:pk>/release": {"post": PEOPLE_WHO_WORK},
    "api/followups/task/<int:pk>/snooze": {"post": PEOPLE_WHO_WORK},
    "api/followups/task/<int:pk>/skip": {"post": PEOPLE_WHO_WORK},
    "api/followups/task/<int:pk>/correct": {"post": PEOPLE_WHO_WORK},
    "api/followups/lookup": {"get": EVERYBODY, "post": EVERYBODY},
    "api/followups/lead/<str:lead_id>/inbound": {"post": BUT_AUDITORS},
    "api/followups/task/<int:pk>/reassign": {"post": MANAGERS},
    "api/followups/reassign": {"post": MANAGERS},
    "api/followups/leads": {"get": EVERYBODY, "post": SOURCES},  # a VA reads her own and unowned ones
    "api/followups/leads/bulk": {"post": SOURCES},
    "api/followups/leads/<int:pk>": {"get": EVERYBODY, "patch": SOURCES},
    "api/followups/leads/<int:pk>/next": {"get": EVERYBODY},
    "api/followups/leads/<int:pk>/won": {"post": SOURCES},
    "api/followups/leads/<int:pk>/dead": {"post": SOURCES},
    "api/followups/leads/<int:pk>/not-now": {"post": SOURCES},
    "api/followups/leads/<int:pk>/contact-points": {"post": SOURCES},
    "api/followups/leads/<int:pk>/contact-points/<int:point_id>/retire": {"post": SOURCES},
    "api/followups/tasks": {"get": EVERYBODY},
    "api/followups/tasks/<int:pk>": {"get": EVERYBODY},
    # buyers
    "api/buyers/liquidity/nodes": {"get": EVERYBODY},
    "api/buyers/liquidity/score": {"get": EVERYBODY},
    "api/buyers/liquidity/feedback": {"post": BUT_AUDITORS},
    "api/buyers/feedback/bulk": {"post": BUT_AUDITORS},
    "api/buyers/buyers": {"get": READERS},
    "api/buyers/buyers/<int:pk>": {"get": READERS},
    "api/buyers/feedback-events": {"get": READERS},
    "api/buyers/feedback-events/<int:pk>": {"get": READERS},
    # offers
    "api/deals/offers/policies": {"get": EVERYBODY},
    "api/deals/offers/policies/upsert": {"post": POLICY},
    "api/deals/offers/compute": {"post": CLOSERS},
    "api/deals/offers/quote": {"get": CLOSERS},
    "api/deals/offers/<int:evidence_id>/outcome": {"post": CLOSERS},
    "api/deals/offers/evidence": {"get": READERS},
    "api/deals/offers/evidence/<int:pk>": {"get": READERS},
}

# Pages: who is let in, whatever the method. What a program has no password for is no page for it.
PAGES: dict[str, str] = {
    "": EVERYBODY,
    "sessions/": EVERYBODY,
    "second-factors/": EVERYBODY,
    "password/": EVERYBODY,
    "admin/password_change/": EVERYBODY,  # leads to password/
    "admin/password-link/<int:pk>/": MANAGERS,
    "tokens/": "VCMAR",  # a manager issues those of service clients
    "go-live/": "CMR",
    "admin/trace/": "MAR",
    "admin/figures/": "MAR",
    "admin/lead/": "MAR",
    "admin/schedules/": "MAR",
    "admin/schedules/<int:pk>/": MANAGERS,
    "followups/": EVERYBODY,
    "followups/news/": EVERYBODY,
    "followups/next/": PEOPLE_WHO_WORK,
    "followups/find/": EVERYBODY,
    "followups/day/": EVERYBODY,
    "followups/team/": MANAGERS,
    "followups/team/give/": MANAGERS,
    "followups/task/<int:pk>/reassign/": MANAGERS,
    "followups/lead/<int:pk>/inbound/": BUT_AUDITORS,
    "followups/release/": PEOPLE_WHO_WORK,
    "followups/task/<int:pk>/": EVERYBODY,
    "followups/task/<int:pk>/start/": BUT_AUDITORS,
    "followups/task/<int:pk>/complete/": BUT_AUDITORS,
    "followups/task/<int:pk>/release/": PEOPLE_WHO_WORK,
    "followups/task/<int:pk>/renew/": PEOPLE_WHO_WORK,
    "followups/task/<int:pk>/correct/": PEOPLE_WHO_WORK,
    "followups/task/<int:pk>/snooze/": PEOPLE_WHO_WORK,
    "followups/task/<int:pk>/skip/": PEOPLE_WHO_WORK,
    "followups/task/<int:pk>/opt-out/": BUT_AUDITORS,
    "followups/opt-out/<int:pk>/undo/": PEOPLE_WHO_WORK,
    "followups/task/<int:pk>/consent/": PEOPLE_WHO_WORK,
}
OPEN = {
    "livez",
    "readyz",
    "login/",
    "login/code/",
    "login/code/new/",
    "login/passkey/",
    "login/passkey/new/",
    "password/new/",
    "logout/",
    "language/setlang/",
    # how to use the API, which holds no data
    "api/",
    "api",
    "api/docs",
    "api/docs/",
    "api/schema",
}


def addresses(urls: list[Any] | None = None, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Every address of the product but those of admin, which judges each screen itself."""
    for entry in get_resolver().url_patterns if urls is None else urls:
        here = before + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield here, entry
        elif isinstance(entry, URLResolver) and here != "admin/":
            yield from addresses(entry.url_patterns, here)


def filled(address: str) -> str:
    """The path of an address, for an object that does not exist."""
    return "/" + re.sub(r"<[^>]*>", "987654321", address)


def test_every_address_has_its_row() -> None:
    there = {address for address, _pattern in addresses()}

    assert sorted(there - set(API) - set(PAGES) - OPEN) == [], "say in test_access.py who may do this"
    assert sorted((set(API) | set(PAGES) | OPEN) - there) == [], "these rows are about nothing"


def test_every_row_names_the_methods_that_are_served() -> None:
    served = {
        address: set(getattr(pattern.callback, "actions", {})) - {"head"}  # set by as_view
        for address, pattern in addresses()
        if address.startswith("api/") and address not in OPEN
    }

    assert {address: set(row) for address, row in API.items()} == served


def wrong(answers: Callable[[str, str], int], actor: str) -> list[str]:
    """Call every address by every method and return where the answer is not what its row says."""
    found = []
    for address, row in API.items():
        for method in METHODS:
            may = EVERYBODY if method == "options" else row.get("get" if method == "head" else method, "")
            status = answers(method, filled(address))
            let_in = status not in {401, 403, 405}
            if let_in is not (actor in may) or status >= 500:
                found.append(f"{method.upper()} {address}: {status}")
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("actor", ACTORS)
def test_the_api_lets_in_whom_its_row_names(actor: str, api: Callable[..., APIClient]) -> None:
    role, scopes = ACTORS[actor]
    client = api(role, "somebody", scopes)
    client.raise_request_exception = False  # a 500 is one more wrong answer of the list
    User.objects.filter(username="somebody").update(is_superuser=actor == "R")

    def answers(method: str, path: str) -> int:
        return int(
            getattr(client, method)(
                path, **{} if method in {"get", "head"} else {"format": "json"}
            ).status_code
        )

    assert wrong(answers, actor) == []


PARTS = {
    "governance": "api/governance/",
    "followups": "api/followups/",
    "buyers": "api/buyers/",
    "offers": "api/deals/",
}


@pytest.mark.django_db
@pytest.mark.parametrize("scope", PARTS)
@pytest.mark.parametrize("actor", "MP")
def test_a_narrowed_token_reaches_its_part_alone(
    actor: str, scope: str, api: Callable[..., APIClient]
) -> None:
    client = api(ACTORS[actor][0], "somebody", (*ACTORS[actor][1], scope))
    client.raise_request_exception = False
    found = []
    for address, row in API.items():
        for method, may in row.items():
            status = getattr(client, method)(filled(address)).status_code
            is_in = actor in may and address.startswith(PARTS[scope])
            if (status not in {401, 403}) is not is_in or status >= 500:
                found.append(f"{method.upper()} {address}: {status}")
    assert found == []


@pytest.mark.django_db
def test_what_stands_before_the_program_is_no_part_of_the_api(api: Callable[..., APIClient]) -> None:
    client = api(Role.MANAGER, "somebody", ("buyers",))
    for before in ("/api/buyers", "/api/buyers/"):
        answer = client.get("/api/governance/risk/policies", SCRIPT_NAME=before)
        assert answer.status_code == 403, before
    assert client.get("/api/buyers/buyers", SCRIPT_NAME="/office").status_code == 200


@pytest.mark.django_db
def test_nobody_is_let_into_the_api_without_a_token() -> None:
    client = APIClient()

    answers = {getattr(client, method)(filled(address)).status_code for address in API for method in METHODS}

    assert answers == {401}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "token", ["Bearer", "Bearer 0", "Bearer abcdefg\0hijk", f"Token {'0' * 64}", "Basic YW5uOmFubg=="]
)
def test_nobody_is_let_into_the_api_with_what_is_no_token(token: str) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=token)
    assert {client.get(filled(address)).status_code for address in API} == {401}


@pytest.mark.django_db
def test_a_session_needs_its_form_token_to_change_anything(person: Callable[..., User]) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(person(Role.MANAGER))

    answers = {client.post(filled(address)).status_code for address, row in API.items() if "post" in row}

    assert answers == {403}
    assert client.get("/api/governance/market/policies").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("actor", ACTORS)
def test_a_page_lets_in_whom_its_row_names(actor: str, client: Client, person: Callable[..., User]) -> None:
    somebody = person(ACTORS[actor][0], "somebody")
    somebody.is_superuser = actor == "R"
    somebody.save()
    client.force_login(somebody)
    client.raise_request_exception = False

    found = []
    for address, may in PAGES.items():
        for method in ("get", "post"):
            status = getattr(client, method)(filled(address)).status_code
            if (status != 403) is not (actor in may) or status >= 500:
                found.append(f"{method.upper()} {address}: {status}")

    assert found == []


@pytest.mark.django_db
def test_nobody_sees_a_page_without_logging_in(client: Client) -> None:
    for address in PAGES:
        for method in ("get", "post"):
            answer = getattr(client, method)(filled(address))
            assert (answer.status_code, answer.headers.get("Location", "")[:7]) == (302, "/login/"), address


@pytest.mark.django_db
@pytest.mark.parametrize("actor", ACTORS)
def test_admin_lets_in_managers_and_auditors_alone(
    actor: str, client: Client, person: Callable[..., User]
) -> None:
    client.force_login(person(ACTORS[actor][0], "somebody"))

    let_in = client.get("/admin/").status_code == 200

    assert let_in is (actor in "MAR")


@pytest.mark.django_db
def test_whoever_is_no_longer_active_is_nobody(api: Callable[..., APIClient]) -> None:
    client = api(Role.MANAGER, "somebody")
    api(Role.MANAGER, "another")  # the last one stays active
    User.objects.filter(username="somebody").update(is_active=False)

    assert client.get("/api/governance/market/policies").status_code == 401
    assert not AnonymousUser().has_perm("governance.view_operations")
