"""An erased person is nowhere: every entry point writes about them; afterwards no column knows them."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks, Settings
from rest_framework.test import APIClient

from buyers.models import Buyer
from buyers.services import save_buyer
from buyers.tests.factories import feedback
from followups import services
from followups.models import ContactPoint, FollowUpTask, InboundContact, Ladder, Lead, LookupEvent
from followups.points import lead_digest, read_point
from followups.services import Completion
from followups.tests.scenes import NOW, begin
from followups.tests.test_followups_admin import lead_form
from governance.contact.models import Consent, ContactDecision, Suppression
from governance.contact.services import can_contact, lift_suppression, record_consent, suppress
from governance.core import hooks
from governance.core.actors import Actor, Role
from governance.core.errors import Forbidden, Invalid, NotFound, Refused
from governance.models import Erasure, IdempotentAnswer, KpiEvent, OutboxMessage, User
from governance.outbox.services import post_message
from governance.retention import registry
from governance.retention.erasing import erase_person, find_people, preview
from governance.retention.registry import BUYER, LEAD, Trace
from offers.models import OfferEvidence
from offers.services import Figures, compute_offer, record_outcome
from offers.services.evidence import differences
from offers.tests.factories import ONTARIO, switch_on
from valhalla.testing import ConfirmingClient

pytestmark = [pytest.mark.both, pytest.mark.django_db]

NAME = "Zébulonie Quizzlethorpe"
PHONE, OTHER_PHONE = "+15142397461", "+15142397462"
EMAIL = "zebulonie.q@wunderlich.example"
ADDRESS = "4711 Xylograph Road"
POSTAL = "J9Z 9Z8"
SHE = "quizzle"  # in every free text about her
LEAD_ID, BUYER_ID = "L-9001", "B-9001"

# Whatever of her could stand anywhere; texts are compared without case and accents, numbers by their digits.
KNOWN_BY = re.compile(
    r"quizzle|zebulonie|wunderlich|xylograph|j9z ?9z8|514[\s().-]*239[\s().-]*7[0-9]{3}", re.IGNORECASE
)


def plain(text: str) -> str:
    """A text as it is compared: JSON's escapes read, no accents."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
    return "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))


def tables_naming_them() -> dict[str, set[str]]:
    """Search every column of every table; return the columns that know the person, by table."""
    found: dict[str, set[str]] = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                for name, value in zip(names, row, strict=True):
                    if KNOWN_BY.search(plain(as_text(value))):
                        found.setdefault(table, set()).add(name)
    return found


def as_text(value: object) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return bytes(value).decode(errors="replace") if isinstance(value, memoryview | bytes) else str(value)


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def manager(by: Callable[..., Actor]) -> Actor:
    return by(Role.MANAGER, "mona")


@pytest.fixture
def desk(person: Callable[..., User]) -> Client:
    client = ConfirmingClient()
    client.force_login(person(Role.MANAGER, "mona"))
    return client


Plant = Callable[[], Lead]


