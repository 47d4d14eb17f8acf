"""Fixtures that the tests of every pack share: people of each role, clients with real tokens, actors."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
import time_machine
from django.apps import apps
from django.contrib.auth.hashers import make_password
from django.core.management import call_command
from django.db import connection
from django.test import TransactionTestCase, utils
from django.utils import timezone, translation
from django.utils.module_loading import import_string
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from rest_framework.test import APIClient

from governance import hooks
from governance.actors import By, Role
from governance.append_only import lifted_for_tests
from governance.errors import Refused
from governance.models import ApiToken, User
from governance.people.rules import POLICY, rights_of

Item = TypeVar("Item")
CLIENTS = 32
PASSWORD = "correct horse battery staple"
SEEDS = (
    "governance.market.seeds.seed",
    "governance.contact.seeds.seed_hours",
    "governance.contact.seeds.seed_cities",
    "governance.golive.seeds.seed",
    "governance.risk.seeds.seed",
    "governance.tripwire.seeds.seed",
    "governance.kpi.seeds.seed",
    "governance.heimdall.seeds.seed",
    "governance.retention.seeds.seed",
    "followups.seeds.seed",
    "offers.seeds.seed",
)


# The tests' clocks stand at the end of November 2026: what is planted must be older on whatever day they run.
SEEDED_AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


def empty_and_seed(case: Any) -> None:
    """Empty all tables after a test that committed, and plant the seeds again for the next one."""
    with lifted_for_tests(connection):
        call_command("flush", verbosity=0, interactive=False, allow_cascade=True, inhibit_post_migrate=False)
    with time_machine.travel(SEEDED_AT):
        for path in SEEDS:
            app = apps.get_app_config(path.split(".")[0])
            import_string(path)(app.get_model, timezone.now())


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None) -> Iterator[None]:
    """Let the migrations of the test database plant their seeds at the same instant."""
    made = utils.setup_databases

    def at_that_instant(*given: Any, **named: Any) -> Any:
        with time_machine.travel(SEEDED_AT):
            return made(*given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "setup_databases", at_that_instant)
        yield


@pytest.fixture(scope="session", autouse=True)
def _tables_that_refuse_to_be_emptied() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty_and_seed)
        yield


@pytest.fixture(autouse=True)
def _language_of_settings() -> None:
    """Undo what a page of the test before chose: a request leaves its language behind in the thread."""
    translation.deactivate()


def make_person(role: str, name: str = "") -> User:
    """Return the person of that name, made with this role if there is none."""
    username = name or f"a-{role.lower()}"
    found = User.objects.filter(username=username).first()
    return found or User.objects.create(username=username, password=_hashed(), role=role)


@functools.cache
def _hashed() -> str:
    """The password's hash, made once: Argon2 is slow on purpose."""
    return make_password(PASSWORD)


def make_by(role: str, name: str = "", scopes: tuple[str, ...] = (POLICY,)) -> By:
    """Return an actor with exactly the rights of this role (a service client's with the policy scope)."""
    user = make_person(role, name)
    token = ApiToken(scopes=list(scopes)) if role == Role.SERVICE else None
    return By(
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
        user=user, expiry=timedelta(days=1), scopes=list(scopes), calls_per_minute=10**6
    )
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


def at_once(
    work: Callable[[Item], Any],
    items: Sequence[Item],
    clients: int = CLIENTS,
    *,
    kept: tuple[type[Exception], ...] = (Refused,),
) -> list[Any]:
    """Deal the items out to so many threads that begin together, each with a connection of its own.

    Returns the answers in the order of the items; exceptions of the kinds `kept` are answers too, others are
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

    answers: list[Any] = [None] * len(items)
    with ThreadPoolExecutor(clients) as pool:
        for number, mine in enumerate(pool.map(client, range(clients))):
            answers[number::clients] = mine
    return answers


def walk(machine: type[RuleBasedStateMachine], examples: int, steps: int, run_seed: int) -> None:
    """Let Hypothesis walk through a state machine so many times, so many steps each.

    The parts of a long walk give seeds of their own: Hypothesis would begin each of them with the run's.
    """
    run_state_machine_as_test(
        seed(run_seed)(machine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=[Phase.reuse, Phase.generate],  # shrinking by the database takes longer than a test may
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


@pytest.fixture
def person(db: None) -> Callable[..., User]:
    return make_person


@pytest.fixture
def by(db: None) -> Callable[..., By]:
    return make_by


@pytest.fixture
def api(db: None) -> Callable[..., APIClient]:
    return make_client


@pytest.fixture
def unblocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go-live can be enabled: the runbook, which this is not about, has nothing against it."""
    monkeypatch.setattr(hooks.checklist, "_answerers", [])
