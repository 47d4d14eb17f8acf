"""Leads, templates, ladders and tasks on the managers' screens: every change is a service's."""

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
from followups.models import ContactPoint, FollowUpTask, Ladder, LadderTemplate, Lead, Property
from followups.points import read_point
from followups.steps import typed_from
from followups.tests.scenes import NOW, SOMEBODY, begin, many
from governance.core.errors import Forbidden, Invalid
from governance.models import User
from valhalla.testing import ClientResponse

pytestmark = pytest.mark.django_db
SignIn = Callable[..., Client]
LEADS, TASKS, LADDERS = "/admin/followups/lead/", "/admin/followups/followuptask/", "/admin/followups/ladder/"
TEMPLATES = "/admin/followups/laddertemplate/"


@pytest.fixture(autouse=True)
def _clock() -> object:
    with time_machine.travel(NOW + timedelta(minutes=1), tick=False):
        yield


@pytest.fixture
def sign_in(person: Callable[..., User]) -> SignIn:
    def make(role: str = "MANAGER", name: str = "") -> Client:
        client = Client()
        client.force_login(person(role, name))
        return client

    return make


def text(answer: Any) -> str:
    return str(answer.content.decode())


def lead_form(
    lead: Lead | None = None, points: list[dict[str, Any]] | None = None, **changes: object
) -> dict[str, object]:
    known = list(lead.points.all()) if lead else []
    names = (
        "name",
        "province",
        "market",
        "city",
        "postal_code",
        "zone",
        "language",
        "status",
        "source",
        "notes",
    )
    form: dict[str, object] = {name: getattr(lead, name) if lead else "" for name in names}
    form |= {"external_id": "L-new", "market": form["market"] or "ALL", "status": form["status"] or "NEW"}
    form |= {"score": "", "cost": "", "follow_up_at_0": "", "follow_up_at_1": "", "extra": "{}", **changes}
    rows = [
        {
            "id": point.pk,
            "kind": point.kind,
            "value": point.value,
            "order": point.order,
            "status": point.status,
        }
        for point in known
    ]
    rows += points or []
    form |= {"points-TOTAL_FORMS": len(rows), "points-INITIAL_FORMS": len(known)}
    for number, row in enumerate(rows):
        form |= {
            f"points-{number}-{name}": value
            for name, value in {"order": 0, "status": "USABLE", **row}.items()
        }
    return form | {"properties-TOTAL_FORMS": 0, "properties-INITIAL_FORMS": 0}


def wrong(answer: ClientResponse) -> str:
    """What the form says is wrong, for the message of a failing test."""
    context = answer.context or {}
    errors = [context["errors"]] if "errors" in context else []
    return f"{answer.status_code} {errors}"


def test_a_manager_adds_a_lead_with_a_number_however_it_is_typed(sign_in: SignIn) -> None:
    said = lead_form(
        None,
        [{"kind": "PHONE", "value": "(416) 555-0177"}],
        province="ON",
        market="toronto west",
        city="Toronto",
    )
    answer = sign_in().post(LEADS + "add/", said)
    assert answer.status_code == 302, wrong(answer)
    lead = Lead.objects.get()
    assert (lead.external_id, lead.market, lead.city_key, lead.actor) == (
        "L-new",
        "TORONTO WEST",
        "TORONTO",
        "a-manager",
    )
    assert lead.created_at == lead.updated_at == NOW + timedelta(minutes=1)
    point = lead.points.get()
    assert (point.value, point.digest) == read_point("PHONE", "+14165550177")


def test_the_same_number_written_twice_is_refused(sign_in: SignIn) -> None:
    twice = [{"kind": "PHONE", "value": "416 555 0177"}, {"kind": "PHONE", "value": "(416) 555-0177"}]
    answer = sign_in().post(LEADS + "add/", lead_form(None, twice, province="ON"))
    assert answer.status_code == 200
    assert "this number or address already" in text(answer)
    assert not Lead.objects.exists()


def test_what_is_no_number_is_said_at_the_field(sign_in: SignIn) -> None:
    answer = sign_in().post(
        LEADS + "add/", lead_form(None, [{"kind": "PHONE", "value": "soon"}], province="ON")
    )
    assert answer.status_code == 200
    assert "is not a phone number" in text(answer)


