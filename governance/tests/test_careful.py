"""Edits that can do harm show old and new, ask for a reason that explains, and warn before they are saved."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from governance.core.actors import Actor
from governance.core.errors import Refused
from governance.core.week_field import WeekField
from governance.golive.services import set_kill_switch, state
from governance.heimdall.models import HeimdallPolicy
from governance.heimdall.services import promote, record_trial
from governance.heimdall.services import upsert_policy as upsert_heimdall
from governance.market.models import MarketPolicy
from governance.models import RegressionPolicy, User
from governance.risk.models import RiskPolicy
from governance.risk.rules import Caps, loosened
from governance.risk.services import upsert_policy
from offers.models import OfferPolicy
from valhalla.testing import ClientResponse

pytestmark = pytest.mark.django_db
People = Callable[..., User]
MakeBy = Callable[..., Actor]
AT = datetime(2026, 11, 24, 17, tzinfo=UTC)
WHY = "the winter was quiet so far"
CAPS = ("max_daily_loss", "max_daily_exposure", "max_open_risk", "max_actions_per_day")
RISKS = "/admin/governance/riskpolicy/"


@pytest.fixture
def manager(client: Client, person: People) -> Client:
    client.force_login(person("MANAGER", "mona"))
    return client


@pytest.fixture(autouse=True)
def capped(by: MakeBy, db: None) -> None:
    for engine, loss in (("GLOBAL", 25_000), ("WHOLESALE", 20_000)):
        upsert_policy(
            engine,
            {"max_daily_loss": loss, "max_daily_exposure": 100_000, "max_open_risk": 100_000,
             "max_actions_per_day": 8},
            by=by("MANAGER", "mona"), at=AT, reason=WHY,
        )  # fmt: skip


def page_of(row: Any) -> str:
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/change/"


def typed(client: Client, row: Any, **changes: object) -> dict[str, object]:
    """Return what the row's form would send as it is shown, with changes."""
    form = client.get(page_of(row)).context["adminform"].form
    sent: dict[str, object] = {}
    for name in form.fields:
        value = form[name].value()
        if isinstance(form[name].field, WeekField):  # a box for each day
            sent |= {f"{name}_{at}": one for at, one in enumerate(value)}
        elif value not in (None, False, ""):
            sent[name] = "on" if value is True else value
    found = {**sent, "change_reason": WHY, **changes}
    return {name: value for name, value in found.items() if value is not None}


def save(client: Client, row: Any, **changes: object) -> ClientResponse:
    return client.post(page_of(row), typed(client, row, **changes))


def text(answer: Any) -> str:
    return html.unescape(answer.content.decode())


def stamp_in(answer: Any) -> str:
    found = re.search(r'name="confirmed" value="([0-9a-f]{32})"', answer.content.decode())
    assert found, "no warning"
    return found[1]


def wholesale() -> RiskPolicy:
    return RiskPolicy.objects.get(engine="WHOLESALE")


# --- rules --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "over_all", "names"),
    [
        ((5, 0, 0, 0), (4, 0, 0, 0), (9, 9, 9, 9), []),
        ((5, 0, 0, 0), (9, 0, 0, 0), (9, 9, 9, 9), []),
        ((5, 0, 0, 0), (10, 0, 0, 0), (9, 9, 9, 9), ["max_daily_loss"]),
        ((5, 0, 0, 0), (10, 0, 0, 0), (0, 9, 9, 9), []),  # GLOBAL has no such cap
        ((20, 0, 0, 0), (15, 0, 0, 0), (9, 9, 9, 9), []),  # still above, but lowered
        ((20, 0, 0, 0), (20, 0, 0, 0), (9, 9, 9, 9), []),
        ((1, 2, 3, 4), (0, 0, 0, 0), None, list(CAPS)),
        ((0, 0, 0, 0), (0, 0, 0, 0), (9, 9, 9, 9), []),
        (None, (0, 9, 10, 10), (9, 9, 9, 9), ["max_open_risk", "max_actions_per_day"]),
    ],
)
def test_what_loosens_a_cap(before: object, after: object, over_all: object, names: list[str]) -> None:
    def caps(values: Any) -> Caps | None:
        if values is None:
            return None
        loss, exposure, risk, actions = values
        return Caps(Decimal(loss), Decimal(exposure), Decimal(risk), actions)

    found = loosened(caps(before), caps(after) or Caps(Decimal(0), Decimal(0), Decimal(0), 0), caps(over_all))
    assert [danger.name for danger in found] == names


