"""Where a stranger starts with the API: the page, the reference in Swagger UI, and the schema."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from playwright.sync_api import ConsoleMessage, Page, Request, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from governance.core.actors import Role
from governance.models import User
from valhalla.management.commands.openapi import DOCS

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PHONE = 320


# --- the start page -----------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_browser_gets_a_page_that_names_this_host(client: Client) -> None:
    answer = client.get("/api/", headers=BROWSER)

    text = answer.content.decode()
    assert answer.status_code == 200
    assert "http://testserver/api/followups/due" in text
    assert "Accept" in answer["Vary"]


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["application/json", "*/*"])
def test_a_program_gets_the_addresses(client: Client, accept: str) -> None:
    answer = client.get("/api/", headers={"accept": accept})

    body = answer.json()
    assert client.get(body["schema"]).json()["openapi"] == "3.1.0"
    assert client.get(body["docs"]).status_code == 200


@pytest.mark.django_db
def test_the_page_leads_to_the_tokens_of_whoever_may_issue_one(
    client: Client, person: Callable[..., User]
) -> None:
    link = 'href="/tokens/">Your tokens</a>. The program'
    assert link not in client.get("/api/", headers=BROWSER).content.decode()

    client.force_login(person(Role.VA, "vera"))
    assert link in client.get("/api/", headers=BROWSER).content.decode()


@pytest.mark.django_db
def test_the_page_speaks_french(client: Client) -> None:
    text = client.get("/api/", headers={**BROWSER, "accept-language": "fr"}).content.decode()
    assert '<html lang="fr">' in text
    assert "Obtenir un jeton" in text


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api", "/api/docs/"])
def test_other_ways_of_writing_the_address_lead_to_it(client: Client, path: str) -> None:
    answer = client.get(path, headers=BROWSER, follow=True)
    assert answer.status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/", "/api/docs", "/api/docs/"])
def test_people_are_led_to_https_and_programs_refused(client: Client, settings: Settings, path: str) -> None:
    settings.SECURE_SSL_REDIRECT = True

    assert client.get(path, headers=BROWSER)["Location"] == f"https://testserver{path}"
    assert client.get("/api/followups/due").json()["code"] == "tls_required"


# --- the schema ---------------------------------------------------------------------------------------------


def test_the_schema_is_served_as_it_was_written_to_anybody(client: Client) -> None:
    answer = client.get("/api/schema")
    assert answer.content == (DOCS / "openapi.json").read_bytes()

    packed = client.get("/api/schema", headers={"accept-encoding": "gzip"})
    assert gzip.decompress(packed.content) == answer.content
    assert len(packed.content) < len(answer.content) / 5


def test_a_client_that_has_the_schema_is_told_so(client: Client) -> None:
    tag = client.get("/api/schema")["ETag"]
    answer = client.get("/api/schema", headers={"if-none-match": tag})
    assert (answer.status_code, answer.content) == (304, b"")


def test_the_schema_cannot_be_written_to(client: Client) -> None:
    answer = client.post("/api/schema")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


# --- in a browser -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_start_page(
    page: Page, live_server: LiveServer, scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{live_server.url}/api/")
    found = Axe().run(page).response["violations"]
    assert [violation["id"] for violation in found] == []


@pytest.mark.parametrize("path", ["/api/", "/api/docs#/Follow-ups/task_complete"])
def test_a_phone_needs_no_sideways_scrolling(page: Page, live_server: LiveServer, path: str) -> None:
    page.set_viewport_size({"width": PHONE, "height": 640})
    page.goto(f"{live_server.url}{path}")
    if "docs" in path:
        expect(page.locator(".opblock.is-open")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE


def test_the_reference_takes_nothing_from_outside_and_breaks_no_rule_of_the_page(
    page: Page, live_server: LiveServer
) -> None:
    asked: list[str] = []
    said: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            said.append(message.text)

    def ask(request: Request) -> None:
        asked.append(request.url)

    page.on("console", note)
    page.on("request", ask)
    page.goto(f"{live_server.url}/api/docs#/Follow-ups/due")
    block = page.locator(".opblock.is-open")
    expect(block).to_contain_text("List due tasks")
    block.get_by_role("button", name="Try it out").click()
    block.get_by_role("button", name="Execute").click()
    # without a token the answer is that of a stranger, in the API's own words
    expect(block.locator(".live-responses-table")).to_contain_text("not_authenticated")

    assert {url for url in asked if not url.startswith((live_server.url, "data:"))} == set()
    assert [text for text in said if "401" not in text] == []


def test_the_reference_tries_a_call_with_a_token(
    page: Page, live_server: LiveServer, person: Callable[..., User], transactional_db: None
) -> None:
    from datetime import timedelta

    from governance.models import ApiToken

    _token, text = ApiToken.objects.create(user=person(Role.MANAGER), expiry=timedelta(days=1))
    page.goto(f"{live_server.url}/api/docs#/Go-live/go_live_state")
    page.get_by_role("button", name="Authorize").first.click()
    dialog = page.locator(".auth-container", has_text="http, Bearer")
    dialog.get_by_role("textbox").fill(text)
    dialog.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close").first.click()
    block = page.locator(".opblock.is-open")
    block.get_by_role("button", name="Try it out").click()
    block.get_by_role("button", name="Execute").click()
    expect(block.locator(".live-responses-table")).to_contain_text("go_live_enabled")


def test_the_reference_follows_the_browsers_colours(page: Page, live_server: LiveServer) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(f"{live_server.url}/api/docs")
    expect(page.locator(".swagger-ui .info")).to_be_visible()
    light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html.dark-mode")).to_be_attached()
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != light


def test_the_schemas_of_the_docs_are_json() -> None:
    for name in ("openapi.json", "openapi.released.json"):
        assert json.loads((DOCS / name).read_text())["openapi"].startswith("3.1")
