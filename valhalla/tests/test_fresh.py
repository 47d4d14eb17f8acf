"""What asks a signed-in person for their password or code again, and what never does."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from axe_playwright_python.sync_playwright import Axe
from django.contrib import admin
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core import signing
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer
from rest_framework.test import APIClient

from followups.models import Lead
from governance.accounts.totp_seeds import new_seed
from governance.core.actors import Role
from governance.core.admin.transfer import RowExporter
from governance.models import AccountChange, ApiToken, GoLiveState, KpiEvent, RiskPolicy, User
from governance.retention.screen import ErasesPeople
from governance.tests.test_admin_browser import enter, look
from valhalla.fresh import ACTIONS, SALT, action_of
from valhalla.testing import PASSWORD, ClientResponse
from valhalla.tests.specimens import specimen
from valhalla.tests.test_admin_pages import fields_in
from valhalla.tests.test_second_factor import code_of, enrolled, log_in, waiting_seed

pytestmark = pytest.mark.django_db
People = Callable[..., User]
KEPT = re.compile(r'name="confirm_kept" value="([^"]*)"')
WHY = "decided at Monday's meeting"
SWITCHES = "/admin/governance/golivestate/1/change/"
PEOPLE, TOKENS = "/admin/governance/user/", "/admin/governance/apitoken/"
CAPS = "/admin/governance/riskpolicy/"
NEW_FACTOR = "/login/code/new/"


def stale(client: Client, seconds: int = 1800) -> Client:
    """Let the session's last proof be so many seconds old, while its person was here all the time."""
    session = client.session
    session["fresh_given"], session["fresh_used"] = (
        session["fresh_given"] - seconds,
        int(time.time()) - seconds,
    )
    session.save()
    return client


def asked(answer: ClientResponse) -> str | None:
    """Return the form that waits in the page that asks, or None where nobody is asked."""
    if answer.streaming or not answer.headers.get("Content-Type", "").startswith("text/html"):
        return None
    found = KEPT.search(answer.content.decode())
    return html.unescape(found[1]) if found else None


def confirm(client: Client, path: str, kept: str, proof: str = PASSWORD) -> ClientResponse:
    return client.post(path, {"confirm_kept": kept, "confirm_proof": proof})


@pytest.fixture
def mona(person: People) -> Client:
    client = Client()
    client.force_login(person(Role.MANAGER, "mona"))
    return client


# --- the table, action by action ----------------------------------------------------------------------------

Sent = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """How an action is asked for a first, second ... time, and how often it was done so far."""

    action: str
    prepare: Callable[[Client, int], Sent]
    done: Callable[[], Any]


def _turn(name: str, **before: bool) -> Case:
    def prepare(client: Client, number: int) -> Sent:
        GoLiveState.objects.update_or_create(pk=1, defaults={"updated_at": timezone.now(), **before})
        why = {"change_reason": f"{WHY} {number}", "release_reason": f"{WHY} {number}"}
        return SWITCHES, {"turn": name, **why}

    def turned() -> int:
        return int(GoLiveState.history.filter(reason__startswith=WHY).count())

    return Case("switches", prepare, turned)


def _export(screen: Any) -> Case:
    path = reverse(f"admin:{screen.opts.app_label}_{screen.opts.model_name}_export_rows")
    return Case(
        "export",
        lambda client, number: (path, {"reason": f"{WHY} {number}"}),
        lambda: KpiEvent.objects.filter(metric="rows_exported", detail__reason__startswith=WHY).count(),
    )


def _versions() -> int:
    return int(RiskPolicy.history.filter(reason__startswith=WHY).count())


def _caps(client: Client, number: int) -> Sent:
    path = f"{CAPS}{RiskPolicy.objects.get(engine='GLOBAL').pk}/change/"
    form = {name: value for name, value in fields_in(client.get(path)).items() if name[:7] != "no_cap_"}
    changes = {"enabled": "on", "no_cap_max_actions_per_day": "on", "max_open_risk": str(1000 - number)}
    return path, {**form, **changes, "change_reason": WHY}


