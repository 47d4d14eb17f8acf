"""The frame of all pages: signing in and out, two languages, and the pages that say no."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.db import connection
from django.test import Client, RequestFactory
from django.urls import reverse
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer
from rest_framework.test import APIClient

from governance.core.actors import Role
from governance.models import User
from valhalla import views
from valhalla.testing import PASSWORD

TEMPLATES = ("base.html", "registration/login.html", "403.html", "403_csrf.html", "404.html", "500.html")


@pytest.fixture
def ann(person: Callable[..., User]) -> User:
    return person(Role.MANAGER, "ann")


# --- without a browser ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_whoever_is_not_logged_in_is_sent_to_the_login_and_back(client: Client, ann: User) -> None:
    asked = client.get("/")
    assert asked.headers["Location"] == "/login/?next=/"

    done = client.post(
        "/login/", {"username": "ANN", "password": PASSWORD, "next": "/admin/governance/user/"}
    )

    assert done.headers["Location"] == "/admin/governance/user/"


@pytest.mark.django_db
def test_a_wrong_password_is_refused_without_saying_which_of_the_two_is_wrong(
    client: Client, ann: User
) -> None:
    answers = [
        client.post("/login/", {"username": name, "password": "not the password"}).content.decode()
        for name in ("ann", "nobody")
    ]

    sentences = [re.findall(r'role="alert"[^>]*>\s*(.*?)\s*</p>', text) for text in answers]
    assert sentences[0] == sentences[1] != []
    assert "_auth_user_id" not in client.session


@pytest.mark.django_db
def test_the_login_sends_nobody_to_another_site(client: Client, ann: User) -> None:
    done = client.post(
        "/login/", {"username": "ann", "password": PASSWORD, "next": "https://elsewhere.example/"}
    )

    assert done.headers["Location"] == "/"


@pytest.mark.django_db
@pytest.mark.parametrize("word", ["logout", "password_link", "nowhere", "//elsewhere.example"])
def test_a_next_page_that_is_no_path_of_ours_is_home(client: Client, ann: User, word: str) -> None:
    client.force_login(ann)
    assert client.get("/login/code/", {"next": word}).headers["Location"] == "/"


@pytest.mark.django_db
def test_a_name_comes_back_escaped(client: Client) -> None:
    text = client.post("/login/", {"username": '"><script>x</script>', "password": "x"}).content.decode()

    assert "<script>" not in text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("accepted", "language"),
    [("fr-CA,fr;q=0.9", "fr"), ("en-CA", "en"), ("de", "en"), ("", "en"), ("*", "en"), ("xx-\x7f;;q=", "en")],
)
def test_the_language_is_the_browsers_or_english(client: Client, accepted: str, language: str) -> None:
    text = client.get("/login/", headers={"Accept-Language": accepted}).content.decode()

    assert f'<html lang="{language}">' in text


@pytest.mark.django_db
def test_a_language_is_chosen_by_a_button_and_an_unknown_one_changes_nothing(client: Client) -> None:
    for chosen, shown in (("xx", "en"), ("fr", "fr"), ("xx", "fr"), ("en", "en")):
        done = client.post("/language/setlang/", {"language": chosen, "next": "/login/?next=/admin/"})
        assert done.headers["Location"] == "/login/?next=/admin/"
        assert f'<html lang="{shown}">' in client.get("/login/").content.decode()


@pytest.mark.django_db
def test_an_unknown_page_is_a_404_with_a_way_back(client: Client, ann: User) -> None:
    client.force_login(ann)
    answer = client.get("/no/such/page")

    assert answer.status_code == 404
    assert 'href="/"' in answer.content.decode()


@pytest.mark.django_db
def test_a_form_without_its_token_is_refused_with_what_to_do() -> None:
    answer = Client(enforce_csrf_checks=True).post("/login/", {"username": "ann", "password": PASSWORD})

    assert answer.status_code == 403
    assert "load the page again" in answer.content.decode()


@pytest.mark.django_db
def test_the_page_for_what_a_role_may_not_do(ann: User) -> None:
    request = RequestFactory().get("/")
    request.user = ann

    answer = views.forbidden(request)

    assert answer.status_code == 403
    assert "Your role does not allow this" in answer.content.decode()


@pytest.mark.once
def test_the_page_for_our_own_mistakes_needs_no_database() -> None:
    request = RequestFactory().get("/")
    request.correlation_id = "4f2a"  # type: ignore[attr-defined]  # set by the middleware

    answer = views.server_error(request)

    assert answer.status_code == 500
    text = answer.content.decode()
    assert "<h1>Something went wrong</h1>" in text
    assert "4f2a" in text


@pytest.fixture
def no_database(api: Callable[..., APIClient], tmp_path: Path) -> Iterator[tuple[APIClient, Client]]:
    """A client and a browser of people who are known, while the database cannot be reached."""
    program, browser = api("MANAGER"), Client(raise_request_exception=False)
    program.raise_request_exception = False
    browser.force_login(User.objects.get())
    there = dict(connection.settings_dict)
    connection.close()
    nowhere = {"PORT": "1"} if connection.vendor == "postgresql" else {"NAME": str(tmp_path / "none" / "db")}
    connection.settings_dict.update(nowhere)
    try:
        yield program, browser
    finally:
        connection.settings_dict.update(there)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_is_no_mistake_of_ours(no_database: tuple[APIClient, Client]) -> None:
    program, browser = no_database
    answer = program.get("/api/governance/market/policies")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer.json()["code"] == "unavailable"
    page = browser.get(reverse("followups:due"))
    assert page.status_code == 503
    assert "Your last action was not saved" in page.content.decode()


@pytest.mark.once
@pytest.mark.parametrize("name", TEMPLATES)
def test_no_page_has_script_or_style_of_its_own_in_it(name: str) -> None:
    """The content security policy would not run it."""
    from django.template.loader import get_template

    source = get_template(name).template.source  # type: ignore[attr-defined]  # of Django's own engine

    assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:|https?://", source)


# --- in a browser -----------------------------------------------------------------------------------------


@pytest.fixture
def login(page: Page, live_server: LiveServer, ann: User) -> Iterator[Page]:
    """The login page, and nothing in the browser's console that the page's policy had to stop."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda problem: said.append(str(problem)))
    page.goto(f"{live_server}/login/?next=/no/such/page")
    yield page
    assert [text for text in said if "404" not in text] == []