def test_a_lead_who_moved_is_contacted_by_her_new_clock(sign_in: SignIn) -> None:
    task = begin("L-1")
    later = FollowUpTask.objects.get(lead=task.lead, step=4)
    before = later.due_at
    lead = Lead.objects.get()
    answer = sign_in().post(f"{LEADS}{lead.pk}/change/", lead_form(lead, province="BC", city="Vancouver"))
    assert answer.status_code == 302, wrong(answer)
    later.refresh_from_db()
    assert (later.province, later.zone) == ("BC", "America/Vancouver")
    assert before is not None
    assert later.due_at is not None
    assert later.due_at > before  # ten in the morning in Toronto is too early in Vancouver
    lead.refresh_from_db()
    assert (lead.actor, lead.external_id, lead.city_key) == ("a-manager", "L-1", "VANCOUVER")


def test_a_change_of_the_notes_moves_nothing(sign_in: SignIn) -> None:
    begin("L-1")
    before = list(FollowUpTask.objects.order_by("pk").values_list("due_at", "actor"))
    lead = Lead.objects.get()
    assert sign_in().post(f"{LEADS}{lead.pk}/change/", lead_form(lead, notes="blue door")).status_code == 302
    assert list(FollowUpTask.objects.order_by("pk").values_list("due_at", "actor")) == before


def test_a_number_that_is_retired_by_hand_is_used_no_more(sign_in: SignIn) -> None:
    task = begin("L-1")
    lead = Lead.objects.get()
    said = lead_form(lead, [{"kind": "PHONE", "value": "416 555 0188", "order": 1}])
    said["points-0-status"] = "WRONG"
    answer = sign_in().post(f"{LEADS}{lead.pk}/change/", said)
    assert answer.status_code == 302, wrong(answer)
    task.refresh_from_db()
    assert task.contact_point is not None
    assert task.contact_point.value == "+14165550188"


def test_a_number_marked_as_shared_lets_the_lead_that_waits_go_on(sign_in: SignIn) -> None:
    begin("L-1", name="Anne Roy")
    waiting = begin("L-2", name="Anne Roy")
    assert waiting.held_reason == "person_active"
    lead = Lead.objects.get(external_id="L-1")
    answer = sign_in().post(f"{LEADS}{lead.pk}/change/", {**lead_form(lead), "points-0-shared_as": "AGENT"})
    assert answer.status_code == 302, wrong(answer)
    waiting.refresh_from_db()
    assert waiting.held_reason == ""


def test_ladders_of_one_person_that_run_at_once_are_listed(sign_in: SignIn) -> None:
    double = [begin("L-1", name="Anne Roy"), begin("L-2", name="Marc Roy")]  # two until a name is corrected
    alone = begin("L-3", name="Anne Roy", phone="416 555 0177")
    Ladder.objects.update(queued_at=None)  # as ladders are that began before ladders waited
    Lead.objects.update(name="Anne Roy")
    shown = text(sign_in().get("/admin/followups/ladder/", {"doubled": "yes"}))
    assert all(f"/admin/followups/ladder/{task.ladder_id}/" in shown for task in double)
    assert f"/admin/followups/ladder/{alone.ladder_id}/" not in shown
    assert set(Ladder.objects.values_list("status", flat=True)) == {"ACTIVE"}


@pytest.mark.parametrize("search", ["L-7", "Lead L-7", "416-555-0007", "+1 (416) 555 0007", "L-7@Example.ca"])
def test_a_lead_is_found_by_id_name_number_or_address(sign_in: SignIn, search: str) -> None:
    many(6)
    begin("L-7", phone="416 555 0007", email="l-7@example.ca")
    many_more = begin("X-8", phone="416 555 0008")
    shown = text(sign_in().get(LEADS, {"q": search}))
    assert "Lead L-7<" in shown
    assert f"Lead {many_more.lead.external_id}<" not in shown