# --- the reason, old and new --------------------------------------------------------------------------------


def each_policy() -> list[Any]:
    rows = [RiskPolicy, HeimdallPolicy, MarketPolicy, OfferPolicy, RegressionPolicy]
    return [model.objects.order_by("pk").first() for model in rows]  # type: ignore[attr-defined]  # model classes


def test_every_policy_asks_for_a_reason_of_ten_characters(manager: Client) -> None:
    for row in each_policy():
        for reason in ("", "nine more", "         x "):
            answer = save(manager, row, change_reason=reason)
            assert answer.status_code == 200, row
            assert list(answer.context["adminform"].form.errors) == ["change_reason"], row
        assert type(row).objects.get(pk=row.pk).version == row.version
        assert save(manager, row, change_reason="ten letter").status_code == 302, row


def test_what_changes_is_shown_while_it_is_typed(manager: Client) -> None:
    changes = {
        "riskpolicy": ({"max_daily_loss": "15000"}, "Loss a day: 20,000 → 15,000"),
        "heimdallpolicy": ({"min_sandbox_trials": "150"}, "Minimum trials: 75 → 150"),
        "marketpolicy": ({"min_score": "0.75"}, "Rules: Minimum lead score: 0.65 → Minimum lead score: 0.75"),
        "offerpolicy": ({"default_assignment_fee": "12000"}, "Assignment fee: 10,000 → 12,000"),
        "regressionpolicy": ({"action": "NOTIFY", "engine": ""}, "notify the managers"),
    }
    rows = [wholesale(), *each_policy()[1:]]
    for row in rows:
        change, expected = changes[row._meta.model_name]
        sent = typed(manager, row, **change, change_reason="", _draw="1")
        page = text(manager.post(page_of(row), sent))
        found = re.search(r'id="live-changes"[^>]*>(.*?)</div>', page, re.DOTALL)
        assert found, row
        told = " ".join(re.sub("<[^>]*>", "", found[1]).split())
        assert expected in told, (row, told)
        assert type(row).objects.get(pk=row.pk).version == row.version
    shown = text(manager.get(page_of(rows[0])))
    assert "Nothing yet." in shown


def test_many_are_switched_and_a_version_is_restored_only_with_such_a_reason(manager: Client) -> None:
    row = wholesale()
    said = {"action": "switch_off", "_selected_action": [row.pk], "apply": "1"}
    assert "at least 10" in text(manager.post(RISKS, {**said, "change_reason": "audit"}))
    old = row.history.earliest()
    restore = f"{RISKS}{row.pk}/history/{old.pk}/restore/"
    answer = manager.post(restore, {"change_reason": "back", "seen_version": row.version})
    assert "at least 10" in text(answer)
    assert wholesale().version == row.version


# --- risk caps ----------------------------------------------------------------------------------------------


def test_a_cap_above_globals_is_saved_once_its_warning_was_confirmed(manager: Client) -> None:
    row = wholesale()
    answer = save(manager, row, max_daily_loss="30000", change_reason="a big deal is coming up")

    page = text(answer)
    assert "rises to 30,000, above the 25,000 that GLOBAL allows all engines together" in page
    assert "<del>20,000</del> → <ins>30,000</ins>" in page
    assert 'name="max_daily_loss" value="30000"' in page  # what was typed is kept
    assert "a big deal is coming up" in page
    assert wholesale().version == row.version

    stamp = stamp_in(answer)
    # a confirmation counts for what was read: with another amount the question is asked again
    again = save(manager, row, max_daily_loss="40000", confirmed=stamp)
    assert "rises to 40,000" in text(again)
    assert "rises to" in text(save(manager, row, max_daily_loss="30000", confirmed="yes"))
    assert save(manager, row, max_daily_loss="30000", confirmed=stamp).status_code == 302
    assert (wholesale().max_daily_loss, wholesale().version) == (30_000, row.version + 1)


