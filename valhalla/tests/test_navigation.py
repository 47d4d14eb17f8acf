"""The admin's side bar: every screen is in it, under its work, with what waits there."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib import admin
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone, translation
from pytest_django import DjangoAssertNumQueries

from governance.core.actors import Role
from governance.kpi.figures import keep_figures
from governance.models import User
from valhalla.pages.navigation import SECTIONS, Screen, navigation

pytestmark = [pytest.mark.both, pytest.mark.django_db]

People = Callable[..., User]


def links(user: User) -> dict[str, str]:
    """Return every link of a person's side bar with the count beside it."""
    request = RequestFactory().get("/admin/")
    request.user = user
    return {
        item["link"]: item.get("badge", "") for section in navigation(request) for item in section["items"]
    }


@pytest.mark.parametrize("role", [Role.MANAGER, Role.AUDITOR])
def test_every_screen_is_in_the_side_bar_of_those_who_run_the_place(role: Role, person: People) -> None:
    found = links(person(role, "mona"))
    screens = {
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for model in admin.site._registry
    }
    assert sorted(screens - set(found)) == []


def test_every_screen_has_a_section_of_its_own_and_stands_there_once() -> None:
    named = [entry.model for _title, entries in SECTIONS for entry in entries if isinstance(entry, Screen)]
    registered = sorted(model._meta.label_lower for model in admin.site._registry)
    assert sorted(named) == registered, "say in valhalla/pages/navigation.py which work the screen belongs to"


def test_who_may_not_look_at_a_screen_does_not_see_it_in_the_side_bar(person: People) -> None:
    found = links(person(Role.VA, "vera"))
    assert reverse("admin:governance_riskpolicy_changelist") not in found


def test_what_waits_stands_beside_its_screen_and_leads_to_it(person: People) -> None:
    keep_figures({"tasks_late": 1234, "open_throttles": 2, "nobodys_leads": 0}, timezone.now())
    found = links(person(Role.MANAGER, "mona"))
    assert found[reverse("admin:followups_followuptask_changelist") + "?overdue=late"] == "1,234"
    assert found[reverse("admin:governance_riskthrottle_changelist") + "?released_at__isempty=1"] == "2"
    assert found[reverse("admin:followups_lead_changelist")] == ""


def test_more_than_ten_thousand_are_not_counted_to_the_end(person: People) -> None:
    keep_figures({"tasks_late": 10_001}, timezone.now())
    found = links(person(Role.MANAGER, "mona"))
    assert found[reverse("admin:followups_followuptask_changelist") + "?overdue=late"] == "10,000+"


def test_a_stale_count_sends_nobody_anywhere(person: People) -> None:
    keep_figures({"tasks_late": 7}, timezone.now() - timedelta(minutes=16))
    found = links(person(Role.MANAGER, "mona"))
    assert found[reverse("admin:followups_followuptask_changelist")] == ""


def test_look_up_bursts_stand_beside_the_access_log_for_managers_alone(person: People) -> None:
    keep_figures({"lookup_bursts": 2}, timezone.now())
    log = reverse("admin:followups_lookupevent_changelist")
    assert links(person(Role.MANAGER, "mona"))[f"{log}?bursts=yes"] == "2"
    assert links(person(Role.AUDITOR, "ann"))[log] == ""


def test_the_side_bar_asks_the_database_once(
    person: People, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    mona = person(Role.MANAGER, "mona")
    mona.has_perm("governance.view_target")
    with django_assert_num_queries(1):
        links(mona)


def test_the_side_bar_speaks_french(client: Client, person: People) -> None:
    client.force_login(person(Role.MANAGER, "mona"))
    page = client.get("/admin/", headers={"Accept-Language": "fr"}).content.decode()
    translation.activate("en")
    assert "Heures d’appel permises" in page
    assert "Politiques de contact" in page


def test_technical_tables_are_folded_away_until_one_of_them_is_open(client: Client, person: People) -> None:
    client.force_login(person(Role.MANAGER, "mona"))
    system = "<summary[^>]*><h2[^>]*>System</h2>"
    for address, is_open in (("/admin/", False), (reverse("admin:governance_heartbeat_changelist"), True)):
        page = client.get(address).content.decode()
        found = re.search(rf"<details([^>]*)>\s*{system}", page)
        assert found
        assert found[1].endswith(" open") is is_open
        assert re.search(r"<details[^>]* open>\s*<summary[^>]*><h2[^>]*>Operations<", page)
