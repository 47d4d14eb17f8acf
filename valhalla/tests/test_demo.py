"""The demo: every screen has something to show, nothing is unlawful or uncounted, and it is made once."""

from __future__ import annotations

import html
import json
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client, override_settings
from django.utils import timezone
from pytest_django import DjangoDbBlocker, Settings
from rest_framework.test import APIClient

from buyers.models import BuyerFeedbackEvent, BuyerLiquidityNode
from buyers.rules import FeedbackKind
from buyers.services import rebuild_liquidity
from followups.models import FollowUpTask, Ladder, LadderTemplate, Lead, SlaSnapshot
from followups.rules import NEXT, read_steps
from governance.core.actors import Actor, Role
from governance.core.places import Province
from governance.golive.models import GoLiveState
from governance.market.rules import DEFAULT_RULES
from governance.models import (
    Closure,
    Consent,
    ContactDecision,
    KpiEvent,
    MarketPolicy,
    Suppression,
    User,
    WorkProfile,
)
from governance.risk.models import RiskEvent, RiskReservation
from governance.risk.services import recount
from governance.tripwire.models import RegressionState
from offers.models import Offer, OfferEvidence, OfferOutcome, OfferPolicy
from offers.services import differences
from valhalla import demo
from valhalla.schedules import make_missing
from valhalla.testing import PASSWORD, ConfirmingClient

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.once,  # it calls the verbs, which the packs' tests ask of both databases
    pytest.mark.xdist_group("demo"),  # filled in once, not by each worker
]


# These come first: the demo of the others stays until the last of them is done.


def test_a_database_with_leads_of_its_own_is_left_alone() -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    Lead.objects.create(external_id="L1", province="ON", created_at=now, updated_at=now)
    with pytest.raises(CommandError, match="leads of its own"):
        call_command("demo")
    assert not User.objects.exists()


def test_production_gets_no_demo_data(settings: Any) -> None:
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="ENV=production"):
        call_command("demo")
    assert not Lead.objects.exists()


@pytest.mark.long
def test_a_run_that_fails_at_the_end_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        demo.fill(timezone.now(), people_file=tmp_path / "no" / "folder" / "people.json")
    assert [model.objects.count() for model in (Lead, User, KpiEvent)] == [0, 0, 0]


@dataclass(frozen=True)
class Filled:
    now: datetime
    people: Path
    told: demo.Counts


@pytest.fixture(scope="module")
def filled(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Filled]:
    """Fill the demo in once for all tests here, with the switches off as they are in a new installation."""
    people = tmp_path_factory.mktemp("var") / "demo-people.json"
    now = timezone.now()
    with django_db_blocker.unblock(), transaction.atomic():
        with override_settings(GO_LIVE_ENFORCE=True):
            told = demo.fill(now, people_file=people)
        yield Filled(now, people, told)
        transaction.set_rollback(True)


def seen(model: Any, *fields: str) -> set[Any]:
    return set(model._default_manager.order_by().values_list(*fields, flat=len(fields) == 1).distinct())


def test_every_state_of_ladders_and_tasks_occurs(filled: Filled) -> None:
    assert seen(Ladder, "status") == set(Ladder.Status.values)
    assert seen(FollowUpTask, "status") == set(FollowUpTask.Status.values)
    assert seen(FollowUpTask, "kind") == set(FollowUpTask.Kind.values)
    assert seen(FollowUpTask, "outcome") == {"", *FollowUpTask.Outcome.values}
    assert seen(FollowUpTask, "next") == {"", *NEXT}
    assert seen(FollowUpTask, "province") == set(Province.values)
    assert seen(Lead, "status") == set(Lead.Status.values) - {Lead.Status.WON}  # no verb says so yet
    assert FollowUpTask.objects.exclude(held_reason="").filter(status="OPEN", due_at=None).exists()
    assert FollowUpTask.objects.filter(snoozed_until__gt=filled.now, status="OPEN").exists()
    assert FollowUpTask.objects.filter(is_current=True, sla_2h_at__lt=filled.now).exists()  # overdue
    assert FollowUpTask.objects.filter(is_current=True, due_at__gt=filled.now).exists()
    assert FollowUpTask.objects.filter(claim_until__gt=filled.now).exists()
    assert {"", "amara"} <= seen(FollowUpTask, "owner")
    assert SlaSnapshot.objects.exists()
    assert Lead.objects.nobodys().exists()