def _row(name: str, **columns: object) -> User:
    return User.objects.create(username=name, role=Role.VA, **columns)


def _caps_list(client: Client, number: int) -> Sent:
    row = RiskPolicy.objects.get(engine="GLOBAL")
    action = "switch_off" if row.enabled else "switch_on"
    chosen = {
        "action": action,
        "_selected_action": [row.pk],
        "apply": "1",
        "change_reason": f"{WHY} {number}",
    }
    return CAPS, chosen


def _enrol(client: Client, number: int) -> Sent:
    TOTPDevice.objects.all().delete()
    if "code_key" not in client.session:  # of a page that was read before
        session = client.session
        session["code_key"] = new_seed(int(session["_auth_user_id"]))
        session.save()
    return NEW_FACTOR, {"code": code_of(waiting_seed(client)), "next": "/followups/"}


def _reset(client: Client, number: int) -> Sent:
    user = _row(f"amara{number}")
    TOTPDevice.objects.create(user=user)
    return PEOPLE, {
        "action": "reset_second_factor",
        "_selected_action": [user.pk],
        "apply": "1",
        "reason": WHY,
    }


def _issue(client: Client, number: int) -> Sent:
    user, _made = User.objects.get_or_create(username="dialer", role=Role.SERVICE)
    given = {"user": user.pk, "label": f"dialer {number}", "scopes": ["policy", "buyers"], "days": "30"}
    return f"{TOKENS}add/", {**given, "calls_per_minute": "600"}


def _revoke(client: Client, number: int) -> Sent:
    user, _made = User.objects.get_or_create(username="dialer", role=Role.SERVICE)
    token, _text = ApiToken.objects.create(user=user, expiry=timedelta(days=1))
    return TOKENS, {"action": "revoke", "_selected_action": [token.pk], "apply": "1", "reason": WHY}


def _add_person(client: Client, number: int) -> Sent:
    return f"{PEOPLE}add/", {
        "username": f"new{number}",
        "role": "CLOSER",
        "email": "new@example.ca",
    }


def _restore(client: Client, number: int) -> Sent:
    row = RiskPolicy.objects.get(engine="GLOBAL")
    row.max_open_risk, row.version = 500 + number, row.version + 1
    row.save()
    old = row.history.earliest()
    sent = {"change_reason": f"{WHY} {number}", "seen_version": str(row.version), "_draw": "1"}
    return f"{CAPS}{row.pk}/history/{old.pk}/restore/", sent


def _link(client: Client, number: int) -> Sent:
    return f"/admin/password-link/{_row(f'ben{number}').pk}/", {"show": "1"}


def _change_role(client: Client, number: int) -> Sent:
    user = _row(f"vera{number}")
    inlines = {
        f"{name}-{forms}_FORMS": "0"
        for name in ("work_profile", "absences")
        for forms in ("TOTAL", "INITIAL")
    }
    form = {"username": user.username, "role": "CLOSER", "is_active": "on", "change_reason": WHY}
    return f"{PEOPLE}{user.pk}/change/", {**form, **inlines}


def _erase(client: Client, number: int) -> Sent:
    lead = specimen(Lead)
    lead.pk, lead.external_id, lead._state.adding = None, f"L-{number}", True
    lead.save(force_insert=True)
    return f"/admin/followups/lead/{lead.pk}/erase/", {"why": "REQUESTED", "sure": "on"}


