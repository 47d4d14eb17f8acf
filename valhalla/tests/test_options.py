"""OPTIONS says what an address is for: its methods, who may call them, what they read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import ClassVar

import pytest
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate

from governance.core.actors import Role
from governance.core.rest.describe import Deprecated
from governance.core.rest.viewsets import ServiceViewSet
from governance.models import User
from valhalla.tests.test_access import API, filled

Api = Callable[..., APIClient]
COMPLETE = "/api/followups/task/1/complete"
pytestmark = pytest.mark.django_db


def test_a_call_says_what_it_reads_and_needs(api: Api) -> None:
    answer = api(Role.VA).options(COMPLETE)

    assert answer.status_code == 200
    post = answer.json()["methods"]["POST"]
    assert (post["permission"], post["allowed"]) == ("followups.complete_task", True)
    assert post["fields"]["note"]["max_length"] == 1_048_576
    assert {choice["value"] for choice in post["fields"]["outcome"]["choices"]} >= {"SENT", "REACHED"}
    assert post["fields"]["contacted_at"]["type"] == "datetime"
    assert "application/json" in answer.json()["parses"]


def test_who_may_not_make_the_call_reads_that(api: Api) -> None:
    methods = api(Role.AUDITOR).options(COMPLETE).json()["methods"]
    assert methods["POST"]["allowed"] is False


def test_a_collection_names_its_filters(api: Api) -> None:
    methods = api(Role.MANAGER).options("/api/followups/tasks").json()["methods"]
    assert {"lead_id", "due_after", "owner"} <= set(methods["GET"]["filters"])


def test_every_address_answers_with_its_methods(api: Api) -> None:
    client = api(Role.MANAGER)
    for address, row in API.items():
        answer = client.options(filled(address))
        assert answer.status_code == 200, address
        assert set(answer.json()["methods"]) == {method.upper() for method in row}, address


def test_a_narrowed_token_reads_nothing_of_other_parts(api: Api) -> None:
    client = api(Role.MANAGER, "mona", ("buyers",))
    assert client.options(COMPLETE).status_code == 403
    assert client.options("/api/buyers/buyers").status_code == 200


def test_a_stranger_reads_nothing() -> None:
    assert APIClient().options(COMPLETE).status_code == 401


class _Leaving(ServiceViewSet):
    rights: ClassVar[dict[str, str]] = {"leave": "governance.view_operations"}
    deprecated: ClassVar[dict[str, Deprecated]] = {
        "leave": Deprecated(since=date(2026, 1, 2), removal=date(2027, 7, 1), instead="POST /api/new")
    }

    def leave(self, request: Request) -> Response:
        return Response({})


def test_a_deprecated_call_says_so(person: Callable[..., User]) -> None:
    request: HttpRequest = APIRequestFactory().options("/api/leave")
    force_authenticate(request, person(Role.MANAGER))
    answer = _Leaving.as_view({"get": "leave"})(request)
    assert answer.data["methods"]["GET"]["deprecated"] == {
        "since": date(2026, 1, 2),
        "removal": date(2027, 7, 1),
        "instead": "POST /api/new",
    }
