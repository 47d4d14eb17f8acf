"""The trace of a call and a lead's time line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from followups.models import ContactPoint, FollowUpTask
from followups.services import create_ladder
from followups.tests.factories import LeadFactory
from governance.core.actors import Actor, Role
from governance.kpi.services import emit_kpi
from governance.market.models import MarketPolicy
from governance.models import User
from governance.tests.factories import ContactDecisionFactory
from valhalla.pages.lead import timeline
from valhalla.pages.trace import FEW, MOST_OF_A_KIND, traced

pytestmark = [pytest.mark.both, pytest.mark.django_db]

AT = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
People = Callable[..., User]


@pytest.fixture
def mona(client: Client, person: People) -> Client:
    client.force_login(person(Role.MANAGER, "mona"))
    return client


def call(name: str) -> Actor:
    return Actor.system("test", correlation_id=name)


def test_what_one_call_touched_is_found_across_the_packs_in_its_order(mona: Client) -> None:
    ContactDecisionFactory.create(lead_id="L-1", created_at=AT, correlation_id="c-1")
    LeadFactory(external_id="L-1", name="Ada", created_at=AT - timedelta(minutes=1), correlation_id="c-1")
    emit_kpi("WHOLESALE", "followup_sla", by=call("c-1"), at=AT + timedelta(minutes=1), success=True)
    emit_kpi("WHOLESALE", "contract_rate", by=call("c-2"), at=AT, success=True)

    page = mona.get("/admin/trace/?id=c-1").content.decode()

    places = [page.index(text) for text in ("L-1 Ada", "L-1 Call", "WHOLESALE/followup_sla")]
    assert places == sorted(places)
    assert "contract_rate" not in page


def test_a_version_of_a_policy_leads_to_its_history(mona: Client) -> None:
    policy = MarketPolicy.objects.get(province="ON")
    policy.correlation_id, policy.updated_at = "c-3", AT
    policy.save()

    page = mona.get("/admin/trace/?id=c-3").content.decode()

    assert f"/admin/governance/marketpolicy/{policy.pk}/history/" in page


def test_every_table_that_grows_by_itself_is_traced_through_an_index() -> None:
    slow = sorted(
        model._meta.label
        for model in traced()
        if not any(index.fields[:1] == ["correlation_id"] for index in model._meta.indexes)
        and model._meta.label not in FEW
        and not hasattr(model, "instance_type")  # versions: a person made each of them
    )
    assert slow == [], "add an index on correlation_id, or say in valhalla/pages/trace.py why it stays small"


def test_every_model_with_a_correlation_id_is_traced_or_by_its_versions() -> None:
    kept = {m for m in apps.get_models() if any(f.name == "correlation_id" for f in m._meta.concrete_fields)}
    versioned = {model.instance_type for model in traced() if hasattr(model, "instance_type")}
    assert kept == set(traced()) | versioned
    assert len(versioned) > 5


def test_the_trace_costs_one_question_a_table(
    mona: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(5):
        LeadFactory(external_id=f"L-{number}", correlation_id="c-4")
    with django_assert_num_queries(5 + len(list(traced()))):
        mona.get("/admin/trace/?id=c-4")


def test_a_call_that_wrote_more_than_is_shown_says_so_and_leads_to_all_of_it(mona: Client) -> None:
    for number in range(MOST_OF_A_KIND):
        emit_kpi("WHOLESALE", "followup_sla", by=call("c-8"), at=AT + timedelta(seconds=number), success=True)
    page = mona.get("/admin/trace/?id=c-8").content.decode()
    assert "there are more" not in page
    assert page.count("WHOLESALE/followup_sla") == MOST_OF_A_KIND

    emit_kpi("WHOLESALE", "followup_sla", by=call("c-8"), at=AT + timedelta(hours=1), success=True)
    page = mona.get("/admin/trace/?id=c-8").content.decode()

    assert "KPI events: 100 shown, and there are more." in page
    assert page.count("WHOLESALE/followup_sla") == MOST_OF_A_KIND
    listed = "/admin/governance/kpievent/?q=c-8"
    assert f'href="{listed}"' in page
    assert mona.get(listed).context["cl"].queryset.count() == MOST_OF_A_KIND + 1


@pytest.mark.parametrize("text", ["", "%00", "x" * 300, "'%22%3Cscript%3E", "é"])
def test_any_text_is_answered_with_a_page(mona: Client, text: str) -> None:
    assert mona.get(f"/admin/trace/?id={text}").status_code == 200
    assert mona.get(f"/admin/lead/?lead={text}").status_code == 404


def test_a_leads_time_line_tells_her_ladder_decisions_and_kpis_in_order(mona: Client) -> None:
    LeadFactory(external_id="L-1", name="Ada", created_at=AT - timedelta(days=1), correlation_id="c-5")
    create_ladder("L-1", by=call("c-5"), at=AT)
    ContactDecisionFactory.create(
        lead_id="L-1", created_at=AT - timedelta(hours=1), reason="holiday", ok=False
    )
    emit_kpi("WHOLESALE", "followup_sla", by=call("c-5"), at=AT + timedelta(seconds=1), success=True)
    ContactDecisionFactory.create(lead_id="L-2", created_at=AT)
    LeadFactory(external_id="L-2", created_at=AT, correlation_id="c-5")
    create_ladder("L-2", by=call("c-5"), at=AT)  # the same call began another's

    told = timeline("L-1")

    kinds = [one.kind for one in told]
    assert kinds[:3] == ["lead", "refused", "ladder"]
    assert [one.title for one in told if one.kind == "kpi"] == [
        "Ladders started",
        "Follow-ups within 2 hours",
    ]
    assert kinds.count("due") == FollowUpTask.objects.filter(lead__external_id="L-1").count() > 0
    assert [one.at for one in told] == sorted(one.at for one in told)
    page = mona.get("/admin/lead/?lead=L-1").content.decode()
    assert "Ladder started" in page
    assert "/admin/trace/?id=c-5" in page


def test_a_time_line_costs_the_same_however_much_happened(
    mona: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    LeadFactory(external_id="L-1", created_at=AT)
    create_ladder("L-1", by=call("c-6"), at=AT)
    for number in range(30):
        ContactDecisionFactory.create(lead_id="L-1", created_at=AT + timedelta(minutes=number))
    with django_assert_num_queries(15):
        mona.get("/admin/lead/?lead=L-1")


@pytest.mark.parametrize(("role", "status"), [(Role.AUDITOR, 200), (Role.VA, 403), (Role.CLOSER, 403)])
def test_managers_and_auditors_alone_look(client: Client, person: People, role: Role, status: int) -> None:
    LeadFactory(external_id="L-1", created_at=AT)
    client.force_login(person(role, "somebody"))
    answers = [client.get(page).status_code for page in ("/admin/trace/", "/admin/lead/?lead=L-1")]
    assert answers == [status, status]
    assert client.post("/admin/trace/").status_code in (403, 405)


def test_the_screens_of_a_lead_lead_to_her_time_line(mona: Client) -> None:
    LeadFactory(external_id="L 1&x", created_at=AT)
    create_ladder("L 1&x", by=call("c-7"), at=AT)
    task = FollowUpTask.objects.first()
    assert task is not None
    for screen in (f"lead/{task.lead_id}", f"followuptask/{task.pk}"):
        page = mona.get(f"/admin/followups/{screen}/change/").content.decode()
        assert f"/admin/followups/{screen}/time-line" in page
        answer = mona.get(f"/admin/followups/{screen}/time-line/")
        assert answer.headers["Location"] == "/admin/lead/?lead=L+1%26x"


@pytest.mark.parametrize("text", ["L-77", "Ada R", "(416) 555-0123", "ADA@example.com"])
def test_a_lead_is_found_by_id_name_phone_and_address(mona: Client, text: str) -> None:
    lead: Any = LeadFactory(external_id="L-77", name="Ada Roy", created_at=AT)
    LeadFactory(external_id="L-8", name="Bo", created_at=AT)
    for kind, value in (("PHONE", "+14165550123"), ("EMAIL", "ada@example.com")):
        point = ContactPoint(lead=lead, kind=kind, value=value)
        point.clean()
        point.save()

    page = mona.get("/admin/trace/", {"id": text}).content.decode()

    assert "/admin/lead/?lead=L-77" in page
    assert "/admin/lead/?lead=L-8" not in page