def test_a_cap_is_removed_by_a_tick_of_its_own_and_never_by_a_bare_zero(manager: Client) -> None:
    row = wholesale()
    for nothing in ("0", "0.00", ""):
        answer = save(manager, row, max_daily_loss=nothing)
        assert "Enter more than 0, or tick" in str(answer.context["adminform"].form.errors), nothing
    both = save(manager, row, no_cap_max_daily_loss="on")
    assert "not both" in text(both)

    warned = save(manager, row, max_daily_loss="", no_cap_max_daily_loss="on")
    assert "The cap on loss a day (CAD), now 20,000, is removed" in text(warned)
    assert "<del>20,000</del> → <ins>no cap</ins>" in text(warned)
    assert wholesale().max_daily_loss == 20_000
    ticked = {"max_daily_loss": "", "no_cap_max_daily_loss": "on", "confirmed": stamp_in(warned)}
    assert save(manager, row, **ticked).status_code == 302
    assert wholesale().max_daily_loss == 0
    # shown as what it is, and saved again without a question
    assert 'name="max_daily_loss" value="0' not in text(manager.get(page_of(row)))
    assert save(manager, wholesale(), enabled="on").status_code == 302


def test_the_api_keeps_0_for_no_cap(api: Callable[..., Any]) -> None:
    answer = api("MANAGER", "mona").post(
        "/api/governance/risk/policies/upsert", {"engine": "WHOLESALE", "max_daily_loss": 0}, format="json"
    )
    assert answer.status_code == 200, answer.content
    assert wholesale().max_daily_loss == 0


def test_restoring_a_looser_version_warns_too(manager: Client, by: MakeBy) -> None:
    row = wholesale()
    old = row.history.latest()
    upsert_policy("WHOLESALE", {"max_daily_loss": 5}, by=by("MANAGER", "mona"), at=AT, reason=WHY)
    upsert_policy("GLOBAL", {"max_daily_loss": 10}, by=by("MANAGER", "mona"), at=AT, reason=WHY)
    restore = f"{RISKS}{row.pk}/history/{old.pk}/restore/"
    said = {"change_reason": WHY, "seen_version": wholesale().version}

    warned = manager.post(restore, said)

    assert "rises to 20,000, above the 10" in text(warned)
    assert WHY in text(warned)
    assert wholesale().max_daily_loss == 5
    assert manager.post(restore, {**said, "confirmed": stamp_in(warned)}).status_code == 302
    assert wholesale().max_daily_loss == 20_000


# --- the import ---------------------------------------------------------------------------------------------


def upload(client: Client, *lines: str) -> Any:
    file = SimpleUploadedFile("f.csv", "\r\n".join(lines).encode(), "text/csv")
    return client.post(f"{RISKS}import/", {"file": file})


def go_on(client: Client, answer: HttpResponse, **said: str) -> Any:
    found = re.search(r'name="rows" value="([^"]*)"', answer.content.decode())
    assert found, answer.content.decode()[:500]
    rows = html.unescape(found[1])
    return client.post(f"{RISKS}import/", {"rows": rows, "_import": "1", "reason": WHY, **said})


def test_an_import_gives_the_same_warnings_and_waits_for_the_same_confirmation(manager: Client) -> None:
    seen = upload(manager, "engine,loss a day,open risk", "WHOLESALE,30000,no cap")
    assert "WHOLESALE: The cap on loss a day (CAD) rises to 30,000, above the 25,000" in text(seen)
    assert "WHOLESALE: The cap on open risk (CAD), now 100,000, is removed" in text(seen)

    unread = go_on(manager, seen)
    assert unread.status_code == 200
    assert "read the warning and confirm it" in text(unread)
    assert WHY in text(unread)
    assert wholesale().max_daily_loss == 20_000
    assert "at least 10" in text(go_on(manager, seen, reason="winter", confirmed=stamp_in(seen)))

    assert go_on(manager, unread, confirmed=stamp_in(unread)).status_code == 302
    assert (wholesale().max_daily_loss, wholesale().max_open_risk) == (30_000, 0)


def test_an_import_refuses_a_bare_zero_and_reads_what_the_export_wrote(manager: Client) -> None:
    zero = upload(manager, "engine,loss a day", "WHOLESALE,0")
    assert "Enter more than 0, or “no cap”." in text(zero)
    upsert_policy("WHOLESALE", {"max_open_risk": 0}, by=Actor.system("test"), at=AT, reason=WHY)
    sheet = b"".join(
        manager.post(f"{RISKS}export/", {"reason": "to look at them"}).streaming_content  # type: ignore[attr-defined]  # an export streams
    ).decode("utf-8-sig")
    line = next(row for row in sheet.splitlines() if row.startswith("WHOLESALE"))
    assert "no cap" in line
    again = upload(manager, sheet.splitlines()[0], line)
    assert 'id="count-same" class' in text(again)
    assert re.search(r'id="count-same"[^>]*>1<', text(again))