CASES = {
    **{f"export {screen.opts.model_name}": _export(screen) for screen in admin.site._registry.values()
       if isinstance(screen, RowExporter)},
    "release": _turn("release", kill_switch_engaged=True),
    "enable": _turn("enable", go_live_enabled=False, kill_switch_engaged=False),
    "disable": _turn("disable", go_live_enabled=True),
    "caps": Case("caps", _caps, _versions),
    "caps_list": Case("caps_list", _caps_list, _versions),
    "enrol": Case("enrol", _enrol, lambda: TOTPDevice.objects.filter(user__username="mona").count()),
    "reset": Case("second_factor", _reset, lambda: -TOTPDevice.objects.count()),
    "issue": Case("token", _issue, lambda: ApiToken.objects.filter(
        scopes=["buyers", "policy"], label__startswith="dialer").count()),
    "revoke": Case("token_revoke", _revoke, lambda: ApiToken.objects.filter(revoke_reason=WHY).count()),
    "person": Case("person", _add_person, lambda: User.objects.filter(username__startswith="new").count()),
    "caps_restore": Case("caps_restore", _restore, _versions),
    "password link": Case("person", _link, lambda: AccountChange.objects.filter(kind="LINK").count()),
    "role": Case("role", _change_role, lambda: User.objects.filter(role="CLOSER").count()),
    "erase": Case("erase", _erase, lambda: Lead.objects.filter(erasure__isnull=False).count()),
}  # fmt: skip
# tests of their own, below and in test_passkeys.py
ELSEWHERE = {"switches_api", "caps_api", "caps_import", "passkey_new", "passkey"}


def test_every_action_of_the_table_is_walked_through_below() -> None:
    assert {case.action for case in CASES.values()} | ELSEWHERE == {action.name for action in ACTIONS}
    for screen in admin.site._registry.values():
        for kind, end, name in ((RowExporter, "export_rows", "export"), (ErasesPeople, "erase", "erase")):
            if isinstance(screen, kind):
                found = action_of(f"admin:{screen.opts.app_label}_{screen.opts.model_name}_{end}")
                assert found is not None
                assert found.name == name


@pytest.mark.usefixtures("unblocked")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_who_signed_in_long_ago_confirms_and_then_it_is_done_once(case: Case, mona: Client) -> None:
    action = next(action for action in ACTIONS if action.name == case.action)
    path, sent = case.prepare(stale(mona), 1)
    before = case.done()

    page = mona.post(path, sent)
    kept = asked(page)
    assert kept, "asked, with what was typed"
    assert page["Cache-Control"] == "no-store"
    again = confirm(mona, path, kept, "wrong")
    assert asked(again) == kept
    assert "not your password" in again.content.decode()
    assert case.done() == before, "nothing is done yet"

    assert asked(confirm(mona, path, kept)) is None
    assert case.done() == before + 1

    if case.action != "enrol":
        path, sent = case.prepare(mona, 2)
        before = case.done()
        waits = asked(mona.post(path, sent))
        assert bool(waits) is action.every_time
        assert case.done() == before + (not action.every_time)


@pytest.mark.usefixtures("unblocked")
@pytest.mark.parametrize("role", [Role.AUDITOR, Role.CLOSER, Role.VA])
def test_who_may_not_do_it_is_refused_and_not_asked(role: str, mona: Client, person: People) -> None:
    client = Client()
    client.force_login(person(role, "somebody"))
    for name, case in CASES.items():
        if name == "enrol":
            continue  # everybody's own
        path, sent = case.prepare(mona, 1)
        before = case.done()
        answer = stale(client).post(path, sent)
        assert asked(answer) is None, name
        assert case.done() == before, name
        User.objects.filter(username__in=["amara1", "vera1", "ben1"]).delete()


# --- how long it holds --------------------------------------------------------------------------------------


def test_a_proof_holds_thirty_minutes_after_its_last_use_and_two_hours_at_most(mona: Client) -> None:
    path, sent = CASES["export lead"].prepare(mona, 1)
    with time_machine.travel(timezone.now(), tick=False) as clock:
        mona.force_login(User.objects.get(username="mona"))

        def later(minutes: int) -> bool:
            for _part in range(minutes):
                clock.shift(timedelta(minutes=1))
                if _part % 20 == 0:
                    mona.get("/sessions/")  # being here is no proof
            return asked(mona.post(path, sent)) is None

        assert [later(29), later(29), later(29), later(29)] == [True] * 4
        assert not later(4), "two hours have passed"
        page = mona.post(path, sent)
        assert asked(confirm(mona, path, str(asked(page)))) is None
        assert later(29)
        assert not later(30)


