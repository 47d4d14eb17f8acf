"""The due-task pages without a browser: who may what, what is shown, and clicks that come twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from followups import services
from followups.models import FollowUpTask, Ladder, Lead, Property
from followups.tests.scenes import NIGHT, NOW, SOMEBODY, begin, call_step, many, with_scripts
from governance.contact.models import ContactDecision, Suppression
from governance.kpi.models import KpiEvent
from governance.models import User

pytestmark = pytest.mark.django_db
SignIn = Callable[..., Client]


@pytest.fixture(autouse=True)
def _clock() -> Any:
    with time_machine.travel(NOW + timedelta(minutes=1), tick=False) as clock:
        yield clock


@pytest.fixture
def sign_in(person: Callable[..., User]) -> SignIn:
    def make(role: str = "VA", name: str = "", **options: Any) -> Client:
        client = Client(**options)
        client.force_login(person(role, name))
        return client

    return make


def text(answer: Any) -> str:
    return str(answer.content.decode())


def test_x(sign_in):
    with_scripts()
    t = begin("L-1")
    c = sign_in()
    r = c.get("/followups/")
    open("/tmp/pages/due.html","w").write(text(r))
    r = c.get(f"/followups/task/{t.pk}/")
    open("/tmp/pages/task.html","w").write(text(r))
    assert r.status_code == 200