# --- Heimdall -----------------------------------------------------------------------------------------------


def offers_bar() -> HeimdallPolicy:
    return HeimdallPolicy.objects.get(domain="WHOLESALE_OFFER")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"min_confidence_prod": "0.9"}, "minimum confidence falls from 92"),
        ({"min_sandbox_trials": "50"}, "minimum number of trials falls from 75 to 50"),
        ({"min_sandbox_success_rate": "0.5"}, "minimum success rate falls from 82"),
    ],
)
def test_lowering_heimdalls_bar_warns(manager: Client, change: dict[str, str], said: str) -> None:
    row = offers_bar()
    warned = save(manager, row, **change)
    assert said in text(warned).replace("\u00a0", " ")
    assert offers_bar().version == row.version
    assert save(manager, row, **change, confirmed=stamp_in(warned)).status_code == 302
    assert offers_bar().version == row.version + 1
    # raising it again asks nothing
    raised = {name: str(getattr(row, name)) for name in change}
    assert save(manager, offers_bar(), **raised).status_code == 302


def test_lowering_the_bar_and_promoting_are_never_one_change(
    manager: Client, by: MakeBy, api: Callable[..., Any]
) -> None:
    now, mona = timezone.now(), by("MANAGER", "mona")
    for _n in range(3):
        record_trial("WHOLESALE_OFFER", success=True, by=mona, at=now)
    low = {"min_sandbox_trials": 2, "prod_use_enabled": True}
    with pytest.raises(Refused) as refused:
        upsert_heimdall("WHOLESALE_OFFER", low, by=mona, at=now, reason=WHY)
    assert refused.value.code == "lowered_and_promoted"
    for domain in ("WHOLESALE_OFFER", "A_NEW_ONE"):  # a new one is measured by what every new one asks
        answer = api("MANAGER", "mona").post(
            "/api/governance/heimdall/policies/upsert", {"domain": domain, **low}, format="json"
        )
        assert (answer.status_code, answer.json()["code"]) == (409, "lowered_and_promoted")
    row = offers_bar()
    warned = save(manager, row, min_sandbox_trials="2", prod_use_enabled="on")
    both = {"min_sandbox_trials": "2", "prod_use_enabled": "on", "confirmed": stamp_in(warned)}
    assert "Lower the requirements in one change" in text(save(manager, row, **both))
    assert not offers_bar().prod_use_enabled

    upsert_heimdall("WHOLESALE_OFFER", {"min_sandbox_trials": 2}, by=mona, at=now, reason=WHY)
    assert promote("WHOLESALE_OFFER", by=mona, at=now, reason=WHY).prod_use_enabled


# --- the kill switch ----------------------------------------------------------------------------------------

SWITCHES = "/admin/governance/golivestate/1/change/"


def test_releasing_the_kill_switch_has_a_reason_box_of_its_own(
    manager: Client, by: MakeBy, person: People
) -> None:
    set_kill_switch(True, by=by("MANAGER", "mona"), at=AT, reason="a fire")
    page = text(manager.get(SWITCHES))
    assert 'name="release_reason"' in page
    for said in ({"change_reason": WHY}, {"release_reason": "all fine", "change_reason": WHY}):
        answer = manager.post(SWITCHES, {"turn": "release", **said})
        assert answer.status_code == 200
        assert state().kill_switch_engaged, said
    manager.force_login(person("AUDITOR", "audrey"))
    assert manager.post(SWITCHES, {"turn": "release", "release_reason": WHY}).status_code == 403
    manager.force_login(person("MANAGER", "mona"))

    assert manager.post(SWITCHES, {"turn": "release", "release_reason": WHY}).status_code == 302

    assert (state().kill_switch_engaged, state().reason) == (False, WHY)
    # engaging it is never held up by counting letters
    assert manager.post(SWITCHES, {"turn": "engage", "change_reason": "fire"}).status_code == 302
    assert state().kill_switch_engaged


@pytest.mark.parametrize("role", ["VA", "CLOSER", "AUDITOR", "SERVICE"])
def test_whoever_may_not_change_a_policy_confirms_nothing(role: str, client: Client, person: People) -> None:
    user = person(role)
    client.force_login(user)
    row = wholesale()
    answer = client.post(
        page_of(row), {"max_daily_loss": "1", "change_reason": WHY, "seen_version": row.version}
    )
    assert answer.status_code in (302, 403)
    assert wholesale().max_daily_loss == 20_000