def test_a_wrong_password_counts_as_one_at_the_login(mona: Client) -> None:
    path, sent = CASES["export lead"].prepare(mona, 1)
    kept = asked(stale(mona).post(path, sent))
    assert kept
    answers = [confirm(mona, path, kept, "wrong").status_code for _number in range(5)]
    assert answers == [200, 200, 200, 200, 429]
    assert confirm(mona, path, kept).status_code == 429
    assert KpiEvent.objects.filter(metric="rows_exported").count() == 0
    at_login = Client().post("/login/", {"username": "mona", "password": PASSWORD})
    assert at_login.status_code == 429


def test_the_right_password_ends_the_count(mona: Client) -> None:
    path, sent = CASES["export lead"].prepare(mona, 1)
    for _round in range(3):
        kept = asked(stale(mona).post(path, sent))
        assert kept
        for _number in range(3):
            assert asked(confirm(mona, path, kept, "wrong")) == kept
        assert confirm(mona, path, kept).streaming


def test_who_has_a_second_factor_gives_a_code(person: People) -> None:
    client = log_in(person(Role.MANAGER, "mona"))
    _key, codes = enrolled(client)
    client._confirming = True  # this test confirms itself
    path, sent = CASES["export lead"].prepare(client, 1)
    key = client.session.session_key
    page = stale(client).post(path, sent)
    kept = asked(page)
    assert kept
    assert 'autocomplete="one-time-code"' in page.content.decode()
    assert asked(confirm(client, path, kept)), "the password is not enough"
    with time_machine.travel(timezone.now() + timedelta(minutes=5)):
        assert confirm(client, path, kept, codes[0]).streaming
    assert client.session.session_key != key, "the session gets another key"


def test_what_waits_is_for_this_person_and_this_form_alone(mona: Client, person: People) -> None:
    path, sent = CASES["export lead"].prepare(mona, 1)
    kept = asked(stale(mona).post(path, sent))
    assert kept
    other = Client()
    other.force_login(person(Role.MANAGER, "max"))
    forged = signing.dumps([User.objects.get(username="mona").pk, path, [["reason", [WHY]]]], salt="another")
    buyers = CASES["export buyer"].prepare(mona, 1)[0]
    for client, place, form in (
        (other, path, kept),
        (mona, buyers, kept),
        (mona, path, forged),
        (mona, path, kept[:-2]),
        (mona, path, "é\0"),
        (mona, path, signing.dumps([1], salt=SALT)),
        (mona, path, signing.dumps(1, salt=SALT)),
    ):
        answer = confirm(client, place, form)
        assert (answer.status_code, answer.headers.get("Location")) == (302, place)
    with time_machine.travel(timezone.now() + timedelta(hours=2, minutes=1)):
        mona.force_login(User.objects.get(username="mona"))
        assert confirm(mona, path, kept).status_code == 302
    assert KpiEvent.objects.filter(metric="rows_exported").count() == 0
    assert confirm(Client(), path, kept).status_code == 302  # to the login
    csrf = Client(enforce_csrf_checks=True)
    csrf.force_login(User.objects.get(username="mona"))
    assert confirm(csrf, path, kept).status_code == 403


# --- files and pages that cannot wait -----------------------------------------------------------------------


