"""A key for a program: made by one command, printed once, ended at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from math import log2
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from knox.crypto import hash_token
from rest_framework.test import APIClient

from governance.accounts.rules import POLICY_RIGHTS, rights_of
from governance.accounts.services import issue_token, revoke_token, set_role
from governance.accounts.token_text import LENGTH, PATTERN, SIGNS
from governance.core.actors import Actor, Role
from governance.models import ApiToken, User

pytestmark = pytest.mark.django_db

SAID: dict[str, Any] = {"by": Actor.system("test"), "at": timezone.now(), "reason": "audits from now on"}
SYSTEM: dict[str, Any] = {"by": Actor.system("test"), "at": timezone.now()}
SCORE = "/api/buyers/liquidity/score?province=ON"


def issue(*arguments: str) -> str:
    """Run the command and return all that it printed."""
    printed, wrong = StringIO(), StringIO()
    call_command("issue_token", *arguments, stdout=printed, stderr=wrong)
    assert wrong.getvalue() == ""
    return printed.getvalue()


def status(token: str, word: str = "Bearer", path: str = SCORE) -> int:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"{word} {token}")
    return int(client.get(path).status_code)


def test_it_prints_the_token_and_nothing_else() -> None:
    printed = issue("web-form", "--role", "service", "--scopes", "policy", "--days", "90")

    token = ApiToken.objects.get()
    assert printed == printed.strip() + "\n"
    assert hash_token(printed.strip()) == token.digest
    assert PATTERN.fullmatch(printed.strip())
    assert LENGTH * log2(len(SIGNS)) >= 256  # bits
    assert token.scopes == ["policy"]
    assert token.expiry is not None
    assert timedelta(days=89, hours=23) < token.expiry - timezone.now() <= timedelta(days=90)


def test_only_the_hash_is_stored() -> None:
    text = issue("web-form").strip()

    assert text not in str(ApiToken.objects.values().get())


@pytest.mark.parametrize("word", ["Bearer", "Token", "bearer"])
def test_the_token_opens_the_api_under_both_words(word: str) -> None:
    assert status(issue("web-form").strip(), word) == 200
    assert status("0" * 64, word) == 401


def test_a_new_program_is_a_service_client_without_a_password() -> None:
    issue("web-form")

    made = User.objects.get(username="web-form")
    assert made.role == Role.SERVICE
    assert not made.has_usable_password()
    assert not made.is_staff


def test_a_known_person_keeps_her_role_and_password(person: Callable[..., User]) -> None:
    ann = person(Role.CLOSER, "ann")

    issue("Ann")
    issue("ann", "--role", "closer")

    assert User.objects.count() == 1
    assert ApiToken.objects.filter(user=ann).count() == 2
    ann.refresh_from_db()
    assert (ann.role, ann.has_usable_password()) == (Role.CLOSER, True)


def test_at_a_rotation_the_old_token_works_until_it_is_revoked() -> None:
    old = issue("web-form").strip()
    new = issue("web-form").strip()
    assert (status(old), status(new)) == (200, 200)

    first = ApiToken.objects.get(digest=hash_token(old))
    assert revoke_token(first, by=Actor.system("test"), at=timezone.now())
    assert not revoke_token(first, by=Actor.system("test"), at=timezone.now())

    assert (status(old), status(new)) == (401, 200)


def test_a_token_ends_with_its_days() -> None:
    text = issue("web-form", "--days", "1").strip()
    ApiToken.objects.update(expiry=timezone.now())

    assert status(text) == 401


def test_a_token_ends_with_its_person() -> None:
    text = issue("web-form").strip()
    User.objects.update(is_active=False)

    assert status(text) == 401


def test_the_policy_scope_lets_a_service_client_change_policies_and_others_stay_what_they_are() -> None:
    form = issue_token("form", role=Role.SERVICE, scopes=["policy"], **SYSTEM).token
    plain = issue_token("plain", role=Role.SERVICE, **SYSTEM).token
    va = issue_token("eve", role=Role.VA, scopes=["policy"], **SYSTEM).token

    assert rights_of(form.user, form) >= POLICY_RIGHTS
    assert not rights_of(plain.user, plain) & POLICY_RIGHTS
    assert not rights_of(va.user, va) & POLICY_RIGHTS


def test_an_area_scope_keeps_the_token_to_its_part_of_the_api() -> None:
    assert status(issue("web-form", "--scopes", "buyers").strip()) == 200
    assert status(issue("dialer", "--scopes", "followups,policy").strip()) == 403


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["x", "--days", "0"], "1 to 90 days"),
        (["x", "--days", "91"], "1 to 90 days"),
        (["x", "--days", "-3"], "1 to 90"),
        (["x", "--days", "ninety"], "whole number of days"),
        (["x", "--days", "٣"], "whole number of days"),
        (["x", "--days", "1e1"], "whole number of days"),
        (["x", "--role", "boss"], "va, closer, manager, auditor, service"),
        (["x", "--scopes", "policy,everything"], "“everything” is not a scope"),
        (["x", "--label", "l" * 81], "At most 80 characters"),
        (["a b"], "username"),
        (["zoë"], "username"),
        (["n" * 151], "150 characters"),
        ([""], "username"),
    ],
)
def test_wrong_input_is_refused_with_a_sentence(arguments: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        issue(*arguments)

    assert (User.objects.count(), ApiToken.objects.count()) == (0, 0)


def test_a_person_with_another_role_is_refused(person: Callable[..., User]) -> None:
    person(Role.VA, "ann")

    with pytest.raises(CommandError, match="ann has the role va, not service; nothing was changed"):
        issue("ANN", "--role", "service")

    assert not ApiToken.objects.exists()


def test_a_person_who_left_gets_no_token(person: Callable[..., User]) -> None:
    person(Role.SERVICE, "old-form")
    User.objects.update(is_active=False)

    with pytest.raises(CommandError, match="no longer active"):
        issue("old-form")


def test_another_role_counts_at_once(person: Callable[..., User], api: Callable[..., APIClient]) -> None:
    client = api(Role.VA, "ann")
    assert client.get("/api/buyers/buyers").status_code == 403

    assert set_role(person(Role.VA, "ann"), Role.AUDITOR, **SAID)

    assert client.get("/api/buyers/buyers").status_code == 200
    ann = User.objects.get(username="ann")
    assert ann.is_staff
    assert not set_role(ann, Role.AUDITOR, **SAID)
