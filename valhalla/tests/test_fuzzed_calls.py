"""Calls that a program makes up from the schema alone are answered as the schema says.

Two of schemathesis's checks are left out: that all is accepted which the schema allows, as rules for several
fields together are no shapes, and that all else is refused, as a call takes what can be read in one way only,
such as a number that came as text.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from conftest import DATABASE
from valhalla.testing import make_client, quick
from valhalla.tests.documented import written_schema

pytestmark = [pytest.mark.django_db, pytest.mark.both]
CALLS = [(path, method.upper()) for path, methods in written_schema()["paths"].items() for method in methods]
each_call = pytest.mark.parametrize(("path", "method"), CALLS)
CONFIG = {
    "checks": {
        "positive_data_acceptance": {"enabled": False},
        "negative_data_rejection": {"enabled": False},
        "missing_required_header": {"expected-statuses": [400, 401, 403, 428]},  # RFC 6585
    }
}
HOW: Any = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


application = cache(get_wsgi_application)


@cache
def schema() -> Any:
    """Return the schema as schemathesis reads it, its calls sent to this process."""
    import schemathesis  # seconds, which collecting the tests need not take

    found: Any = schemathesis.openapi.from_dict(
        written_schema(), config=schemathesis.Config.from_dict(CONFIG)
    )
    found.app = to_the_end
    return found


def to_the_end(environ: dict[str, object], start_response: Any) -> list[bytes]:
    """Answer a call by an application whose client reads all of the answer."""
    answer: Any = application()(environ, start_response)
    try:
        return [b"".join(answer)]
    finally:
        answer.close()


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """Keep the test's connection, which the handler would close after each call."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


def headers_of(role: str) -> dict[str, str]:
    client: Any = make_client(role)  # whose stubs lack what `credentials` sets
    return {"Authorization": client._credentials["HTTP_AUTHORIZATION"]}


def make_calls(path: str, method: str, examples: int, run_seed: int) -> None:
    """Make calls that the schema allows, and calls that it forbids."""
    from schemathesis import GenerationMode

    operation, headers = schema()[path][method], headers_of("MANAGER")
    modes = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]

    @seeded(run_seed)
    @settings(max_examples=examples, **HOW)
    @given(case=st.one_of(modes))
    def call(case: Any) -> None:
        case.call_and_validate(headers=headers)

    call()


@each_call
def test_each_call_is_answered_as_the_schema_says(path: str, method: str, seed: int) -> None:
    make_calls(path, method, quick(3), seed)


@pytest.mark.long
@each_call
def test_many_of_each_call_are(path: str, method: str, seed: int) -> None:
    make_calls(path, method, 36 if DATABASE == "sqlite" else 12, seed)  # 3,000 and 1,000


def follow(examples: int, role: str, run_seed: int) -> None:
    """Make calls one after the other that use what earlier ones answered."""
    headers = headers_of(role)

    @seeded(run_seed)
    class Calls(schema().as_state_machine()):  # type: ignore[misc]  # made from the schema
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": headers}

        def validate_response(
            self, response: Any, case: Any, additional_checks: Any = None, **kwargs: Any
        ) -> None:
            case.validate_response(response, headers=headers, transport_kwargs=kwargs, recorder=self.recorder)

    Calls.run(settings=settings(max_examples=examples, stateful_step_count=6, **HOW))


def test_calls_that_follow_one_another_are_too(seed: int) -> None:
    follow(10, "MANAGER", seed)


@pytest.mark.long
@pytest.mark.parametrize("role", ["MANAGER", "SERVICE", "CLOSER", "VA", "AUDITOR"])
def test_many_that_follow_one_another_are_too(role: str, seed: int) -> None:
    follow(100 if DATABASE == "sqlite" else 30, role, seed)
