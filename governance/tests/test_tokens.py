"""How a token looks, and what one reaches that may only read."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from knox.crypto import create_token_string, hash_token
from rest_framework.test import APIClient

from governance.accounts.rules import AREAS, READ, SCOPES, rights_at
from governance.accounts.token_text import PATTERN, checksum, is_mistyped, new_text
from governance.models import ApiToken
from valhalla.testing import PASSWORD, make_client, make_person
from valhalla.tests.documented import written_schema

pytestmark = pytest.mark.django_db
READING = [area + READ for area in AREAS]


def asks(text: str) -> int:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return int(client.get("/api/governance/market/policies").status_code)


def test_a_token_can_be_recognized_by_its_form() -> None:
    token, text = ApiToken.objects.create(user=make_person("SERVICE", "feed"), expiry=timedelta(days=1))
    assert PATTERN.fullmatch(text)
    assert checksum(text[3:-6]) == text[-6:]
    assert token.digest == hash_token(text)
    assert asks(text) == 200
    assert len({new_text() for _number in range(100)}) == 100


def test_its_checksum_is_the_crc_32_in_base_62() -> None:
    # 3421780262 is the check value of CRC-32: the sum of the digits 1 to 9
    assert checksum("123456789") == "3Jzrme"
    assert sum("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".index(sign) * 62**place
               for place, sign in enumerate(reversed("3Jzrme"))) == 3421780262  # fmt: skip


@pytest.mark.parametrize("wrong", ["cut", "changed", "longer", "made up"])
def test_one_that_cannot_be_ours_is_refused_without_looking_for_it(wrong: str) -> None:
    _token, text = ApiToken.objects.create(user=make_person("SERVICE", "feed"), expiry=timedelta(days=1))
    other = "b" if text[10] == "a" else "a"
    sent = {
        "cut": text[:-1], "changed": text[:10] + other + text[11:], "longer": text + "0",
        "made up": f"vh_{'0' * 48}1",
    }[wrong]  # fmt: skip
    assert is_mistyped(sent)
    with CaptureQueriesContext(connection) as asked:
        assert asks(sent) == 401
    assert len(asked) == 0


def test_one_from_before_works_on() -> None:
    text = create_token_string()
    ApiToken(
        user=make_person("SERVICE", "old"), digest=hash_token(text), token_key=text[:15], expiry=None
    ).save(force_insert=True)
    assert not is_mistyped(text)
    assert asks(text) == 200


def test_with_read_it_reads_its_part_and_writes_nothing() -> None:
    client = make_client("MANAGER", scopes=("followups:read", "buyers"))
    assert client.get("/api/followups/leads").status_code == 200
    assert client.get("/api/followups/due").status_code == 200
    assert client.post("/api/followups/lookup", {"lead_id": "L-1"}, format="json").status_code == 200
    assert client.post("/api/followups/ladder/1/stop", {"reason": "x"}, format="json").status_code == 403
    assert client.post("/api/followups/leads", {"province": "ON"}, format="json").status_code == 403
    assert client.get("/api/governance/market/policies").status_code == 403
    event = {"province": "ON", "event": "REPLIED", "buyer_id": "B-1"}
    assert client.post("/api/buyers/liquidity/feedback", event, format="json").status_code != 403


def test_no_call_that_changes_anything_is_open_to_one_that_reads() -> None:
    manager = make_person("MANAGER")
    token = ApiToken(scopes=READING)
    looked_at = 0
    for path, methods in written_schema()["paths"].items():
        rights = rights_at(manager, token, path)
        for method, operation in methods.items():
            is_question = method == "get" or operation["operationId"].endswith("_by_post")
            if not is_question:
                assert operation["x-permission"] not in rights, path
                looked_at += 1
            elif operation["x-permission"] != "offers.compute_offer":  # a quote is a computation
                assert operation["x-permission"] in rights, path
    assert looked_at > 30


def test_a_person_issues_themselves_one_that_only_reads() -> None:
    vera = make_person("VA", "vera")
    browser = Client()
    browser.force_login(vera)
    given = {"label": "sheet", "days": "30", "reads_only": "on", "proof": PASSWORD, "issue": "1"}
    assert browser.post("/tokens/", {**given, "scopes": ["buyers"]}).status_code == 200
    assert browser.post("/tokens/", given).status_code == 200
    assert [token.scopes for token in ApiToken.objects.order_by("created")] == [
        ["buyers:read"],
        sorted(READING),
    ]
    assert "Buyers (read only)" in browser.get("/tokens/").content.decode()
    assert set(READING) < set(SCOPES)
