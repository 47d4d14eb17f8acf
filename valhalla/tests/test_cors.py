"""Scripts of other hosts' pages: refused by browsers unless the operator names the host."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.test import Client, override_settings
from rest_framework.test import APIClient

from governance.core.actors import Role

ORIGIN = "https://crm.example"
PATH = "/api/governance/market/policies"
PREFLIGHT = {
    "origin": ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,idempotency-key",
}
CORS = "corsheaders.middleware.CorsMiddleware"


@pytest.fixture
def named() -> Iterator[None]:
    """The settings of an operator who named one host."""
    chain = list(project.MIDDLEWARE)
    chain.insert(chain.index("valhalla.middleware.ErrorsAsProblems"), CORS)
    with override_settings(CORS_ALLOWED_ORIGINS=[ORIGIN], MIDDLEWARE=chain):
        yield


def of_cors(answer: Any) -> dict[str, str]:
    return {
        name: value
        for name, value in ((name.lower(), value) for name, value in answer.headers.items())
        if name.startswith("access-control-")
    }


def test_by_default_no_other_host_may_call(client: Client) -> None:
    assert CORS not in project.MIDDLEWARE
    assert of_cors(client.options(PATH, headers=PREFLIGHT)) == {}
    assert of_cors(client.get(PATH, headers={"origin": ORIGIN})) == {}


def test_a_preflight_of_the_named_host_is_answered_without_a_token(named: None) -> None:
    answer = Client().options(PATH, headers=PREFLIGHT)

    found = of_cors(answer)
    assert answer.status_code == 200
    assert found["access-control-allow-origin"] == ORIGIN
    assert "POST" in found["access-control-allow-methods"]
    assert {"authorization", "content-type", "idempotency-key", "if-match"} <= set(
        found["access-control-allow-headers"].split(", ")
    )
    assert found["access-control-max-age"] == "600"
    assert "origin" in answer["Vary"].lower()


@pytest.mark.django_db
@pytest.mark.parametrize("cookie", [False, True])  # the short way of programs, and that of browsers
def test_an_answer_can_be_read_by_the_named_host(
    named: None, api: Callable[..., APIClient], cookie: bool
) -> None:
    client = api(Role.MANAGER)
    if cookie:
        client.cookies[project.SESSION_COOKIE_NAME] = "of-nobody"
    answer = client.get(PATH, headers={"origin": ORIGIN})

    assert answer.status_code == 200
    found = of_cors(answer)
    assert found["access-control-allow-origin"] == ORIGIN
    assert {"RateLimit", "Retry-After", "X-Correlation-ID"} <= set(
        found["access-control-expose-headers"].split(", ")
    )
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.django_db
def test_a_refusal_can_be_read_too(named: None, api: Callable[..., APIClient]) -> None:
    for answer in (
        Client().get(PATH, headers={"origin": ORIGIN}),
        api(Role.MANAGER).post(PATH, headers={"origin": ORIGIN}),
        api(Role.MANAGER).get("/api/nowhere", headers={"origin": ORIGIN}),
    ):
        assert answer.status_code in (401, 404, 405)
        assert of_cors(answer)["access-control-allow-origin"] == ORIGIN


@pytest.mark.django_db
def test_cookies_never_count_for_another_host(named: None, api: Callable[..., APIClient]) -> None:
    for answer in (
        Client().options(PATH, headers=PREFLIGHT),
        api(Role.MANAGER).get(PATH, headers={"origin": ORIGIN}),
    ):
        assert "Access-Control-Allow-Credentials" not in answer


@pytest.mark.django_db
@pytest.mark.parametrize("origin", ["https://other.example", "http://crm.example", "null"])
def test_other_hosts_are_refused(named: None, api: Callable[..., APIClient], origin: str) -> None:
    assert "Access-Control-Allow-Origin" not in Client().options(
        PATH, headers={**PREFLIGHT, "origin": origin}
    )
    assert of_cors(api(Role.MANAGER).get(PATH, headers={"origin": origin})) == {}


def test_pages_are_no_part_of_it(named: None) -> None:
    assert of_cors(Client().get("/login/", headers={"origin": ORIGIN})) == {}


@pytest.mark.once
@pytest.mark.parametrize(
    "value", ["*", "crm.example", "https://crm.example/", "https://*.crm.example", "ftp://x"]
)
def test_what_is_no_origin_stops_the_start(tmp_path: Path, value: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import valhalla.settings"],
        cwd=project.BASE_DIR, capture_output=True, text=True, timeout=60,
        env={**os.environ, "CORS_ALLOWED_ORIGINS": value, "VALHALLA_VAR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode != 0
    assert f"CORS_ALLOWED_ORIGINS names {value!r}" in done.stderr


@pytest.mark.once
def test_a_named_host_adds_the_middleware(tmp_path: Path) -> None:
    program = "from valhalla import settings as s; print(s.CORS_ALLOWED_ORIGINS, s.MIDDLEWARE[4])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=project.BASE_DIR, capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "CORS_ALLOWED_ORIGINS": f"{ORIGIN}, http://localhost:5173",
             "VALHALLA_VAR": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.strip() == f"['{ORIGIN}', 'http://localhost:5173'] {CORS}"
