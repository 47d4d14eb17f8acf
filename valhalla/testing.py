"""Fixtures shared by the tests of every pack: people of each role, clients with real tokens, actors."""

from __future__ import annotations

import functools
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import time_machine
from django.contrib.auth.hashers import make_password
from django.db import connection
from django.http import HttpResponse
from django.test import Client, TransactionTestCase, utils
from django.utils import translation
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from rest_framework.test import APIClient

from conftest import DATABASE, once_per_run
from governance.accounts.models import MOST_CALLS
from governance.accounts.rules import POLICY, rights_of
from governance.core import hooks
from governance.core.actors import Actor, Role
from governance.core.errors import Refused
from governance.models import ApiToken, User
from valhalla.tests import template
from valhalla.tests.documented import DocumentedClient
from valhalla.tests.pristine import Pristine

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as PageResponse
    from rest_framework.response import _MonkeyPatchedResponse as ApiResponse

    ClientResponse = PageResponse | ApiResponse
else:
    ClientResponse = HttpResponse  # what a test client returns, with `json()` and `context`

Item = TypeVar("Item")
CLIENTS = 32
CONFIRM = re.compile(r'name="confirm_kept" value="([^"]*)"')
PASSWORD = "correct horse battery staple"
# The tests' clocks are at the end of November 2026: seeds must be older on whatever day they run.
SEEDED_AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


_pristine: list[Pristine] = []  # of this run's database, once it is created


def put_back(case: object = None) -> None:
    """Restore what migrate left in the tables, after a test that committed."""
    _pristine[0].put_back()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None, run_folder: Path) -> Iterator[None]:
    """Let one worker migrate, with seeds dated SEEDED_AT, and the others copy its database."""
    made = utils.setup_databases

    def migrated_or_copied(*given: Any, **named: Any) -> object:
        with time_machine.travel(SEEDED_AT), once_per_run(run_folder, "template") as is_there:
            if is_there:
                template.copy(run_folder)
                return made(*given, **named, keepdb=True)
            databases = made(*given, **named)
            template.keep(run_folder)
            return databases

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "setup_databases", migrated_or_copied)
        yield


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Remember what the database holds now."""
    with django_db_blocker.unblock():
        _pristine.append(Pristine())
    yield
    _pristine.clear()


@pytest.fixture(scope="session", autouse=True)
def _tables_as_migrate_left_them() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", put_back)
        yield


@pytest.fixture(autouse=True)
def _language_of_settings() -> None:
    """Undo the language choice of the previous test's page: a request leaves it behind in the thread."""
    translation.deactivate()


def make_person(role: str, name: str = "") -> User:
    """Return the person with that name, created with this role if there is none."""
    username = name or f"a-{role.lower()}"
    found = User.objects.filter(username=username).first()
    return found or User.objects.create(username=username, password=_hashed(), role=role)


@functools.cache
def _hashed() -> str:
    """Return the password's hash, computed once: Argon2 is slow on purpose."""
    return make_password(PASSWORD)


def make_by(role: str, name: str = "", scopes: tuple[str, ...] = (POLICY,)) -> Actor:
    """Return an actor with exactly this role's permissions (a service client with the policy scope)."""
    user = make_person(role, name)
    token = ApiToken(scopes=list(scopes)) if role == Role.SERVICE else None
    return Actor(
        username=user.username,
        role=role,
        rights=rights_of(user, token),
        user_id=user.pk,
        correlation_id="test",
    )


def make_client(role: str, name: str = "", scopes: tuple[str, ...] = (POLICY,)) -> APIClient:
    """Return a client that sends a real token of this person."""
    user = make_person(role, name)
    _token, text = ApiToken.objects.create(
        user=user, expiry=timedelta(days=1), scopes=list(scopes), calls_per_minute=MOST_CALLS
    )
    client = DocumentedClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


class ConfirmingClient(Client):
    """A browser whose user enters their password, or code, when asked to confirm who they are."""

    proof: Callable[[], str] = staticmethod(lambda: PASSWORD)
    _confirming = False

    def request(self, **request: Any) -> Any:
        answer = super().request(**request)
        is_page = answer.headers.get("Content-Type", "").startswith("text/html") and not answer.streaming
        asked = CONFIRM.search(answer.content.decode()) if is_page and not self._confirming else None
        if asked is None:
            return answer
        query = request.get("QUERY_STRING")
        place = request["PATH_INFO"] + (f"?{query}" if query else "")
        self._confirming = True
        try:
            answer = self.post(place, {"confirm_kept": asked[1], "confirm_proof": self.proof()})
            return answer if asked[1] else self.get(place)  # nothing waited: the page was not there yet
        finally:
            self._confirming = False


def at_once(
    work: Callable[[Item], object],
    items: Sequence[Item],
    clients: int = CLIENTS,
    *,
    kept: tuple[type[Exception], ...] = (Refused,),
) -> list[Any]:
    """Distribute the items over threads that start together, each with its own connection.

    Returns the results in the order of the items; exceptions of the kinds `kept` are results too, others are
    raised.
    """
    clients = min(clients, len(items))
    ready = threading.Barrier(clients)

    def answer(item: Item) -> Any:
        try:
            return work(item)
        except kept as problem:
            return problem

    def client(number: int) -> list[Any]:
        try:
            connection.ensure_connection()
            ready.wait(60)
            return [answer(item) for item in items[number::clients]]
        finally:
            connection.close()

    answers: list[object] = [None] * len(items)
    with ThreadPoolExecutor(clients) as pool:
        for number, mine in enumerate(pool.map(client, range(clients))):
            answers[number::clients] = mine
    return answers


def quick(count: int) -> int:
    """Return how often a random test tries in a quick run: on PostgreSQL, where a try costs more, a third."""
    return count if DATABASE == "sqlite" else -(-count // 3)


def walk(machine: type[RuleBasedStateMachine], examples: int, steps: int, run_seed: int) -> None:
    """Run a Hypothesis state machine with so many examples, so many steps each.

    The parts of a long run use seeds of their own: Hypothesis would start each of them with the run's seed.
    """
    run_state_machine_as_test(
        seed(run_seed)(machine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=[Phase.reuse, Phase.generate],  # shrinking with a database takes longer than a test may
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


@pytest.fixture
def person(db: None) -> Callable[..., User]:
    return make_person


@pytest.fixture
def by(db: None) -> Callable[..., Actor]:
    return make_by


@pytest.fixture
def api(db: None) -> Callable[..., APIClient]:
    return make_client


@pytest.fixture
def unblocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let go-live be enabled: the runbook, which these tests are not about, has no blocker."""
    monkeypatch.setattr(hooks.checklist, "_answerers", [])


@pytest.fixture
def databases_clock() -> Iterator[None]:
    """Set the clock to the database's, which dates some rows itself and which no run can move."""
    if "VALHALLA_TEST_OFFSET" not in os.environ:
        yield
        return
    with time_machine.travel(time.time() - float(os.environ["VALHALLA_TEST_OFFSET"]), tick=True):
        yield
