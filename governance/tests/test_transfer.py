"""Suppressions and policies from a spreadsheet: seen first, taken through their verbs, and given out."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from followups.models import LadderTemplate
from governance.contact.models import Suppression
from governance.contact.services import lift_suppression, suppress
from governance.kpi.models import KpiEvent
from governance.market.models import MarketPolicy, ScheduledChange
from governance.models import RiskPolicy, User
from governance.tests.factories import phone_point
from offers.models import OfferPolicy
from valhalla.testing import ClientResponse

pytestmark = pytest.mark.django_db
STOPS = "/admin/governance/suppression/"
MARKETS = "/admin/governance/marketpolicy/"
OFFERS = "/admin/offers/offerpolicy/"
RISKS = "/admin/governance/riskpolicy/"
TEMPLATES = "/admin/followups/laddertemplate/"
NUMBER = "+14165550142"


@pytest.fixture
def manager(client: Client, person: Callable[..., User]) -> Client:
    client.force_login(person("MANAGER", "mona"))
    return client


def upload(client: Client, screen: str, *lines: str) -> ClientResponse:
    content = "\r\n".join(lines).encode()
    return client.post(f"{screen}import/", {"file": SimpleUploadedFile("f.csv", content, "text/csv")})


def go_on(client: Client, screen: str, answer: Any, **said: str) -> Any:
    found = re.search(r'name="rows" value="([^"]*)"', answer.content.decode())
    assert found, answer.content.decode()[:500]
    return client.post(f"{screen}import/", {"rows": html.unescape(found[1]), **said})


def counts(answer: ClientResponse) -> tuple[int, ...]:
    text = answer.content.decode()
    return tuple(
        int(re.findall(rf'id="count-{name}"[^>]*>(\d+)<', text)[0])
        for name in ("new", "changed", "same", "wrong")
    )


def exported(client: Client, screen: str) -> list[list[str]]:
    answer: Any = client.post(f"{screen}export/", {"reason": "to keep"})
    return list(csv.reader(io.StringIO(answer.getvalue().decode("utf-8-sig"))))


# --- suppressions -------------------------------------------------------------------------------------------


def test_an_import_adds_the_stops_that_are_missing_and_the_same_file_again_none(
    manager: Client, by: Any
) -> None:
    suppress([phone_point(NUMBER).digest], by=by("MANAGER"), at=timezone.now(), channel="CALL")
    lines = (
        "Phone or e-mail,Channel,Source",
        "416 555 0142,CALL,",
        "416 555 0142,,OPT_OUT",
        "ana@example.ca,EMAIL,a manager",
        "ana@example.ca,,",
    )
    shown = upload(manager, STOPS, *lines)
    assert counts(shown) == (2, 0, 2, 0), "e-mail is all that an address is reached by"
    assert Suppression.objects.count() == 1
    assert go_on(manager, STOPS, shown, _import="1").status_code == 302
    added = Suppression.objects.order_by("pk").values_list("channel", "source", "action", "actor")[1:]
    assert sorted(added) == [("", "OPT_OUT", "SUPPRESS", "mona"), ("EMAIL", "MANAGER", "SUPPRESS", "mona")]
    assert counts(upload(manager, STOPS, *lines)) == (0, 0, 4, 0)


def test_an_import_ends_no_stop_and_says_at_the_cell_what_is_wrong(manager: Client) -> None:
    shown = upload(
        manager, STOPS, "Phone or e-mail,Channel,Source,Action", "416 555 0142,,,LIFT", "12,,,",
        "416 555 0142,EMAIL,,", "416 555 0142,,NATIONAL_LIST,", "416 555 0142,FAX,someone,",
    )  # fmt: skip
    assert counts(shown) == (0, 0, 0, 5)
    page = html.unescape(shown.content.decode())
    for said in ("An import cannot end a suppression", "“12” is not a phone number",
                 "does not fit this kind of contact point",
                 "import_do_not_call", "Write SMS, CALL or EMAIL", "Enter one of OPT_OUT"):  # fmt: skip
        assert said in page, said
    assert not Suppression.objects.exists()


def test_an_export_gives_the_stops_that_hold_by_keyed_hash_and_they_are_there_already(
    manager: Client, by: Any
) -> None:
    boss, now = by("MANAGER"), timezone.now()
    kept, ended, national = (phone_point(f"+1416555014{n}").digest for n in range(3))
    suppress([kept, ended], by=boss, at=now - timedelta(hours=1))
    suppress([national], by=boss, at=now, source="NATIONAL_LIST", channel="CALL")
    lift_suppression([ended], by=boss, at=now, reason="she called", channel="SMS")
    lift_suppression([ended], by=boss, at=now, reason="she called", channel="CALL")
    heading, *rows = exported(manager, STOPS)
    assert sorted(row[:3] for row in rows) == sorted([[kept, "", "OPT_OUT"], [ended, "EMAIL", "OPT_OUT"]])
    lines = [",".join(row) for row in (heading, *rows)]
    assert counts(upload(manager, STOPS, *lines)) == (0, 0, 2, 0)
    assert KpiEvent.objects.get(metric="rows_exported").detail["rows"] == 2


# --- policies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("screen", "model"),
    [(MARKETS, MarketPolicy), (OFFERS, OfferPolicy), (RISKS, RiskPolicy), (TEMPLATES, LadderTemplate)],
)
def test_policies_that_were_given_out_are_so_already(manager: Client, screen: str, model: Any) -> None:
    heading, *rows = exported(manager, screen)
    assert len(rows) == model.objects.count() > 0
    text = io.StringIO()
    csv.writer(text).writerows([heading, *rows])
    assert counts(upload(manager, screen, *text.getvalue().splitlines())) == (0, 0, len(rows), 0)


def test_hours_change_by_a_spreadsheet_with_a_version_its_reason_and_its_differences(manager: Client) -> None:
    ontario = MarketPolicy.objects.get(province="ON", market="ALL")
    lines = ("Province,Market,Saturday,Enabled,Version", f"ON,,11-15,,{ontario.version}", "ON,Ottawa,–,no,")
    shown = upload(manager, MARKETS, *lines)
    assert counts(shown) == (1, 1, 0, 0)
    assert "11:00–15:00" in shown.content.decode()
    assert counts(go_on(manager, MARKETS, shown, _import="1", reason="")) == (1, 1, 0, 0), (
        "a reason is needed"
    )
    assert MarketPolicy.objects.get(pk=ontario.pk).version == ontario.version
    assert go_on(manager, MARKETS, shown, _import="1", reason="winter 2026").status_code == 302
    changed = MarketPolicy.objects.get(pk=ontario.pk)
    assert (changed.version, changed.reason, changed.changed_by) == (
        ontario.version + 1,
        "winter 2026",
        "mona",
    )
    assert changed.history.count() == ontario.version + 1
    ottawa = MarketPolicy.objects.get(province="ON", market="OTTAWA")
    assert not ottawa.enabled
    assert counts(upload(manager, MARKETS, *lines)) == (0, 0, 2, 0)


def test_a_scheduled_change_goes_out_and_comes_in(manager: Client) -> None:
    day = (timezone.now() + timedelta(days=40)).date()
    lines = ("Province,Market,Saturday,Takes effect", f"ON,,11-15,{day} 00:00", f"ON,Ottawa,–,{day} 00:00")
    shown = upload(manager, MARKETS, *lines)
    assert counts(shown) == (0, 2, 0, 0)
    assert not ScheduledChange.objects.exists(), "seen first"
    assert go_on(manager, MARKETS, shown, _import="1", reason="shorter winter days").status_code == 302
    ontario, ottawa = ScheduledChange.objects.order_by("market")
    zone = ZoneInfo("America/Toronto")
    assert ontario.effective_from == datetime(day.year, day.month, day.day, tzinfo=zone)
    assert (ontario.reason, ontario.changed_by, ottawa.market) == ("shorter winter days", "mona", "OTTAWA")
    assert MarketPolicy.objects.get(province="ON").version == 1
    heading, *rows = exported(manager, MARKETS)
    assert len(rows) == MarketPolicy.objects.count() + 2
    text = io.StringIO()
    csv.writer(text).writerows([heading, *rows])
    assert counts(upload(manager, MARKETS, *text.getvalue().splitlines())) == (0, 0, len(rows), 0)
    for wrong in ("soon", "2020-01-01 00:00"):
        assert counts(upload(manager, MARKETS, lines[0], f"ON,,9-10,{wrong}")) == (0, 0, 0, 1)


def test_one_wrong_row_holds_the_whole_file_back(manager: Client) -> None:
    before = list(OfferPolicy.objects.order_by("pk").values())
    lines = ("Province,Market,Share of the ARV,Require Heimdall", "ON,,0.65,", "QC,,0.95,maybe", "XX,,0.6,")
    shown = upload(manager, OFFERS, *lines)
    assert counts(shown) == (0, 1, 0, 2)
    assert "Enter yes or no." in shown.content.decode()
    held = go_on(manager, OFFERS, shown, _import="1", reason="winter 2026")
    assert counts(held) == (0, 1, 0, 2)
    assert list(OfferPolicy.objects.order_by("pk").values()) == before
    assert not KpiEvent.objects.exists()
    typed = {"cell-3-max_arv_multiplier": "0.6", "cell-3-require_heimdall": "", "drop-4": "1"}
    assert go_on(manager, OFFERS, held, _import="1", reason="winter 2026", **typed).status_code == 302
    found = dict(OfferPolicy.objects.filter(market="ALL").values_list("province", "max_arv_multiplier"))
    assert (found["ON"], found["QC"]) == (Decimal("0.65"), Decimal("0.6"))


def test_caps_change_by_a_spreadsheet_and_a_new_engine_has_what_its_row_says(manager: Client) -> None:
    lines = (
        "Engine,Enabled,Loss a day,Actions a day",
        "GLOBAL,,30000,12",
        "wholesale,no,,",
        "LEASING,yes,5000,",
    )
    wrong = upload(manager, RISKS, *lines, "CAPITAL,,,1.5", "two words,,,", "Global,,1,")
    assert counts(wrong) == (1, 2, 0, 3)
    shown = upload(manager, RISKS, *lines)
    assert counts(shown) == (1, 2, 0, 0)
    assert not RiskPolicy.objects.filter(engine="LEASING").exists(), "a preview writes nothing"
    assert go_on(manager, RISKS, shown, _import="1", reason="winter 2026").status_code == 302
    found = {row.engine: row for row in RiskPolicy.objects.all()}
    overall = found["GLOBAL"]
    assert (overall.max_daily_loss, overall.max_actions_per_day, overall.reason) == (
        30000,
        12,
        "winter 2026",
    )
    assert not found["WHOLESALE"].enabled
    assert (found["LEASING"].max_daily_loss, found["LEASING"].max_open_risk) == (5000, 0)
    assert counts(upload(manager, RISKS, *lines)) == (0, 0, 3, 0)


def test_the_steps_of_a_ladder_change_by_a_spreadsheet_and_keep_their_scripts(manager: Client) -> None:
    general = LadderTemplate.objects.get()
    said = '"[1]\nHello\n\nit is us\n[3]\nStill there?"'
    lines = (
        "Province,Market,Steps,Scripts in English",
        f"–,,,{said}",
        'QC,Laval,"SMS, Call +30 min, SMS 2 days",',
    )
    shown = upload(manager, TEMPLATES, *lines)
    assert counts(shown) == (1, 1, 0, 0)
    assert go_on(manager, TEMPLATES, shown, _import="1", reason="winter 2026").status_code == 302
    laval = LadderTemplate.objects.get(province="QC", market="LAVAL")
    told = [(step["channel"], step["delay"], step["script_en"]) for step in laval.steps]
    assert told == [
        ("SMS", {"minutes": 0}, "Hello\n\nit is us"),
        ("CALL", {"minutes": 30}, ""),
        ("SMS", {"days": 2}, "Still there?"),
    ]
    general.refresh_from_db()
    assert (len(general.steps), general.reason, general.changed_by) == (6, "winter 2026", "mona")
    assert counts(upload(manager, TEMPLATES, *lines)) == (0, 0, 2, 0)
    heading, *rows = exported(manager, TEMPLATES)
    text = io.StringIO()
    csv.writer(text).writerows([heading, *rows])
    assert counts(upload(manager, TEMPLATES, *text.getvalue().splitlines())) == (0, 0, 2, 0)


def test_a_ladder_that_cannot_be_is_told_at_its_cell_and_mended_with_its_lines(manager: Client) -> None:
    said = '"[1]\nHello\n[9]\nBye"'
    shown = upload(
        manager,
        TEMPLATES,
        "Province,Steps,Scripts in English",
        f"ON,SMS,{said}",
        'QC,"SMS, CALL 30 weeks",',
        'BC,"CALL 2 h, SMS",',
        ",SMS,",
    )
    assert counts(shown) == (0, 0, 0, 4)
    page = html.unescape(shown.content.decode())
    for told in (
        "There is no step 9.",
        "“CALL 30 weeks” is not valid",
        "Step 1 has no delay",
        "[1]\nHello\n[9]\nBye</textarea>",
    ):
        assert told in page, told
    typed = {"cell-2-script_en": "[1]\r\nHello\r\nyou", "drop-3": "1", "drop-4": "1", "drop-5": "1"}
    assert go_on(manager, TEMPLATES, shown, _import="1", reason="winter 2026", **typed).status_code == 302
    assert LadderTemplate.objects.get(province="ON").steps[0]["script_en"] == "Hello\nyou"


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(manager: Client, by: Any) -> None:
    from governance.core.places import Place
    from offers.services import upsert_policy

    shown = upload(manager, OFFERS, "Province,Share of the ARV", "ON,0.65")
    upsert_policy(
        Place("ON"), {"max_arv_multiplier": Decimal("0.8")}, by=by("MANAGER"), at=timezone.now(), reason="x"
    )
    held = go_on(manager, OFFERS, shown, _import="1", reason="winter 2026")
    assert counts(held) == (0, 0, 0, 1)
    assert "This was changed in the meantime" in held.content.decode()
    assert OfferPolicy.objects.get(province="ON", market="ALL").max_arv_multiplier == Decimal("0.8")


@pytest.mark.parametrize("role", ["AUDITOR", "VA"])
@pytest.mark.parametrize("screen", [STOPS, MARKETS, OFFERS, RISKS, TEMPLATES])
def test_only_managers_take_in_and_give_out(
    role: str, screen: str, client: Client, person: Callable[..., User]
) -> None:
    client.force_login(person(role))
    assert client.get(f"{screen}import/").status_code in (302, 403)
    assert client.post(f"{screen}export/", {"reason": "to keep"}).status_code in (302, 403)
    assert not KpiEvent.objects.exists()
