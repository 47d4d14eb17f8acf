"""A deprecated action says so in every response, by one declaration on its view."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

import pytest
from django.test import RequestFactory
from rest_framework.response import Response

from governance.core.errors import Refused
from governance.core.rest.describe import Deprecated
from governance.core.rest.viewsets import ServiceViewSet

OLD = Deprecated(since=date(2026, 1, 2), removal=date(2027, 7, 1), instead="POST /api/new")


class _Old(ServiceViewSet):
    permission_classes = ()
    authentication_classes = ()
    deprecated: ClassVar[dict[str, Deprecated]] = {
        "old": OLD,
        "refused": OLD,
        "staying": Deprecated(since=date(2026, 1, 2), instead="GET /api/new"),
    }

    def old(self, request: object) -> Response:
        return Response({"ok": True})

    def refused(self, request: object) -> Response:
        raise Refused("too_old", "No.")

    def staying(self, request: object) -> Response:
        return Response({"ok": True})

    def current(self, request: object) -> Response:
        return Response({"ok": True})


def headers_of(action: str) -> dict[str, str]:
    answer = _Old.as_view({"get": action})(RequestFactory().get("/api/old"))
    return {name: answer[name] for name in ("Deprecation", "Sunset") if name in answer}


@pytest.mark.parametrize("action", ["old", "refused"])
def test_a_deprecated_action_names_both_days_also_in_a_refusal(action: str) -> None:
    assert headers_of(action) == {
        "Deprecation": "@1767312000",  # RFC 9745: a date of structured fields
        "Sunset": "Thu, 01 Jul 2027 00:00:00 GMT",  # RFC 8594: a date of HTTP
    }


def test_without_a_day_of_removal_there_is_no_sunset() -> None:
    assert headers_of("staying") == {"Deprecation": "@1767312000"}


def test_other_actions_of_the_view_are_not_deprecated() -> None:
    assert headers_of("current") == {}