def test_buyers_and_offers_have_something_of_everything(filled: Filled) -> None:
    assert seen(BuyerFeedbackEvent, "event") == set(FeedbackKind.values)
    assert 500 <= filled.told.feedback <= 800
    assert len(seen(BuyerLiquidityNode, "province", "market")) == 12
    assert filled.told.offers == 42
    assert seen(Offer, "state") == {"OPEN", "SUPERSEDED", *seen(OfferOutcome, "outcome")}
    assert seen(OfferOutcome, "outcome") == {"ACCEPTED", "REJECTED", "CONTRACTED", "ASSIGNED", "FELL_THROUGH"}
    assert OfferOutcome.objects.filter(corrects__isnull=False).exists()


def test_every_step_says_something_in_both_languages_and_some_leads_rest(filled: Filled) -> None:
    template = LadderTemplate.objects.get(province="")
    steps = [*read_steps(template.steps), *template.nurture]
    assert (len(steps), template.version) == (9, 2)
    assert all(step.script_en and step.script_fr for step in steps)
    assert Ladder.objects.exclude(template_version=2).count() == 0
    assert Lead.objects.filter(nurture_at__isnull=False, status="NOT_NOW").exists()


def test_risk_was_reserved_denied_and_ended_in_every_way_and_some_is_open(filled: Filled) -> None:
    assert seen(RiskReservation, "state") == {"PENDING", "SETTLED", "RELEASED", "EXPIRED"}
    assert seen(RiskEvent, "kind") == {"RESERVED", "DENIED", "SETTLED", "RELEASED", "EXPIRED"}
    assert not RiskReservation.objects.stale(filled.now).exists()
    assert recount() == []


def test_contacts_were_allowed_but_for_the_two_that_show_what_is_kept_then(filled: Filled) -> None:
    assert Counter(FollowUpTask.objects.filter(gate_allowed=False).values_list("status", flat=True)) == {
        "COMPLETED": 2
    }
    assert ContactDecision.objects.filter(ok=False, overridden=True).count() == 1
    assert ContactDecision.objects.filter(ok=False, happened=True).count() == 1
    assert Suppression.objects.exists()
    assert {"EXPRESS", "INQUIRY", "WITHDRAWN"} <= set(Consent.objects.values_list("kind", flat=True))


def test_nothing_has_happened_that_is_still_to_come(filled: Filled) -> None:
    dated = {
        FollowUpTask: "completed_at",
        KpiEvent: "created_at",
        OfferEvidence: "created_at",
        BuyerFeedbackEvent: "created_at",
        Ladder: "started_at",
        Lead: "updated_at",
        RiskEvent: "created_at",
    }
    for model, field in dated.items():
        assert not model._default_manager.filter(**{f"{field}__gt": filled.now}).exists(), (model, field)


def test_one_tripwire_fired_and_the_lead_of_an_offer_was_followed_up_before(filled: Filled) -> None:
    (fired,) = RegressionState.objects.filter(triggered=True)
    assert (fired.policy.metric, fired.policy.action) == ("notice_delivered", "NOTIFY")
    of_ladders = FollowUpTask.objects.filter(status="COMPLETED").values("lead__external_id")
    assert Offer.objects.filter(lead_id__in=of_ladders, state="CONTRACTED").exists()


def test_each_action_left_its_events_once(filled: Filled) -> None:
    counted = Counter(KpiEvent.objects.values_list("domain", "metric"))
    done = FollowUpTask.objects.filter(status="COMPLETED")
    assert counted.pop(("WHOLESALE", "ladder_created")) == Ladder.objects.count()
    assert counted.pop(("WHOLESALE", "followup_completed")) == done.count()
    assert counted.pop(("WHOLESALE", "contact_compliance")) == done.exclude(gate_allowed=None).count()
    ever_due = FollowUpTask.objects.filter(sla_counted=True)
    never_due = done.filter(due_at=None).count()  # done while they were held
    assert counted.pop(("WHOLESALE", "followup_sla")) == ever_due.count() - never_due
    assert counted.pop(("BUYER_MATCH", "buyer_feedback")) == BuyerFeedbackEvent.objects.count()
    assert counted.pop(("WHOLESALE", "offer_generated")) == OfferEvidence.objects.count()
    answers = OfferOutcome.objects.filter(outcome__in=["ACCEPTED", "REJECTED"])
    assert counted.pop(("WHOLESALE", "offer_accept_rate")) == answers.count()
    ends = OfferOutcome.objects.filter(outcome__in=["CONTRACTED", "FELL_THROUGH"])
    assert counted.pop(("WHOLESALE", "contract_rate")) == ends.count()
    assert counted.pop(("NOTIFY", "notice_delivered")) > 200
    assert not counted


