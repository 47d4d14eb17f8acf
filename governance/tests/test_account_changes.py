"""Who may issue tokens to whom, that events name the token they came by, and the log of acts on accounts."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from governance.accounts.rules import by_user
from governance.accounts.second_factor import reset_second_factor
from governance.accounts.services import issue_token, revoke_token, set_active, set_role
from governance.core.actors import Actor, Role
from governance.core.append_only import Unchangeable
from governance.core.errors import Forbidden, Invalid, Refused
from governance.kpi.services import emit_kpi
from governance.models import AccountChange, ApiToken, KpiEvent, RiskEvent, RiskReservation, User
from valhalla.testing import PASSWORD, ClientResponse, ConfirmingClient

pytestmark = [pytest.mark.both, pytest.mark.django_db]
People = Callable[..., User]
NOW = timezone.now()
POLICIES = "/api/governance/market/policies"
EVENTS = "/api/governance/kpi/events"
WHY = "audits the books from now on"


def by_of(user: User, **more: object) -> Actor:
    return by_user(user, correlation_id="test", **more)


def logged() -> list[tuple[str, str, str]]:
    return [(row.actor, row.kind, row.person) for row in AccountChange.objects.order_by("pk")]


def caller(text: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


# --- who may issue what -------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["VA", "CLOSER", "MANAGER", "AUDITOR"])
def test_a_manager_issues_no_token_with_which_to_act_as_a_person(role: str, person: People) -> None:
    mona, other = person("MANAGER", "mona"), person(role, "other")
    with pytest.raises(Forbidden, match="issue their own tokens"):
        issue_token(other.username, by=by_of(mona), at=NOW)
    client = ConfirmingClient()
    client.force_login(mona)
    given = {"user": other.pk, "label": "", "days": "30", "calls_per_minute": "600"}
    answer = client.post(reverse("admin:governance_apitoken_add"), given)
    assert answer.status_code == 200
    assert answer.context["adminform"].errors
    assert not ApiToken.objects.exists()
    assert logged() == []


def test_a_manager_issues_tokens_to_service_clients_and_creates_nobody(person: People) -> None:
    mona, dialer = person("MANAGER", "mona"), person("SERVICE", "dialer")
    issued = issue_token("dialer", by=by_of(mona), at=NOW, scopes=["policy"])
    assert (issued.token.issuer, issued.token.issued_by) == (mona, "mona")
    assert caller(issued.text).get(POLICIES).status_code == 200
    with pytest.raises(Refused, match="no person with this username"):
        issue_token("typo", by=by_of(mona), at=NOW)
    User.objects.filter(pk=dialer.pk).update(is_superuser=True)
    with pytest.raises(Forbidden):
        issue_token("dialer", by=by_of(mona), at=NOW)
    assert logged() == [("mona", "ISSUED", "dialer")]


@pytest.mark.parametrize("role", ["VA", "CLOSER", "AUDITOR", "SERVICE"])
def test_others_issue_none_to_service_clients(role: str, person: People) -> None:
    person("SERVICE", "dialer")
    with pytest.raises(Forbidden):
        issue_token("dialer", by=by_of(person(role, "eve")), at=NOW)


def test_a_service_client_issues_itself_none_and_a_token_issues_none(person: People) -> None:
    dialer, vera = person("SERVICE", "dialer"), person("VA", "vera")
    with pytest.raises(Forbidden):
        issue_token("dialer", by=by_of(dialer), at=NOW, scopes=["policy"])
    text = issue_token("vera", by=by_of(vera), at=NOW)
    with pytest.raises(Forbidden):
        issue_token("vera", by=by_user(vera, text.token), at=NOW)
    with pytest.raises(Invalid):
        issue_token("vera", by=by_of(vera), at=NOW, scopes=["policy"])


def test_the_operator_issues_tokens_to_everybody() -> None:
    for role in Role:
        token = issue_token(role.lower(), role=role, by=Actor.system("issue_token"), at=NOW).token
        assert (token.issuer, token.issued_by, token.user.role) == (None, "issue_token", role)
    assert logged()[:2] == [("issue_token", "CREATED", "va"), ("issue_token", "ISSUED", "va")]


def test_a_program_that_becomes_a_person_takes_no_token_of_its_issuer_along(person: People) -> None:
    mona, vera = person("MANAGER", "mona"), person("VA", "vera")
    own = issue_token("vera", by=by_of(vera), at=NOW).text
    said: dict[str, Any] = {"by": by_of(mona), "at": NOW, "reason": WHY}
    set_role(vera, Role.SERVICE, **said)
    foreign = issue_token("vera", by=by_of(mona), at=NOW).text
    assert caller(foreign).get(POLICIES).status_code == 200
    set_role(User.objects.get(pk=vera.pk), Role.VA, **said)
    assert caller(foreign).get(POLICIES).status_code == 401, "mona could act as vera"
    assert caller(own).get(POLICIES).status_code == 200
    assert logged()[1:] == [("mona", "ROLE", "vera"), ("mona", "ISSUED", "vera"), ("mona", "ROLE", "vera")]


def test_only_service_clients_are_found_on_the_form_of_a_new_token(person: People) -> None:
    person("SERVICE", "ann-dialer")
    person("VA", "ann")
    client = ConfirmingClient()
    client.force_login(person("MANAGER", "mona"))
    asked = {"app_label": "governance", "model_name": "apitoken", "field_name": "user", "term": "ann"}
    found = client.get(reverse("admin:autocomplete"), asked).json()["results"]
    assert [one["text"] for one in found] == ["ann-dialer"]
    asked |= {"model_name": "absence"}
    assert len(client.get(reverse("admin:autocomplete"), asked).json()["results"]) == 2


# --- what the log holds -------------------------------------------------------------------------------------


def test_every_act_on_an_account_names_both(person: People) -> None:
    mona, vera = person("MANAGER", "mona"), person("VA", "vera")
    by = by_of(mona)
    set_role(vera, Role.AUDITOR, by=by, at=NOW, reason=WHY)
    set_active(vera, False, by=by, at=NOW, reason=WHY)
    set_active(vera, True, by=by, at=NOW, reason=WHY)
    token = issue_token(person("SERVICE", "dialer").username, by=by, at=NOW).token
    assert revoke_token(token, by=by, at=NOW, reason="sold")
    assert not revoke_token(token, by=by, at=NOW, reason="sold")
    assert logged() == [
        ("mona", "ROLE", "vera"),
        ("mona", "OFF", "vera"),
        ("mona", "ON", "vera"),
        ("mona", "ISSUED", "dialer"),
        ("mona", "REVOKED", "dialer"),
    ]
    role, *_others, revoked = AccountChange.objects.order_by("pk")
    assert (role.role_before, role.role, role.person_id, role.correlation_id) == (
        "VA",
        "AUDITOR",
        vera.pk,
        "test",
    )
    assert revoked.concerned_token == token.short_id


def test_nothing_is_logged_that_did_not_happen(person: People) -> None:
    vera, carl = person("VA", "vera"), person("CLOSER", "carl")
    token = issue_token("vera", by=by_of(vera), at=NOW).token
    for act in (
        lambda: set_role(vera, Role.MANAGER, by=by_of(carl), at=NOW, reason=WHY),
        lambda: revoke_token(token, by=by_of(carl), at=NOW, reason="no"),
        lambda: reset_second_factor("vera", by=by_of(carl), at=NOW, reason="no"),
    ):
        with pytest.raises(Forbidden):
            act()
    assert logged() == [("vera", "ISSUED", "vera")]


def test_the_log_is_written_once(person: People) -> None:
    issue_token("dialer", role=Role.SERVICE, by=Actor.system("test"), at=NOW)
    row = AccountChange.objects.first()
    assert row is not None
    with pytest.raises(Unchangeable):
        row.save()
    for change in (
        lambda: AccountChange._base_manager.filter(pk=row.pk).update(actor="nobody"),
        lambda: AccountChange._base_manager.filter(pk=row.pk)._raw_delete("default"),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()


@pytest.mark.parametrize("role", ["MANAGER", "AUDITOR", "VA", "CLOSER", "SERVICE"])
def test_managers_and_auditors_read_the_log_and_nobody_changes_it(role: str, person: People) -> None:
    issue_token("dialer", role=Role.SERVICE, by=Actor.system("issue_token"), at=NOW)
    client = ConfirmingClient()
    client.force_login(person(role, "eve"))
    page = client.get(reverse("admin:governance_accountchange_changelist"))
    if role in ("MANAGER", "AUDITOR"):
        assert "token issued" in page.content.decode()
        row = AccountChange.objects.latest("pk")
        shown = reverse("admin:governance_accountchange_change", args=[row.pk])
        assert row.concerned_token in client.get(shown).content.decode()
        assert client.post(shown, {"person": "else"}).status_code == 403
        assert client.get(reverse("admin:governance_accountchange_add")).status_code == 403
    else:
        assert page.status_code in (302, 403)


# --- events name the token ----------------------------------------------------------------------------------


def test_every_event_names_the_token_it_came_by(person: People) -> None:
    issued = issue_token("dialer", role=Role.SERVICE, by=Actor.system("test"), at=NOW)
    other = issue_token("dialer", by=Actor.system("test"), at=NOW)
    client = caller(issued.text)
    reserve = {"engine": "WHOLESALE", "amount": 100}
    assert client.post("/api/governance/risk/check-and-reserve", reserve, format="json").status_code == 200
    emit_kpi("TEST", "called", by=by_user(issued.token.user, issued.token), at=NOW)
    for model in (RiskReservation, RiskEvent, KpiEvent):
        kept = set(model._base_manager.values_list("token_id", flat=True))
        assert kept == {issued.token.short_id}, model
    assert issued.token.short_id != other.token.short_id
    read = caller(issue_token("reader", role=Role.AUDITOR, by=Actor.system("test"), at=NOW).text)
    found = read.get(EVENTS).json()["results"]
    assert {event["token_id"] for event in found} == {issued.token.short_id}


def test_what_is_done_in_a_browser_and_by_jobs_names_no_token(person: People) -> None:
    client = ConfirmingClient()
    client.force_login(person("MANAGER", "mona"))
    reserve = {"engine": "WHOLESALE", "amount": 100}
    path = "/api/governance/risk/check-and-reserve"
    assert client.post(path, reserve, content_type="application/json").status_code == 200
    assert set(RiskEvent.objects.values_list("token_id", flat=True)) == {None}
    assert by_user(User.objects.get(username="mona")).written()["token_id"] is None


# --- one's own page -----------------------------------------------------------------------------------------


def log_in(user: User) -> Client:
    client = ConfirmingClient()
    assert client.post("/login/", {"username": user.username, "password": PASSWORD}).status_code == 302
    return client


def secret(answer: ClientResponse) -> str:
    found = re.search(r'<code id="token"[^>]*>(vh_\w+)</code>', answer.content.decode())
    assert found, answer.content.decode()
    return found[1]


@pytest.mark.parametrize("role", ["VA", "CLOSER", "MANAGER", "AUDITOR"])
def test_people_issue_and_revoke_their_own_token(role: str, person: People) -> None:
    user = person(role, "vera")
    client = log_in(user)
    given = {"issue": "1", "label": "sheet", "days": "30", "scopes": ["governance"], "proof": PASSWORD}
    answer = client.post("/tokens/", given)
    assert "no-store" in answer["Cache-Control"]
    text, token = secret(answer), ApiToken.objects.get()
    assert (token.user, token.issuer, token.label, token.scopes) == (user, user, "sheet", ["governance"])
    assert caller(text).get(POLICIES).status_code == 200
    assert caller(text).get("/api/buyers/liquidity/score?province=ON").status_code == 403
    page = client.get("/tokens/").content.decode()
    assert f"{token.short_id} · Governance ·" in page, "the part of the API as the form names it"
    assert text not in page
    assert client.post("/tokens/", {"revoke": token.short_id})["Location"] == "/tokens/"
    assert caller(text).get(POLICIES).status_code == 401
    assert logged() == [("vera", "ISSUED", "vera"), ("vera", "REVOKED", "vera")]


def test_a_person_lets_an_assistant_see_names_by_a_tick_of_its_own(person: People) -> None:
    client = log_in(person("VA", "vera"))
    given = {"issue": "1", "label": "assistant", "days": "30", "personal": "on", "proof": PASSWORD}
    text = secret(client.post("/tokens/", given))
    assert ApiToken.objects.get().scopes == ["personal"]
    page = client.get("/tokens/").content.decode()
    assert "all parts of the API" in page, "the scope limits the token to nothing"
    assert "shows names and numbers" in page
    assert caller(text).get(POLICIES).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"proof": "not the password"}, {"proof": ""}, {"days": "91"}, {"days": "0"}, {"days": "x"},
        {"scopes": ["policy"]}, {"label": ""}, {"label": "x" * 81}, {"label": "a\0b"}, {"proof": "x" * 5000},
    ],
)  # fmt: skip
def test_without_proof_or_with_nonsense_no_token_is_issued(wrong: dict[str, object], person: People) -> None:
    client = log_in(person("VA", "vera"))
    given = {"issue": "1", "label": "sheet", "days": "30", "proof": PASSWORD, **wrong}
    answer = client.post("/tokens/", given)
    assert answer.status_code == 200
    assert b'role="alert"' in answer.content
    assert not ApiToken.objects.exists()


def test_wrong_passwords_on_the_page_lock_the_name_as_at_the_login(person: People) -> None:
    client = log_in(person("VA", "vera"))
    given = {"issue": "1", "label": "sheet", "days": "30", "proof": "guess"}
    answers = [client.post("/tokens/", given).status_code for _number in range(6)]
    assert answers[-1] == 429
    assert client.post("/tokens/", {**given, "proof": PASSWORD}).status_code == 429
    assert not ApiToken.objects.exists()


def test_nobody_revokes_or_sees_somebody_elses_token_there(person: People) -> None:
    token = issue_token("mona", role=Role.MANAGER, by=Actor.system("test"), at=NOW, label="monas own").token
    client = log_in(person("VA", "vera"))
    assert "monas own" not in client.get("/tokens/").content.decode()
    client.post("/tokens/", {"revoke": token.short_id})
    token.refresh_from_db()
    assert token.revoked_at is None


def test_a_service_client_has_no_such_page(person: People) -> None:
    client = ConfirmingClient()
    client.force_login(person("SERVICE", "dialer"))
    assert client.get("/tokens/").status_code == 403
    assert client.post("/tokens/", {"issue": "1"}).status_code == 403


def test_a_token_past_its_end_is_not_listed(person: People) -> None:
    vera = person("VA", "vera")
    token = issue_token("vera", by=Actor.system("test"), at=NOW, label="old one").token
    ApiToken.objects.filter(pk=token.pk).update(expiry=NOW - timedelta(days=1))
    assert "old one" not in log_in(vera).get("/tokens/").content.decode()