def test_a_file_of_caps_is_asked_for_after_the_password(mona: Client) -> None:
    path = f"{CAPS}import/"
    kept = asked(stale(mona).get(path))
    assert kept == ""
    assert b'type="file"' not in stale(mona).get(path).content
    assert confirm(mona, path, kept)["Location"] == path
    assert b'type="file"' in mona.get(path).content
    page = stale(mona).post(path, {"file": SimpleUploadedFile("caps.csv", b"engine\nGLOBAL\n")})
    assert asked(page) == ""
    assert "choose the file again" in page.content.decode()
    rows = {"rows": '[{"row": "2"}]', "_import": "1"}
    assert asked(stale(mona).post(path, rows)), "rows that were read already wait in the page"


def test_a_second_factor_is_set_up_after_the_password(mona: Client) -> None:
    page = mona.get(NEW_FACTOR)
    assert asked(page) == "", "even who has just signed in is asked"
    assert "code_key" not in mona.session
    assert confirm(mona, NEW_FACTOR, "")["Location"] == NEW_FACTOR
    assert asked(mona.get(NEW_FACTOR)) is None
    sent = {"code": code_of(waiting_seed(mona))}
    assert mona.post(NEW_FACTOR, sent).status_code == 200
    assert TOTPDevice.objects.filter(user__username="mona").count() == 1
    TOTPDevice.objects.all().delete()
    mona.force_login(User.objects.get(username="mona"))
    assert asked(mona.get(NEW_FACTOR)) == "", "the next one is asked for again"


# --- the API ------------------------------------------------------------------------------------------------

API: dict[str, dict[str, object]] = {
    "/api/governance/go-live/enable": {"reason": WHY},
    "/api/governance/go-live/disable": {"reason": WHY},
    "/api/governance/go-live/kill-switch/release": {"reason": WHY},
    "/api/governance/risk/policies/upsert": {"engine": "GLOBAL", "max_open_risk": 900, "reason": WHY},
}


@pytest.mark.usefixtures("unblocked")
@pytest.mark.parametrize("path", API)
def test_the_api_asks_a_session_and_no_token(
    path: str, mona: Client, person: People, api: Callable[..., APIClient]
) -> None:
    GoLiveState.objects.update_or_create(pk=1, defaults={"updated_at": timezone.now()})
    old = RiskPolicy.objects.get(engine="GLOBAL").version
    for headers in ({}, {"Authorization": "Basic bW9uYTptb25h"}):
        refused = stale(mona).post(path, API[path], content_type="application/json", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "fresh_authentication_required")
        assert refused["Content-Type"] == "application/problem+json"
    assert RiskPolicy.objects.get(engine="GLOBAL").version == old
    vera = Client()
    vera.force_login(person(Role.VA, "vera"))
    body = stale(vera).post(path, API[path], content_type="application/json").json()
    assert body["code"] == "not_allowed"

    assert api(Role.MANAGER, "mona").post(path, API[path], format="json").status_code == 200
    mona.force_login(User.objects.get(username="mona"))
    assert mona.post(path, API[path], content_type="application/json").status_code == 200


# --- what never asks ----------------------------------------------------------------------------------------


def _never() -> Iterator[tuple[str, str, dict[str, object], str]]:
    yield Role.MANAGER, SWITCHES, {"turn": "engage", "change_reason": WHY}, "form"
    yield Role.CLOSER, "/go-live/", {"reason": WHY}, "form"
    yield Role.MANAGER, "/api/governance/go-live/kill-switch/engage", {"reason": WHY}, "json"


@pytest.mark.parametrize(("role", "path", "sent", "kind"), list(_never()), ids=str)
def test_engaging_the_kill_switch_never_asks(
    role: str, path: str, sent: dict[str, Any], kind: str, person: People
) -> None:
    client = Client()
    client.force_login(person(role, "somebody"))
    more: dict[str, Any] = {"content_type": "application/json"} if kind == "json" else {}
    answer = stale(client, 100_000).post(path, sent, **more)
    assert asked(answer) is None
    assert GoLiveState.objects.get(pk=1).kill_switch_engaged


