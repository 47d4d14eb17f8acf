"""A program's call of the API skips the middlewares that serve pages, and keeps all that they ensure."""

from __future__ import annotations

from collections.abc import Callable
from http.cookies import SimpleCookie

import pytest
from django.db import DataError
from django.test import Client, override_settings
from rest_framework.test import APIClient

from governance.market.api.viewsets import MarketPolicyViewSet
from governance.models import MarketPolicy, User

Api = Callable[..., APIClient]
PATHS = ("effective?province=ON", "effective", "policies/upsert", "nowhere")
MARKET = "/api/governance/market/"


def with_session(client: APIClient) -> APIClient:
    """Return the client with a session cookie, so that its calls pass through every middleware."""
    client.cookies = SimpleCookie({"sessionid": "unknown"})
    return client


@pytest.mark.django_db
@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_both_ways_give_an_answer_the_same_headers(api: Api, path: str, secure: bool) -> None:
    with override_settings(SECURE_HSTS_SECONDS=60, SECURE_HSTS_INCLUDE_SUBDOMAINS=True):
        for send in (APIClient.get, APIClient.post):
            short, whole = (
                send(client, MARKET + path, secure=secure, headers={"X-Correlation-ID": "c-1"})
                for client in (api("MANAGER"), with_session(api("MANAGER")))
            )
            assert short.status_code == whole.status_code
            assert {**short.headers, "Content-Security-Policy": ""} == {
                **whole.headers,
                "Content-Security-Policy": "",
            }
            # csp names its directives in any order
            first, second = (set(one["Content-Security-Policy"].split("; ")) for one in (short, whole))
            assert first == second
            assert ("Strict-Transport-Security" in short) is secure


@pytest.mark.django_db
def test_a_session_without_a_person_needs_a_token_as_nobody_does() -> None:
    for client in (APIClient(), with_session(APIClient())):
        answer = client.get(MARKET + PATHS[0])
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.django_db
def test_a_person_who_is_signed_in_needs_the_forms_token_for_a_post(person: Callable[..., User]) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(person("MANAGER"))
    assert browser.get(MARKET + PATHS[0]).status_code == 200
    answer = browser.post(MARKET + "policies/upsert", {"province": "ON", "enabled": True})
    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


@pytest.mark.django_db
def test_a_program_is_answered_in_the_language_that_it_asks_for(api: Api) -> None:
    client = api("MANAGER")
    for language, word in (("fr", "champ"), ("en", "field"), ("fr", "champ")):
        answer = client.get(MARKET + "effective", headers={"Accept-Language": language})
        assert answer["Content-Language"] == language
        assert word in answer.json()["errors"]["province"][0]


@pytest.mark.django_db
def test_a_host_that_is_not_served_is_refused_with_a_problem(api: Api) -> None:
    client = api("MANAGER")
    client.raise_request_exception = False
    answer = client.get(MARKET + PATHS[0], headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


@pytest.mark.django_db
def test_the_history_of_a_change_by_a_program_names_who_made_it(api: Api) -> None:
    client = api("MANAGER", "mona")
    sent = {"province": "YT", "enabled": False, "reason": "test"}
    assert client.post(MARKET + "policies/upsert", sent, format="json").status_code == 200
    newest = MarketPolicy.history.filter(province="YT").latest("history_id")
    assert newest.history_user.username == "mona"


@pytest.mark.django_db
def test_what_postgres_cannot_look_for_is_a_bad_request_and_any_other_failure_a_problem(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, request: object) -> None:
        raise DataError

    monkeypatch.setattr(MarketPolicyViewSet, "effective", fail)
    for client in (api("MANAGER"), with_session(api("MANAGER"))):
        client.raise_request_exception = False
        assert client.get(MARKET + "effective?market=%00").json()["code"] == "bad_request"
        answer = client.get(MARKET + PATHS[0])
        assert (answer.status_code, answer.json()["code"]) == (500, "server_error")