@pytest.fixture
def planted(api: Callable[..., APIClient], by: Callable[..., Actor], desk: Client, manager: Actor,
            settings: Settings, tmp_path: Path) -> Lead:  # fmt: skip
    """Let every entry point write about the person: API, admin, jobs, imports, mail, offers, buyers."""
    settings.VAR = tmp_path
    client = api(Role.MANAGER, "mona")

    def post(path: str, key: str, **body: Any) -> dict[str, Any]:
        answer = client.post(f"/api/{path}", body, format="json", headers={"Idempotency-Key": key})
        assert answer.status_code in (200, 201), answer.content
        return dict(answer.json())

    made = post(
        "followups/ladder/create", "k-create", lead_id=LEAD_ID, province="ON", name=NAME, city=f"{SHE} city",
        postal_code=POSTAL, source=f"{SHE} source", notes=f"{SHE} notes", phone=PHONE, email=EMAIL, score=0.9,
        motivation=f"{SHE} motivation",
    )  # fmt: skip
    lead = Lead.objects.get()
    assert lead.extra == {"motivation": f"{SHE} motivation"}
    task, second, third = (row["id"] for row in made["tasks"][:3])
    claimed = post("followups/due/claim", "k-claim", limit=1)
    assert claimed["tasks"][0]["lead"]["name"] == NAME
    token = claimed["claim_token"]
    post(f"followups/task/{task}/start", "k-start", claim_token=token)
    post(f"followups/task/{task}/complete", "k-complete", note=f"{SHE} note", claim_token=token)
    post(f"followups/task/{second}/complete", "k-happened", happened=True, outcome="NO_ANSWER",
         override_reason=f"{SHE} override", note=f"{SHE} call")  # fmt: skip
    post(f"followups/task/{third}/skip", "k-skip", reason=f"{SHE} skip")
    post(f"followups/task/{second}/correct", "k-correct", outcome="LEFT_MESSAGE", reason=f"{SHE} correction")
    post(f"followups/ladder/{made['ladder_id']}/stop", "k-stop", reason=f"{SHE} stop")
    post(f"followups/lead/{LEAD_ID}/inbound", "k-inbound", channel="CALL", note=f"{SHE} inbound")
    client.get("/api/followups/lookup", {"phone": PHONE})

    point = {"kind": "PHONE", "value": OTHER_PHONE, "label": f"{SHE} label", "whose": f"{SHE} whose"}
    form = lead_form(Lead.objects.get(), [point], extra=json.dumps({"spouse": f"{SHE} extra"}))
    form |= {"properties-TOTAL_FORMS": 1, "properties-0-address": ADDRESS}
    form |= {f"properties-0-{name}": f"{SHE} {name}" for name in ("condition", "motivation", "timeline")}
    assert desk.post(f"/admin/followups/lead/{lead.pk}/change/", form).status_code == 302
    buyer = {"external_id": BUYER_ID, "name": NAME, "phone": PHONE, "email": EMAIL, "markets": f"{SHE}"}
    assert desk.post("/admin/buyers/buyer/add/", {"property_types": [], **buyer}).status_code == 302
    feedback("RESPONDED", BUYER_ID, "D-1", by=manager, at=NOW)

    digest = read_point("PHONE", PHONE)[1]
    suppress([digest], by=manager, at=NOW, channel="EMAIL")
    lift_suppression([digest], by=manager, at=NOW, reason=f"{SHE} lift", channel="EMAIL")
    record_consent(
        digest, "CALL", Consent.Kind.EXPRESS, by=manager, at=NOW, obtained_at=NOW, how=f"{SHE} how",
        evidence=f"{SHE} evidence",
    )  # fmt: skip
    post_message("letter", EMAIL, f"Dear {NAME}", "We would like to buy your house.", once="letter", at=NOW)
    post_message(
        "notice",
        "mona@example.ca",
        f"About {NAME.upper()}",
        f"Two leads wait.\n1 {NAME} (514) 239-7461\n2 Somebody else 416 555 0100",
        once="notice",
        at=NOW,
    )
    switch_on()
    evidence = compute_offer(
        ONTARIO,
        arv=Decimal(450_000),
        repairs=Decimal(50_000),
        lead_id=LEAD_ID,
        by=manager,
        at=NOW,
        comp_details={"1": {"address": ADDRESS}},
    ).evidence
    assert evidence is not None
    for outcome, figures in (
        ("CONTRACTED", Figures(agreed_price=Decimal(270_000))),
        ("ASSIGNED", Figures(buyer=BUYER_ID, buyer_price=Decimal(280_000), fee_earned=Decimal(9_000))),
    ):
        record_outcome(
            evidence.pk, outcome, figures=figures, by=manager, at=NOW, reason=f"{SHE} {outcome} reason"
        )
    sheet = tmp_path / "leads.csv"
    with sheet.open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ["Lead ID", "Full Name", "Phone", "Email", "Province", "City", "Lead Score", "Hint"],
                [LEAD_ID, NAME, "no number", EMAIL, "Ontario", "Toronto", "9999", f"{SHE} hint"],
                ["L-7", "Somebody Else", "no number", "", "Ontario", "Toronto", "0.9", ""],
                ["", NAME, PHONE, EMAIL, "Nowhere", "", "", ""],
            ]
        )
    call_command("import_leads", str(sheet), stdout=StringIO())
    return Lead.objects.get(pk=lead.pk)


KNOWN_IN = {
    "followups_lead", "followups_contactpoint", "followups_property", "followups_followuptask",
    "followups_ladder", "followups_taskcorrection", "followups_inboundcontact", "governance_suppression",
    "governance_consent", "governance_outboxmessage", "governance_idempotentanswer", "django_admin_log",
    "offers_outcomereason", "offers_compdetails", "buyers_buyer",
}  # fmt: skip