def test_a_va_and_a_closer_have_no_screens_and_an_auditor_changes_nothing(sign_in: SignIn) -> None:
    lead = begin("L-1").lead
    assert sign_in("VA").get(LEADS).status_code == 302
    assert sign_in("CLOSER").get(LEADS).status_code == 302
    auditor = sign_in("AUDITOR")
    assert auditor.get(f"{LEADS}{lead.pk}/change/").status_code == 200
    assert auditor.post(f"{LEADS}{lead.pk}/change/", lead_form(lead, name="X")).status_code == 403
    assert auditor.post(LEADS + "add/", lead_form(None, province="ON")).status_code == 403
    assert sign_in().post(f"{LEADS}{lead.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Lead.objects.get().name == "Lead L-1"


def test_saving_a_lead_needs_the_right(by: Callable[..., Any]) -> None:
    lead = begin("L-1").lead
    with pytest.raises(Forbidden):
        services.save_lead(lead, by=by("VA"), at=NOW)


# --- templates ----------------------------------------------------------------------------------------------


def rows_of(steps: list[dict[str, object]]) -> dict[str, str]:
    return {
        f"steps_{number}_{part}": text
        for number, step in enumerate(steps)
        for part, text in typed_from(step).items()
    }


def template_form(
    template: LadderTemplate, steps: list[dict[str, object]] | None = None, **changes: object
) -> dict[str, object]:
    form = {
        "enabled": "on",
        **rows_of(template.steps if steps is None else steps),
        "change_reason": "autumn",
        "seen_version": template.version,
        **changes,
    }
    return {name: value for name, value in form.items() if value is not None}


def test_a_template_changes_with_a_reason_and_a_version(sign_in: SignIn) -> None:
    template = LadderTemplate.objects.get()
    ladder = begin("L-1").ladder
    assert ladder is not None
    steps = [dict(step) for step in template.steps][:3]
    steps[1]["script_fr"] = "Bonjour, c'est au sujet de votre maison."
    client = sign_in()
    address = f"{TEMPLATES}{template.pk}/change/"
    answer = client.post(address, template_form(template, steps))
    assert answer.status_code == 302, wrong(answer)
    template.refresh_from_db()
    assert (template.version, template.reason, template.changed_by, len(template.steps)) == (
        2,
        "autumn",
        "a-manager",
        3,
    )
    assert template.history.count() == 2
    assert client.get(f"{TEMPLATES}{template.pk}/history/").status_code == 200
    ladder.refresh_from_db()
    assert (ladder.template_version, len(ladder.steps)) == (1, 6)

    client.post(address, template_form(template))  # no change, no version
    stale = client.post(address, template_form(template, seen_version=1, enabled=None))
    assert "Read it again first" in text(stale)
    template.refresh_from_db()
    assert (template.version, template.enabled) == (2, True)


@pytest.mark.parametrize(
    "change",
    [
        {"change_reason": ""},
        {"steps_0_amount": "5"},
        {"steps_0_channel": "FAX"},
        {"steps_1_amount": "-30"},
        {"steps_1_amount": "1e3"},
        {"steps_1_amount": "٣٠"},
        {"steps_1_amount": "999999", "steps_1_unit": "days"},
        {"steps_1_amount": "3", "steps_1_unit": "hours"},  # when the third one comes
        {"steps_1_unit": "weeks"},
        {"steps_2_script_en": "a\0b"},
        {"steps_2_script_fr": "é" * 2001},
        {f"steps_{number}_channel": "" for number in range(6)},
        {
            f"steps_{number}_{part}": text
            for number in range(40)
            for part, text in {"channel": "SMS", "amount": str(number), "unit": "days"}.items()
        },
    ],
)
def test_a_template_without_a_reason_or_with_impossible_steps_is_refused(
    sign_in: SignIn, change: dict[str, Any]
) -> None:
    template = LadderTemplate.objects.get()
    client = sign_in()
    for way in ({}, {"_draw": "1"}):
        answer = client.post(
            f"{TEMPLATES}{template.pk}/change/", {**template_form(template, **change), **way}
        )
        assert answer.status_code == 200
    template.refresh_from_db()
    assert template.version == 1


def test_a_provinces_own_template_is_taken_by_its_new_ladders(sign_in: SignIn) -> None:
    general = LadderTemplate.objects.get()
    said = template_form(general, general.steps[:2], province="QC", market="ALL", seen_version="")
    answer = sign_in().post(TEMPLATES + "add/", said)
    assert answer.status_code == 302, wrong(answer)
    begin("L-1", province="QC", city="Montréal", phone="514 555 0101")
    assert FollowUpTask.objects.count() == 2


def test_steps_are_put_in_order_and_drawn_as_they_are_typed(sign_in: SignIn) -> None:
    template = LadderTemplate.objects.get()
    said = template_form(template)
    added = {"steps_6_channel": "EMAIL", "steps_6_amount": "2", "steps_6_unit": "days"}
    client = sign_in()
    address = f"{TEMPLATES}{template.pk}/change/"
    drawn = text(client.post(address, {**said, **added, "_draw": "1"}))
    assert "5. E-mail, after 2 days" in drawn
    assert drawn.count('<circle cx="') == 7
    template.refresh_from_db()
    assert template.version == 1
    assert client.post(address, {**said, **added}).status_code == 302
    template.refresh_from_db()
    assert [step["channel"] for step in template.steps] == [
        "SMS",
        "CALL",
        "SMS",
        "CALL",
        "EMAIL",
        "SMS",
        "CALL",
    ]
    assert template.steps[2]["delay"] == {"minutes": 180}
    gone = {**template_form(template), "steps_0_channel": ""}
    assert "no delay" in str(wrong(client.post(address, gone)))


def test_an_auditor_reads_the_steps_and_templates_are_switched_together(sign_in: SignIn) -> None:
    template = LadderTemplate.objects.get()
    seen = text(sign_in("AUDITOR").get(f"{TEMPLATES}{template.pk}/change/"))
    assert "2. Call, after 30 min" in seen
    assert 'name="steps_0_channel"' not in seen
    said = {"action": "switch_off", "_selected_action": [template.pk], "apply": "1"}
    sign_in().post(TEMPLATES, {**said, "change_reason": "pause"})
    template.refresh_from_db()
    assert (template.enabled, template.version, template.reason) == (False, 2, "pause")


def test_the_service_refuses_templates_without_right_or_reason(by: Callable[..., Any]) -> None:
    said: dict[str, Any] = {"at": NOW, "enabled": True, "steps": [{"channel": "SMS"}]}
    with pytest.raises(Forbidden):
        services.save_template("ON", "ALL", by=by("VA"), reason="x", **said)
    with pytest.raises(Invalid):
        services.save_template("ON", "ALL", by=by("MANAGER"), reason=" ", **said)


# --- ladders and tasks --------------------------------------------------------------------------------------


def test_tasks_are_given_to_another_owner_with_a_reason(sign_in: SignIn, person: Callable[..., User]) -> None:
    person("VA", "otto")
    one, two = many(2)
    chosen = {"action": "reassign", "_selected_action": [one.pk, two.pk]}
    client = sign_in()
    asked = client.post(TASKS, chosen)
    assert 'name="reason"' in text(asked)
    assert "apply" in text(asked)
    assert 'name="reason"' in text(
        client.post(TASKS, {**chosen, "apply": "1", "owner": "otto", "reason": ""})
    )
    done = client.post(TASKS, {**chosen, "apply": "1", "owner": "Otto", "reason": "shift"}, follow=True)
    assert "12 tasks reassigned to otto." in text(done)
    assert set(FollowUpTask.objects.values_list("owner_key", flat=True)) == {"otto"}
    assert "No active person has" not in text(done)
    lost = client.post(TASKS, {**chosen, "apply": "1", "owner": "oto", "reason": "shift"}, follow=True)
    assert "No active person has the username “oto”" in text(lost)


def test_ladders_are_stopped_with_a_reason(sign_in: SignIn) -> None:
    ladder = begin("L-1").ladder
    assert ladder is not None
    chosen = {"action": "stop", "_selected_action": [ladder.pk]}
    client = sign_in()
    assert 'name="reason"' in text(client.post(LADDERS, chosen))
    done = client.post(LADDERS, {**chosen, "apply": "1", "reason": "sold privately"}, follow=True)
    assert "1 ladder was stopped." in text(done)
    ladder.refresh_from_db()
    assert (ladder.status, ladder.stop_reason) == ("STOPPED", "sold privately")
    again = client.post(LADDERS, {**chosen, "apply": "1", "reason": "sold privately"}, follow=True)
    assert "has ended already" in text(again)


def test_an_auditor_finds_no_action_and_a_posted_one_does_nothing(sign_in: SignIn) -> None:
    ladder = begin("L-1").ladder
    assert ladder is not None
    auditor = sign_in("AUDITOR")
    auditor.post(LADDERS, {"action": "stop", "_selected_action": [ladder.pk], "apply": "1", "reason": "x"})
    auditor.post(
        TASKS, {"action": "reassign", "_selected_action": [1], "apply": "1", "reason": "x", "owner": "y"}
    )
    assert Ladder.objects.get().status == "ACTIVE"
    assert not FollowUpTask.objects.exclude(owner="").exists()


def test_tasks_ladders_and_what_jobs_leave_are_read_only(sign_in: SignIn) -> None:
    task = begin("L-1")
    services.request_realigning("ON", SOMEBODY, NOW)
    services.snapshot_sla(NOW)
    client = sign_in()
    for screen in ("lead", "laddertemplate", "ladder", "followuptask", "realignrequest", "slasnapshot"):
        shown = client.get(f"/admin/followups/{screen}/")
        assert shown.status_code == 200, screen
    assert client.get(f"{TASKS}{task.pk}/change/").status_code == 200
    assert client.get(f"{LADDERS}{task.ladder_id}/change/").status_code == 200
    assert client.post(f"{TASKS}{task.pk}/change/", {"owner": "x"}).status_code == 403
    assert client.post(f"{LADDERS}{task.ladder_id}/delete/", {"post": "yes"}).status_code == 403
    assert client.get(TASKS + "add/").status_code == 403


@pytest.mark.parametrize(
    "query",
    [
        "overdue=due",
        "overdue=late",
        "held=yes",
        "held=claimed",
        "owner=-",
        "owner=vera",
        "status__exact=OPEN",
    ],
)
def test_tasks_can_be_filtered(sign_in: SignIn, query: str) -> None:
    begin("L-1", owner="vera")
    assert sign_in().get(f"{TASKS}?{query}").status_code == 200


@pytest.mark.parametrize("address", [LEADS, TASKS, LADDERS])
def test_a_list_costs_the_same_queries_whatever_the_number_of_rows(sign_in: SignIn, address: str) -> None:
    client = sign_in()

    def cost() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert client.get(address).status_code == 200
        return len(caught)

    many(2)
    few = cost()
    for n in range(10):
        begin(f"M-{n}", phone=f"416 556 {n:04d}", owner="vera")
    assert cost() <= few


@pytest.mark.parametrize("address", [LEADS, TASKS, LADDERS])
def test_no_list_counts_all_its_rows(sign_in: SignIn, address: str) -> None:
    many(2)
    client = sign_in()
    with CaptureQueriesContext(connection) as caught:
        client.get(address)
    counts = [query["sql"] for query in caught if "COUNT(*)" in query["sql"]]
    assert counts
    assert all("LIMIT 10000" in sql for sql in counts)


def test_personal_data_is_shown_with_leads_alone(sign_in: SignIn) -> None:
    task = begin("L-1", name="Anne Roy", phone="416 555 0133")
    Property.objects.create(lead=task.lead, address="12 King St W")
    services.complete_task(task.pk, services.Completion(note="call her son"), by=SOMEBODY, at=NOW)
    client = sign_in()
    for address in (TASKS, LADDERS, f"{TASKS}{task.pk}/change/", f"{LADDERS}{task.ladder_id}/change/"):
        shown = text(client.get(address))
        for words in ("Anne Roy", "5550133", "555-0133", "King St", "call her son"):
            assert words not in shown, (address, words)
    shown = text(client.get(f"{LEADS}{task.lead.pk}/change/"))
    assert "Anne Roy" in shown
    assert ContactPoint.objects.get().value in shown