def test_evidence_and_liquidity_prove_themselves(filled: Filled) -> None:
    assert not [found for evidence in OfferEvidence.objects.all() for found in differences(evidence)]
    assert not rebuild_liquidity(by=Actor.system("test"), at=filled.now).differences


def test_the_seeded_rules_of_contact_stay_for_whoever_tries_the_examples(filled: Filled) -> None:
    policies = list(MarketPolicy.objects.all())
    assert len(policies) == len(Province.values)
    assert all(policy.enabled and policy.rules == DEFAULT_RULES.as_json() for policy in policies)
    assert seen(OfferPolicy, "province", "enabled") >= {("ON", False), ("BC", False), ("QC", True)}
    assert Closure.objects.filter(name="Christmas Eve", closed_from__isnull=False).exists()


def test_the_people_are_of_every_role_and_their_passwords_open_the_door(filled: Filled) -> None:
    kept = json.loads(filled.people.read_text())
    assert stat.S_IMODE(filled.people.stat().st_mode) == 0o600
    assert Counter(person["role"] for person in kept["people"]) == {
        "manager": 1,
        "auditor": 1,
        "closer": 2,
        "va": 6,
    }
    assert len({person["password"] for person in kept["people"]}) == 10
    first = kept["people"][0]
    assert authenticate(username=first["username"], password=first["password"]) is not None
    assert User.objects.get(role=Role.SERVICE).has_usable_password() is False
    assert WorkProfile.objects.count() == 8


def test_the_token_lets_a_program_in(filled: Filled) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {json.loads(filled.people.read_text())['token']}")
    answer = client.get("/api/governance/market/effective?province=ON")
    assert (answer.status_code, answer.json()["found"]) == (200, True)


class Fields(HTMLParser):
    """What the page's form would send: its fields as they stand."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.data: dict[str, str] = {}
        self.area = self.choice = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = dict(attrs)
        name, kind = given.get("name") or "", given.get("type") or "text"
        if tag == "input" and name and kind not in ("submit", "file"):
            if kind not in ("checkbox", "radio") or "checked" in given:
                self.data[name] = given.get("value") or ("on" if kind == "checkbox" else "")
        elif tag == "textarea":
            self.area, self.data[name] = name, ""
        elif tag == "select":
            self.choice = name
        elif tag == "option" and "selected" in given and self.choice:
            self.data[self.choice] = given.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.area = ""
        elif tag == "select":
            self.choice = ""

    def handle_data(self, data: str) -> None:
        if self.area:
            self.data[self.area] += data.strip()


class Manager:
    """A manager in front of the runbook, who follows its links and does what its lines say."""

    def __init__(self, username: str, password: str, settings: Any) -> None:
        self.client, self.settings = ConfirmingClient(), settings
        self.client.proof = lambda: password
        self.client.force_login(User.objects.get(username=username))

    def blockers(self) -> list[tuple[str, str, str]]:
        """Return the id, the sentence and the link of each line of the runbook that keeps go-live off."""
        page = self.client.get("/admin/governance/runbook/").content.decode()
        section = re.search(r'<section aria-labelledby="blockers">.*?</section>', page, re.DOTALL)
        lines = re.findall(r'<li class="bad">(.*?)</li>', section[0], re.DOTALL) if section else []
        return [
            (
                re.findall(r"<code>(.*?)</code>", line)[0],
                html.unescape(re.sub(r"<[^>]+>", " ", line)),
                html.unescape("".join(re.findall(r'<a href="(.*?)"', line)[:1])),
            )
            for line in lines
        ]

    def send(self, address: str, **changes: str) -> None:
        """Fill in the form of a page and send it; it must be taken."""
        page = self.client.get(address, follow=True)
        assert page.status_code == 200, address
        where = page.redirect_chain[-1][0] if page.redirect_chain else address
        answer = self.client.post(where, {**Fields(page.content.decode()).data, **changes})
        context: Any = answer.context
        assert answer.status_code == 302, (address, context and context.get("errors"))

    def restart_with(self, sentence: str) -> None:
        """Set what a line says, as whoever runs the machine does before starting it again."""
        told: dict[str, dict[str, Any]] = {
            "GO_LIVE_ENFORCE=1": {"GO_LIVE_ENFORCE": True},
            "ENV=production": {"ENV": "production", "PRODUCTION": True},
            "SECRET_KEY": {"SECRET_KEY": "".join(map(chr, range(48, 112)))},
            "ALLOWED_HOSTS": {"ALLOWED_HOSTS": ["valhalla.example", "testserver"]},
            "DEBUG": {"DEBUG": False},
        }
        wanted = [values for words, values in told.items() if words in sentence]
        assert wanted, sentence
        for name, value in wanted[0].items():
            setattr(self.settings, name, value)

    def follow(self, id: str, sentence: str, link: str) -> None:
        if not link:
            self.restart_with(sentence)
        elif id == "consent_stated":
            how = "A box on the web form, kept with its wording and its time"
            for channel in ("SMS", "EMAIL"):
                if channel in sentence:
                    self.send(
                        self.adding(link), channel=channel, how=how, change_reason="Agreed with our lawyer"
                    )
        elif id == "jobs_alive":
            page = self.client.get(link).content.decode()
            row = re.findall(r'governance\.heartbeat</strong>.*?action="(.*?)"', page, re.DOTALL)[0]
            assert self.client.post(row, {"act": "run"}).status_code == 302
        elif id == "no_demo_people":
            self.switch_off(sentence, link)
        else:
            raise AssertionError(f"nobody has said how {id} is put right: {sentence}")

    def adding(self, listed: str) -> str:
        """Return where a list's button leads that adds a row."""
        page = self.client.get(listed).content.decode()
        found: list[str] = re.findall(r'href="(/admin/[^"]*/add/)', page)
        return found[0]

    def switch_off(self, sentence: str, link: str) -> None:
        listed = self.client.get(link).context["cl"].result_list
        reason = {"change_reason": "Came from the demo, whose passwords are printed"}
        for user in listed:
            if re.search(rf"\b{user.username}\b", sentence):
                address = f"/admin/governance/user/{user.pk}/change/"
                data = Fields(self.client.get(address).content.decode()).data
                del data["is_active"]
                answer: Any = self.client.post(address, {**data, **reason})
                told = answer.context and answer.context.get("errors")
                assert answer.status_code == 302, (user.username, told)