def test_no_page_of_a_va_is_in_the_table() -> None:
    views = {view for action in ACTIONS for view in action.views}
    assert {view for view in views if not view.startswith("admin:")} == {
        "go-live-enable", "go-live-disable", "kill-switch-release", "risk-policy-upsert", "second_factor_new",
        "password_link", "passkey_new", "second_factors",
    }  # fmt: skip
    assert action_of("followups:complete") is None
    assert action_of("kill-switch-engage") is None
    assert action_of("golive:switches") is None


@pytest.mark.parametrize("typed", ["%20{}", "{}%20", "+{}", "0{}"])
def test_a_role_is_asked_for_under_whatever_id_the_screen_finds_the_person(typed: str, mona: Client) -> None:
    path, form = _change_role(mona, 1)
    user = User.objects.get(username="vera1")

    answer = mona.post(path.replace(f"/{user.pk}/", f"/{typed.format(user.pk)}/"), form)

    assert asked(answer)
    user.refresh_from_db()
    assert user.role == Role.VA


def test_what_else_a_manager_does_on_the_same_screens_is_not_asked(mona: Client) -> None:
    path, sent = _change_role(mona, 1)
    same = {**sent, "role": "VA", "first_name": "Vera"}
    answer = stale(mona).post(path, same)
    assert (answer.status_code, asked(answer)) == (302, None)
    assert User.objects.get(username="vera1").first_name == "Vera"
    off = {**same, "is_active": "false"}
    assert asked(stale(mona).post(path, off)), "a box that says false is not ticked"
    path, caps = _caps(mona, 1)
    assert asked(stale(mona).post(path, {**caps, "_draw": "1"})) is None, "a draft saves nothing"
    chosen = {"action": "reset_second_factor", "_selected_action": [User.objects.get(username="vera1").pk]}
    assert asked(stale(mona).post(PEOPLE, chosen)) is None, "its form comes first"
    assert asked(stale(mona).post(PEOPLE, {**chosen, "action": "mark_away"})) is None


# --- in a browser -------------------------------------------------------------------------------------------


def _stale_in_browser() -> None:
    session = SessionStore(session_key=Session.objects.get().session_key)
    session["fresh_used"] -= 1800
    session.save()


@pytest.mark.django_db(transaction=True)
def test_what_was_typed_is_saved_once_the_password_is_given(
    page: Page, live_server: LiveServer, person: People
) -> None:
    person(Role.MANAGER, "mona")
    broken: list[str] = []
    page.on("console", lambda message: broken.append(message.text) if message.type == "error" else None)
    enter(page, live_server.url, "mona")
    policy = RiskPolicy.objects.get(engine="GLOBAL")
    page.goto(f"{live_server.url}{CAPS}{policy.pk}/change/")
    page.fill("[name=max_open_risk]", "4321")
    page.fill("[name=change_reason]", "A quieter month – “careful” & <slow>")
    _stale_in_browser()
    page.click("button[name=_save]")

    proof = page.locator("#id_confirm_proof")
    expect(proof).to_be_focused()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            look(page, f"confirm-{scheme}-{width}")
    violations = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [rule["id"] for rule in violations if rule["impact"] in ("serious", "critical")] == []
    proof.fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not your password")
    look(page, "confirm-wrong")
    proof.fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{live_server.url}{CAPS}")
    policy.refresh_from_db()
    assert (policy.max_open_risk, policy.reason) == (4321, "A quieter month – “careful” & <slow>")

    page.goto(f"{live_server.url}/admin/followups/lead/export/")
    page.fill("[name=reason]", "monthly report")
    _stale_in_browser()
    page.click("#export")
    proof.fill(PASSWORD)
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename.startswith("lead-")
    assert broken == []


def test_the_page_speaks_french(mona: Client) -> None:
    path, sent = CASES["export lead"].prepare(mona, 1)
    page = stale(mona).post(path, sent, headers={"Accept-Language": "fr"}).content.decode()
    assert "Confirmez votre identité" in page
    assert "Votre mot de passe" in page