def fill(page: Page, password: str) -> None:
    page.get_by_label("Name").fill("ann")
    page.get_by_label("Password").fill(password)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]]


def test_a_person_logs_in_and_out(login: Page) -> None:
    fill(login, PASSWORD)
    expect(login.get_by_role("heading", name="Page not found")).to_be_visible()
    expect(login.get_by_text("ann", exact=True)).to_be_visible()
    expect(login.get_by_role("link", name="Administration")).to_be_visible()

    login.get_by_role("button", name="Sign out").click()

    expect(login.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(login.get_by_role("link", name="Administration")).not_to_be_attached()


def test_a_wrong_password_says_so_and_keeps_the_name(login: Page) -> None:
    fill(login, "not the password")

    expect(login.get_by_role("alert")).to_contain_text("Wrong username or password")
    expect(login.get_by_label("Name")).to_have_value("ann")
    expect(login.get_by_label("Password")).to_have_value("")
    fill(login, PASSWORD)
    expect(login.get_by_role("heading", name="Page not found")).to_be_visible()


def test_the_language_button_stays_on_the_page(login: Page) -> None:
    login.get_by_role("button", name="Français").click()

    expect(login.locator("html")).to_have_attribute("lang", "fr")
    assert login.url.endswith("/login/?next=/no/such/page")
    login.get_by_role("button", name="English").click()
    expect(login.locator("html")).to_have_attribute("lang", "en")


def test_the_first_tab_leads_past_the_menu(login: Page) -> None:
    login.keyboard.press("Tab")
    expect(login.get_by_role("link", name="Skip to the content")).to_be_focused()
    # else the menu shines through
    expect(login.locator("a:focus")).not_to_have_css("background-color", "rgba(0, 0, 0, 0)")
    login.keyboard.press("Enter")
    login.keyboard.press("Tab")

    expect(login.get_by_label("Name")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(login: Page, scheme: Literal["light", "dark"]) -> None:
    login.emulate_media(color_scheme=scheme)
    assert violations(login) == []
    fill(login, "not the password")
    expect(login.get_by_role("alert")).to_be_visible()
    assert violations(login) == []
    fill(login, PASSWORD)
    expect(login.get_by_role("heading", name="Page not found")).to_be_visible()
    assert violations(login) == []


def test_a_phone_needs_no_sideways_scrolling(login: Page) -> None:
    login.set_viewport_size({"width": 320, "height": 640})
    for password in ("not the password", PASSWORD):
        wide = login.evaluate("document.documentElement.scrollWidth")
        assert wide <= 320
        fill(login, password)
    expect(login.get_by_role("heading", name="Page not found")).to_be_visible()
    assert login.evaluate("document.documentElement.scrollWidth") <= 320


def test_light_and_dark_follow_the_browser(login: Page) -> None:
    def background() -> str:
        return str(login.evaluate("getComputedStyle(document.documentElement).backgroundColor"))

    login.emulate_media(color_scheme="light")
    light = background()
    login.emulate_media(color_scheme="dark")

    assert background() != light


def test_every_address_of_the_frame_exists() -> None:
    assert [reverse(name) for name in ("home", "login", "logout", "set_language")] == [
        "/",
        "/login/",
        "/logout/",
        "/language/setlang/",
    ]