def test_go_live_is_reached_by_following_the_runbooks_links(filled: Filled, settings: Settings) -> None:
    make_missing(filled.now)
    settings.GO_LIVE_ENFORCE = False
    people = json.loads(filled.people.read_text())["people"]
    manager = next(one for one in people if one["role"] == "manager")
    mona = Manager(manager["username"], manager["password"], settings)
    found = {id for id, _sentence, _link in mona.blockers()}
    assert found >= {"go_live_checklist", "env_sanity", "consent_stated", "no_demo_people", "jobs_alive"}
    switches = "/admin/governance/golivestate/1/change/"
    refused = mona.client.post(switches, {"turn": "enable", "change_reason": "We begin on Monday"})
    assert refused.status_code == 412

    # somebody who is not of the demo goes on when the demo's own manager is switched off
    mona.send(
        "/admin/governance/user/add/", username="winona", role="MANAGER", email="winona@valhalla.example"
    )
    link = mona.client.post(f"/admin/password-link/{User.objects.get(username='winona').pk}/", {"show": "1"})
    sent = {"link": str(link.context["address"]).partition("link=")[2], "new": PASSWORD, "again": PASSWORD}
    assert Client().post("/password/new/", sent)["Location"] == "/login/"
    winona = Manager("winona", PASSWORD, settings)
    for _round in range(12):
        left = winona.blockers()
        if not left:
            break
        winona.follow(*left[0])
    assert winona.blockers() == []
    page = winona.client.get(switches).content.decode()
    assert "keeps go-live off" not in page
    winona.send(switches, turn="enable", change_reason="We begin on Monday")
    now = GoLiveState.objects.get()
    assert (now.go_live_enabled, now.changed_by) == (True, "winona")


def test_a_second_run_changes_nothing(filled: Filled) -> None:
    text = filled.people.read_text()
    events = KpiEvent.objects.count()
    with pytest.raises(demo.AlreadyThere):
        demo.fill(timezone.now(), people_file=filled.people)
    assert (filled.people.read_text(), KpiEvent.objects.count()) == (text, events)
    call_command("demo")