def erase_both(by: Actor, why: str = "REQUESTED") -> None:
    for kind, pk in find_people(phone=PHONE):
        erase_person(kind, pk, why=why, by=by, at=NOW)


def test_she_is_erased_from_every_column_of_every_table(planted: Lead, manager: Actor) -> None:
    assert set(tables_naming_them()) == KNOWN_IN

    erase_both(manager)

    assert tables_naming_them() == {}


@pytest.mark.parametrize("why", ["NOT_NEEDED", "MISTAKE"])
def test_she_is_whatever_she_is_erased_for(planted: Lead, manager: Actor, why: str) -> None:
    erase_both(manager, why)

    assert tables_naming_them() == {}


@pytest.mark.once
def test_a_table_that_is_forgotten_is_found(
    planted: Lead, manager: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search above is worth something: of every table left out, it says so."""
    erase = Trace.erase
    reads = {keeper.kind: keeper.read for keeper in registry.keepers()}
    forgotten = ""

    def forgetful(trace: Trace) -> int:
        return 0 if trace.table == forgotten else erase(trace)

    monkeypatch.setattr(Trace, "erase", forgetful)
    for keeper in registry.keepers():
        kept = keeper.erase

        def half(person: Any, erasure: Any, *, by: Actor, keeper: Any = keeper, kept: Any = kept) -> int:
            return 0 if keeper.model._meta.db_table == forgotten else int(kept(person, erasure, by=by))

        monkeypatch.setattr(keeper, "erase", half)
    assert reads
    in_traces = KNOWN_IN - {"governance_suppression", "governance_consent"}
    for forgotten in sorted(in_traces):
        with transaction.atomic():
            erase_both(manager)
            assert set(tables_naming_them()) == {forgotten}
            transaction.set_rollback(True)
    assert set(tables_naming_them()) == KNOWN_IN


def test_words_beside_suppressions_and_consents_are_found_too(
    planted: Lead, manager: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Erasing without the person's points blanks no words about them."""
    save = Erasure.save

    def without_points(row: Erasure) -> None:
        row.points = []
        save(row)

    monkeypatch.setattr(Erasure, "save", without_points)
    monkeypatch.setattr("governance.retention.database.erase_words_by_hand", lambda *args: None)

    erase_both(manager)

    assert set(tables_naming_them()) == {"governance_suppression", "governance_consent"}


# --- what stays ---------------------------------------------------------------------------------------------


def test_evidence_keeps_its_digest_and_decisions_and_events_stay(planted: Lead, manager: Actor) -> None:
    counts = [model.objects.count() for model in (OfferEvidence, ContactDecision, KpiEvent, LookupEvent)]
    assert all(counts)

    erase_both(manager)

    evidence = OfferEvidence.objects.get()
    assert differences(evidence) == []
    assert (evidence.lead_id, ContactDecision.objects.earliest("id").lead_id) == (LEAD_ID, LEAD_ID)
    after = [model.objects.count() for model in (OfferEvidence, ContactDecision, KpiEvent, LookupEvent)]
    assert after == counts


def test_what_is_written_down_of_it_is_how_much_and_why(planted: Lead, manager: Actor) -> None:
    erasure = erase_person(LEAD, planted.pk, why="REQUESTED", by=manager, at=NOW)
    erasure.refresh_from_db()

    assert (erasure.kind, erasure.record_id, erasure.why, erasure.actor) == (
        "LEAD",
        planted.pk,
        "REQUESTED",
        "mona",
    )
    assert erasure.counts == {
        "django_admin_log": 1, "followups_contactpoint": 3, "followups_followuptask": 6,
        "followups_inboundcontact": 1, "followups_ladder": 1, "followups_property": 1,
        "followups_taskcorrection": 1, "governance_consent": 1, "governance_idempotentanswer": 2,
        "governance_outboxmessage": 2, "governance_suppression": 1, "offers_compdetails": 1,
        "offers_outcomereason": 2,
    }  # fmt: skip
    assert set(erasure.points) == {
        lead_digest(LEAD_ID),
        *(read_point(*point)[1] for point in (("PHONE", PHONE), ("PHONE", OTHER_PHONE), ("EMAIL", EMAIL))),
    }


def test_the_leads_row_stays_for_what_is_counted(planted: Lead, manager: Actor) -> None:
    erase_both(manager)

    lead = Lead.objects.get(pk=planted.pk)
    assert (lead.province, lead.status, lead.created_at) == ("ON", "DEAD", planted.created_at)
    assert (lead.name, lead.city, lead.postal_code, lead.notes, lead.source, lead.extra) == ("",) * 5 + ({},)
    assert re.fullmatch("erased-[0-9a-f]{12}", lead.external_id)
    assert FollowUpTask.objects.filter(lead=lead).count() == FollowUpTask.objects.count() >= 6


def test_a_message_to_somebody_else_loses_only_her(planted: Lead, manager: Actor) -> None:
    erase_both(manager)

    message = OutboxMessage.objects.get()  # the letter to her is gone
    assert (message.to, message.subject) == ("mona@example.ca", "About [erased]")
    assert message.body == "Two leads wait.\n1 [erased] [erased]\n2 Somebody else 416 555 0100"


def test_reports_of_imports_lose_her_rows(
    planted: Lead,
    manager: Actor,
    settings: Settings,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    path = Path(settings.VAR) / "imports" / "leads-report.csv"
    before = path.read_text()
    assert KNOWN_BY.search(plain(before))

    with django_capture_on_commit_callbacks(execute=True):
        erase_both(manager)

    rows = list(csv.reader(StringIO(path.read_text())))
    assert not KNOWN_BY.search(plain(path.read_text()))
    assert {row[1] for row in rows[1:]} == {"L-7"}
    assert path.stat().st_mode & 0o777 == 0o600


# --- an opt-out is never lost -------------------------------------------------------------------------------


def refusal_of(lead_id: str, **details: Any) -> str:
    with pytest.raises(Refused) as refused:
        begin(lead_id, **details)
    return str(refused.value.extra.get("reason"))


def test_whoever_asked_to_be_erased_is_suppressed_when_she_comes_back(planted: Lead, manager: Actor) -> None:
    erase_both(manager)

    assert refusal_of(LEAD_ID, phone="416 555 0155") == "suppressed"
    assert refusal_of("L-new", phone="(514) 239-7461") == "suppressed"
    found = hooks.lead_facts.first("L-new")
    assert found is None  # what was refused left nothing
    answer = can_contact(channel="EMAIL", at=NOW, province="ON", email=EMAIL)
    assert answer.verdict.reason == "suppressed"
    begin("L-new", phone="416 555 0155")


@pytest.mark.parametrize("why", ["NOT_NEEDED", "MISTAKE", "REQUESTED"])
def test_an_opt_out_of_before_holds_whatever_she_is_erased_for(manager: Actor, why: str) -> None:
    task = begin("L-1", phone=PHONE)
    services.complete_task(task.pk, Completion(outcome="OPTED_OUT"), by=manager, at=NOW)

    erase_person(LEAD, task.lead_id, why=why, by=manager, at=NOW)

    assert refusal_of("L-1", phone="416 555 0155") == "suppressed"
    assert refusal_of("L-2", phone=PHONE) == "suppressed"


@pytest.mark.parametrize("why", ["NOT_NEEDED", "MISTAKE"])
def test_who_did_not_ask_for_it_may_come_back(manager: Actor, why: str) -> None:
    task = begin("L-1", phone=PHONE)

    erase_person(LEAD, task.lead_id, why=why, by=manager, at=NOW)

    assert begin("L-1", phone=PHONE).lead.name == "Lead L-1"


def test_an_imported_lead_who_was_erased_starts_no_ladder(
    planted: Lead, manager: Actor, tmp_path: Path
) -> None:
    erase_both(manager)
    sheet = tmp_path / "again.csv"
    sheet.write_text(
        "Lead ID,Full Name,Phone,Province,City,Lead Score\n"
        f"{LEAD_ID},Somebody,416 555 0155,Ontario,Toronto,0.9\n"
        f"L-8,Somebody,{PHONE},Ontario,Toronto,0.9\n"
    )
    printed = StringIO()

    call_command("import_leads", str(sheet), "--ladder", stdout=printed)

    assert "2  leads created" in printed.getvalue()
    assert "2  suppressed" in printed.getvalue()
    assert Ladder.objects.filter(status="ACTIVE").count() == 0


def test_an_opt_out_that_comes_after_the_erasure_still_counts(
    manager: Actor, by: Callable[..., Actor]
) -> None:
    task = begin("L-1", phone=PHONE)
    erase_person(LEAD, task.lead_id, why="NOT_NEEDED", by=manager, at=NOW)
    assert not Suppression.objects.exists()

    services.complete_task(task.pk, Completion(outcome="OPTED_OUT"), by=by(Role.VA), at=NOW)

    assert refusal_of("L-2", phone=PHONE) == "suppressed"
    assert tables_naming_them() == {}


# --- what runs stops ----------------------------------------------------------------------------------------


def test_running_ladders_stop_and_no_task_of_hers_is_due(manager: Actor) -> None:
    task = begin("L-1", phone=PHONE)
    services.claim_due(by=manager, at=NOW)

    erase_person(LEAD, task.lead_id, why="NOT_NEEDED", by=manager, at=NOW)

    ladder = Ladder.objects.get()
    assert (ladder.status, ladder.stop_reason) == ("STOPPED", "erased")
    assert set(FollowUpTask.objects.values_list("status", "claim_token")) == {("CANCELLED", "")}
    assert services.due_tasks(by=manager, at=NOW, limit=10) == []


def test_who_shares_her_number_is_stopped_only_where_she_asked(manager: Actor) -> None:
    hers = begin("L-1", phone=PHONE)
    other = begin("L-2", phone=PHONE)

    erase_person(LEAD, hers.lead_id, why="REQUESTED", by=manager, at=NOW)

    assert Ladder.objects.get(lead=other.lead_id).stop_reason == "suppressed"
    assert Lead.objects.get(pk=other.lead_id).external_id == "L-2"


def test_nothing_is_written_about_an_erased_lead(manager: Actor) -> None:
    task = begin("L-1", phone=PHONE)
    done = services.complete_task(task.pk, Completion(), by=manager, at=NOW)
    assert done.next_task is not None
    erase_person(LEAD, task.lead_id, why="NOT_NEEDED", by=manager, at=NOW)
    lead = Lead.objects.get()
    late = Completion(outcome="REPLIED", note=f"{SHE} said yes")

    for attempt in (
        lambda: services.complete_task(done.next_task.pk, late, by=manager, at=NOW),
        lambda: services.complete_task(task.pk, late, by=manager, at=NOW),
        lambda: services.correct_task(task.pk, late, by=manager, at=NOW, reason=SHE),
        lambda: services.begin(lead, [], by=manager, at=NOW),
        lambda: services.save_lead(Lead(pk=lead.pk, external_id="L-1", name=NAME), by=manager, at=NOW),
        lambda: services.record_inbound(lead.external_id, by=manager, at=NOW, channel="CALL", note=SHE),
    ):
        with pytest.raises(Refused) as refused:
            attempt()
        assert refused.value.code == "lead_erased"
    with pytest.raises(NotFound):
        services.record_inbound("L-1", by=manager, at=NOW, channel="CALL", note=SHE)
    assert tables_naming_them() == {}


def test_a_form_that_was_open_meanwhile_does_not_bring_her_back(manager: Actor, desk: Client) -> None:
    task = begin("L-1", phone=PHONE, name=NAME)
    form = lead_form(task.lead)
    erase_person(LEAD, task.lead_id, why="NOT_NEEDED", by=manager, at=NOW)

    assert desk.post(f"/admin/followups/lead/{task.lead_id}/change/", form).status_code == 403
    assert tables_naming_them() == {}


# --- buyers -------------------------------------------------------------------------------------------------


def test_an_erased_buyer_leaves_the_liquidity_as_it_was(planted: Lead, manager: Actor) -> None:
    def figures() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM buyers_buyerliquiditynode ORDER BY id")
            return cursor.fetchall()

    before = figures()
    erase_person(BUYER, Buyer.objects.get().pk, why="REQUESTED", by=manager, at=NOW)

    assert figures() == before
    assert call_command("rebuild_liquidity", stdout=StringIO()) is None
    assert figures() == before
    feedback("BOUGHT", BUYER_ID, "D-2", by=manager, at=NOW)
    assert Buyer.objects.filter(external_id=BUYER_ID, erasure=None).count() == 1


def test_an_erased_buyer_is_not_changed_again(planted: Lead, manager: Actor, desk: Client) -> None:
    stale = Buyer.objects.get()
    erase_person(BUYER, stale.pk, why="REQUESTED", by=manager, at=NOW)

    with pytest.raises(Refused) as refused:
        save_buyer(stale, by=manager, at=NOW)
    assert refused.value.code == "buyer_erased"


# --- who may, who is found, what is shown before ------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.VA, Role.CLOSER, Role.AUDITOR, Role.SERVICE])
def test_nobody_but_a_manager_erases_or_looks_at_what_would_go(by: Callable[..., Actor], role: str) -> None:
    task = begin("L-1", phone=PHONE)

    with pytest.raises(Forbidden):
        preview(LEAD, task.lead_id, by=by(role))
    with pytest.raises(Forbidden):
        erase_person(LEAD, task.lead_id, why="REQUESTED", by=by(role), at=NOW)
    assert Lead.objects.get().external_id == "L-1"


def test_a_reason_is_needed_and_a_second_time_finds_nobody(manager: Actor) -> None:
    task = begin("L-1", phone=PHONE)
    with pytest.raises(Invalid):
        erase_person(LEAD, task.lead_id, why="", by=manager, at=NOW)
    erase_person(LEAD, task.lead_id, why="REQUESTED", by=manager, at=NOW)

    with pytest.raises(NotFound):
        erase_person(LEAD, task.lead_id, why="REQUESTED", by=manager, at=NOW)
    assert Erasure.objects.count() == 1


def test_she_is_found_by_id_number_and_address_as_lead_and_buyer(planted: Lead) -> None:
    lead, buyer = (LEAD, planted.pk), (BUYER, Buyer.objects.get().pk)

    assert find_people(lead_id=LEAD_ID) == [lead]
    assert find_people(buyer_id=f" {BUYER_ID} ") == [buyer]
    for phone in ("514 239 7461", "+1 (514) 239-7461", "5142397461"):
        assert find_people(phone=phone) == [lead, buyer]
    assert find_people(phone=OTHER_PHONE) == [lead]
    assert find_people(email=EMAIL.upper()) == [lead, buyer]


def test_who_is_not_found_or_not_named_is_told(db: None) -> None:
    with pytest.raises(NotFound):
        find_people(lead_id="L-0")
    with pytest.raises(Invalid):
        find_people()
    with pytest.raises(Invalid):
        find_people(lead_id="L-0", phone=PHONE)
    with pytest.raises(Invalid):
        find_people(phone="no number")
    with pytest.raises(Invalid):
        find_people(email="no address")


def test_a_switchboard_is_nobodys_alone(manager: Actor) -> None:
    for number in range(21):
        begin(f"L-{number}", phone=PHONE)

    with pytest.raises(Refused) as refused:
        find_people(phone=PHONE)
    assert refused.value.code == "too_many"


def test_what_would_go_is_shown_and_nothing_is_changed(planted: Lead, manager: Actor) -> None:
    before = tables_naming_them()
    begin("L-2", phone=OTHER_PHONE)

    seen = preview(LEAD, planted.pk, by=manager)

    assert tables_naming_them().keys() == before.keys()
    assert seen.sharing == ("L-2 Lead L-2", NAME)
    assert seen.person.label == f"{LEAD_ID} {NAME}"
    assert dict(seen.stays)["contact decisions, by lead id and keyed hash"] == 2
    done = erase_person(LEAD, planted.pk, why="MISTAKE", by=manager, at=NOW)
    assert sum(count for _what, count in seen.goes) == done.rows
    with pytest.raises(NotFound):
        preview(LEAD, planted.pk, by=manager)


@pytest.mark.parametrize("lead_id", [EMAIL, "5142397461", "1-514-239-7461", NAME])
def test_an_id_that_is_a_name_number_or_address_is_told(manager: Actor, lead_id: str) -> None:
    task = begin(lead_id, name=NAME, phone=PHONE, email=EMAIL)

    assert preview(LEAD, task.lead_id, by=manager).telling_reference
    assert not preview(LEAD, begin("L-1", name=NAME, phone=PHONE).lead_id, by=manager).telling_reference


# --- the command --------------------------------------------------------------------------------------------


def command(*arguments: str) -> str:
    printed = StringIO()
    call_command("erase_person", *arguments, stdout=printed)
    return printed.getvalue()


def test_the_command_shows_first_and_erases_when_told(planted: Lead) -> None:
    shown = command("--phone", "514 239 7461")
    assert NAME in shown
    assert "Nothing was changed" in shown
    assert Lead.objects.filter(external_id=LEAD_ID).exists()

    done = command("--phone", "514 239 7461", "--why", "requested", "--yes")

    assert done.count("Personal information deleted: ") == 2
    assert tables_naming_them() == {}
    with pytest.raises(CommandError, match="no such person"):
        command("--lead", LEAD_ID)


def test_the_command_says_what_is_missing(planted: Lead, person: Callable[..., User]) -> None:
    person(Role.VA, "vera")
    with pytest.raises(CommandError, match="--why is needed"):
        command("--lead", LEAD_ID, "--yes")
    with pytest.raises(CommandError, match="no active person nobody"):
        command("--lead", LEAD_ID, "--by", "nobody")
    with pytest.raises(CommandError, match="Only a manager"):
        command("--lead", LEAD_ID, "--by", "vera", "--why", "requested", "--yes")
    with pytest.raises(CommandError, match="not a phone number"):
        command("--phone", "what")
    with pytest.raises(CommandError):
        command("--lead", LEAD_ID, "--phone", PHONE)
    assert Lead.objects.filter(external_id=LEAD_ID).exists()


# --- the screens --------------------------------------------------------------------------------------------


def page_of(pk: object, pack: str = "followups/lead") -> str:
    return f"/admin/{pack}/{pk}/erase/"


@pytest.mark.once
def test_a_manager_erases_on_the_leads_screen(planted: Lead, desk: Client) -> None:
    assert b"Erase this person" in desk.get(f"/admin/followups/lead/{planted.pk}/change/").content
    shown = desk.get(page_of(planted.pk))
    assert shown.status_code == 200
    assert plain(NAME) in plain(shown.content.decode())
    for wrong in ({"why": ""}, {"why": "REQUESTED"}, {"why": "FUN", "sure": "on"}, {"sure": "on"}):
        assert desk.post(page_of(planted.pk), wrong).status_code == 200
    assert Lead.objects.filter(external_id=LEAD_ID).exists()

    done = desk.post(page_of(planted.pk), {"why": "REQUESTED", "sure": "on"}, follow=True)

    assert "Personal information deleted" in done.content.decode()
    assert desk.post(page_of(planted.pk), {"why": "REQUESTED", "sure": "on"}).status_code in (302, 403)
    assert set(tables_naming_them()) == {"buyers_buyer", "django_admin_log"}
    buyer = Buyer.objects.get().pk
    assert desk.get(page_of(buyer, "buyers/buyer")).status_code == 200
    desk.post(page_of(buyer, "buyers/buyer"), {"why": "REQUESTED", "sure": "on"})
    assert tables_naming_them() == {}
    opened = desk.get(f"/admin/followups/lead/{planted.pk}/change/")
    assert opened.status_code == 200
    assert b"Erase this person" not in opened.content
    assert b'name="notes"' not in opened.content


@pytest.mark.once
def test_others_neither_see_nor_reach_it(planted: Lead, person: Callable[..., User]) -> None:
    for role in (Role.AUDITOR, Role.VA, Role.CLOSER):
        client = Client()
        client.force_login(person(role))
        assert client.get(page_of(planted.pk)).status_code in (302, 403)
        assert client.post(page_of(planted.pk), {"why": "REQUESTED", "sure": "on"}).status_code in (302, 403)
    auditor = Client()
    auditor.force_login(person(Role.AUDITOR))
    assert b"Erase this person" not in auditor.get(f"/admin/followups/lead/{planted.pk}/change/").content
    assert Lead.objects.filter(external_id=LEAD_ID).exists()


@pytest.mark.parametrize("pk", ["0", "987654321", "nobody", "99999999999999999999999", "%00"])
def test_an_unknown_record_is_no_error(desk: Client, pk: str) -> None:
    for answer in (desk.get(page_of(pk)), desk.post(page_of(pk), {"why": "REQUESTED", "sure": "on"})):
        assert answer.status_code in ((400,) if pk == "%00" else (302, 404))


def test_the_page_asks_no_more_the_more_she_left(
    planted: Lead, desk: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    desk.get(page_of(planted.pk))
    with django_assert_num_queries(31):
        desk.get(page_of(planted.pk))
    for number in range(5):
        InboundContact.objects.create(lead=planted, channel="CALL", note=SHE, at=NOW)
        ContactPoint.objects.create(
            lead=planted, kind="PHONE", value=f"+1416555012{number}", digest=str(number)
        )
        IdempotentAnswer.objects.create(
            user=User.objects.all()[0], key=str(number), request_hash="", body=NAME, created_at=NOW
        )
    with django_assert_num_queries(31):
        desk.get(page_of(planted.pk))
