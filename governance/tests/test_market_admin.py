"""The market policies' screens: hours typed and drawn, said in words, foreseen, copied, switched together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from governance.core import hooks
from governance.core.hooks import LawsWeek, Moves, PolicyDraft
from governance.core.hours import DAYS, read_day, read_windows, week_windows, write_day
from governance.market.forms import typed_from
from governance.market.models import MarketPolicy
from governance.market.pictures import closed_by_law
from governance.market.rules import DEFAULT_RULES, ContactRules, read_rules
from governance.market.wording import in_words
from governance.models import User

pytestmark = pytest.mark.django_db
AT = datetime(2026, 11, 27, 15, 0, tzinfo=UTC)
LISTED = reverse("admin:governance_marketpolicy_changelist")


@pytest.fixture
def manager(person: Callable[..., User]) -> Client:
    client = Client()
    client.force_login(person("MANAGER", "mona"))
    return client


def page_of(policy: MarketPolicy) -> str:
    return reverse("admin:governance_marketpolicy_change", args=[policy.pk])


def typed(policy: MarketPolicy, **changes: Any) -> dict[str, Any]:
    said = typed_from(read_rules(policy.rules))
    form = {
        **{f"week_{day}": hours for day, hours in enumerate(said["week"])},
        "enabled": "on",
        "timezone": policy.timezone,
        "channels": said["channels"],
        "consent_channels": said["consent_channels"],
        "min_score": said["min_score"],
        "skip_holidays": "on",
        "change_reason": "longer Saturdays",
        "seen_version": policy.version,
    }
    return {**form, **changes}


# --- hours as they are typed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("", ()),
        ("9-20", ((540, 1200),)),
        ("9:00–20:00", ((540, 1200),)),
        ("9 am to 8 pm", ((540, 1200),)),
        ("9 a.m. - 12 p.m., 1 p.m. - 8:30 p.m.", ((540, 720), (780, 1230))),
        ("9 h à 11 h 30 et 13h-20h", ((540, 690), (780, 1200))),
        ("20-24; 0-6", ((0, 360), (1200, 1440))),
        ("18:00-0:00", ((1080, 1440),)),
        ("6 pm to 12 am", ((1080, 1440),)),
    ],
)
def test_a_days_hours_are_read_as_people_type_them(text: str, hours: tuple[tuple[int, int], ...]) -> None:
    assert read_day(text) == hours


@pytest.mark.parametrize("text", ["20-9", "9-9", "9", "9-25", "13 pm - 14 pm", "9-12,11-13", "9-20x", "٩-٢٠"])
def test_what_is_no_days_hours_is_not_guessed(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_day(text)


def test_hours_come_back_from_the_form_as_they_were() -> None:
    for windows in (
        DEFAULT_RULES.windows,
        read_windows([{"days": [0, 6], "start": "00:00", "end": "24:00"}]),
    ):
        rules = ContactRules(windows, (), Decimal(0), skip_holidays=True, consent_channels=())
        week = [read_day(write_day(rules.hours_of(day))) for day in DAYS]
        assert week_windows(week) == windows


# --- in words and pictures ----------------------------------------------------------------------------------


def test_a_policy_is_said_as_a_manager_would_say_it() -> None:
    assert in_words(DEFAULT_RULES, enabled=True, zone="") == [
        "Text messages, calls and e-mail, Monday to Friday 09:00 to 20:00, Saturday 10:00 to 18:00, "
        "local time, not on holidays.",
        "Only leads that score 0.65 or more, or have no score yet.",
        "At most 3 contacts a day and 6 in 7 days per number or address: our own rule.",
    ]
    assert "Off: nobody" in in_words(DEFAULT_RULES, enabled=False, zone="")[0]
    never = ContactRules((), ("SMS",), Decimal(0), skip_holidays=False, consent_channels=())
    assert in_words(never, enabled=True, zone="") == ["Nobody is ever contacted here: no hours are given."]


def test_what_the_law_closes_is_shaded_and_nothing_else() -> None:
    law = LawsWeek("CALL", (((540, 1290),),) * 7, ("CRTC",))
    other = LawsWeek("SMS", (((600, 1440),),) * 7, ("Texts Act",))
    assert closed_by_law([], 0) == []
    assert closed_by_law([law], 0) == [(0, 540), (1290, 1440)]
    assert closed_by_law([law, other], 0) == [(0, 600), (1290, 1440)]


def test_the_seeded_law_lies_behind_the_hours(manager: Client) -> None:
    page = manager.get(page_of(MarketPolicy.objects.get(province="ON"))).content.decode()
    # Monday: no calls before 9:00 and after 21:30
    assert page.count('class="law" x="0" width="540"') == 5
    assert page.count('class="law" x="1290" width="150"') == 5
    assert "the law allows no calls then" in page


def test_the_list_shows_every_provinces_week_in_a_fixed_number_of_queries(
    manager: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(10):
        page = manager.get(LISTED).content.decode()
    assert page.count('<svg class="small-week"') == 13
    assert "Monday to Friday 09:00 to 20:00" in page


def test_the_form_opens_in_a_fixed_number_of_queries(
    manager: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    address = page_of(MarketPolicy.objects.get(province="ON"))
    with django_assert_max_num_queries(10):
        manager.get(address)


# --- saving -------------------------------------------------------------------------------------------------


def test_typed_hours_become_the_policys_windows(manager: Client) -> None:
    policy = MarketPolicy.objects.get(province="ON")
    said = typed(
        policy, week_5="9-12, 13 - 17:30", channels=["SMS"], consent_channels=["SMS"], min_score="0.5"
    )
    assert manager.post(page_of(policy), said).status_code == 302
    policy.refresh_from_db()
    assert policy.rules == {
        "contact_windows_local": [
            {"days": [0, 1, 2, 3, 4], "start": "09:00", "end": "20:00"},
            {"days": [5], "start": "09:00", "end": "12:00"},
            {"days": [5], "start": "13:00", "end": "17:30"},
        ],
        "channels_allowed": ["SMS"],
        "min_lead_score_to_contact": 0.5,
        "skip_holidays": True,
        "consent_required_channels": ["SMS"],
        "max_contacts_per_day": 3,
        "max_contacts_per_7_days": 6,
    }


def test_saving_what_is_there_makes_no_version(manager: Client) -> None:
    policy = MarketPolicy.objects.get(province="ON")
    windows = [{"days": [day], "start": "09:00", "end": "20:00"} for day in range(5)]
    policy.rules = read_rules({**policy.rules, "contact_windows_local": windows}).as_json()
    policy.save()
    assert manager.post(page_of(policy), typed(policy)).status_code == 302
    policy.refresh_from_db()
    assert policy.version == 1
    assert len(policy.rules["contact_windows_local"]) == 5, "windows that mean the same are left as they are"


# --- what would change --------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[PolicyDraft]:
    """The drafts that were asked about; each would move 3 tasks of 12."""
    drafts: list[PolicyDraft] = []

    def answer(draft: PolicyDraft, at: datetime) -> Moves:
        drafts.append(draft)
        return Moves(looked_at=12, moved=3, held=1, returned=0, first_at=AT)

    hook: Any = hooks.Hook("policy_would_move")
    hook.register(answer)
    monkeypatch.setattr(hooks, "policy_would_move", hook)
    return drafts


def test_what_would_change_is_told_and_nothing_saved(manager: Client, asked: list[PolicyDraft]) -> None:
    policy = MarketPolicy.objects.get(province="ON")
    said = typed(policy, week_5="8-20", change_reason="", _foresee="1")
    page = manager.post(page_of(policy), said).content.decode()
    assert [draft.rules["contact_windows_local"][1]["start"] for draft in asked] == ["08:00"]
    assert "3 are rescheduled, 1 is blocked and 0 are unblocked" in page
    assert "Fri 27 Nov, 10:00 EST" in page
    assert 'value="8-20"' in page, "what was typed is still there"
    assert "This field is required" not in page
    policy.refresh_from_db()
    assert (policy.version, policy.history.count()) == (1, 1)


def test_drawing_asks_nothing_of_tasks(manager: Client, asked: list[PolicyDraft]) -> None:
    policy = MarketPolicy.objects.get(province="ON")
    page = manager.post(page_of(policy), typed(policy, week_6="12-14", _draw="1")).content.decode()
    assert asked == []
    assert "Sunday 12:00 to 14:00" in page, "the words follow what is typed"
    policy.refresh_from_db()
    assert policy.version == 1


@pytest.mark.parametrize("way", [{}, {"_draw": "1"}, {"_foresee": "1"}])
def test_an_auditor_neither_changes_nor_asks(
    person: Callable[..., User], asked: list[PolicyDraft], way: dict[str, str]
) -> None:
    client = Client()
    client.force_login(person("AUDITOR", "aude"))
    policy = MarketPolicy.objects.get(province="ON")
    seen = client.get(page_of(policy)).content.decode()
    assert 'name="week_0"' not in seen
    assert '<svg class="small-week"' in seen
    assert "What would change?" not in seen
    assert client.post(page_of(policy), typed(policy, **way)).status_code == 403
    assert asked == []


# --- copied, and switched together --------------------------------------------------------------------------


def test_a_policy_is_copied_to_a_market(manager: Client) -> None:
    source = MarketPolicy.objects.get(province="QC")
    source.rules = {**source.rules, "min_lead_score_to_contact": 0.8, "channels_allowed": ["EMAIL"]}
    source.save()
    copy = reverse("admin:governance_marketpolicy_copy", args=[source.pk])
    page = manager.get(copy, follow=True)
    form = page.context["adminform"].form
    assert (form.initial["province"], form.initial["min_score"]) == ("QC", "0.8")
    said = typed(source, province="QC", market="Montréal", seen_version=0)
    assert manager.post(reverse("admin:governance_marketpolicy_add"), said).status_code == 302
    copied = MarketPolicy.objects.get(market="MONTRÉAL")
    assert copied.rules == read_rules(source.rules).as_json()


@pytest.mark.parametrize("copied", ["0", "x", "9" * 40, "1' OR 1", "\0"])
def test_a_copy_of_nothing_is_a_blank_form(manager: Client, copied: str) -> None:
    address = reverse("admin:governance_marketpolicy_add")
    assert manager.get(address, {"copy": copied, "week": "x", "seen_version": "y"}).status_code == 200


def test_many_are_switched_off_with_a_reason(manager: Client) -> None:
    rows = MarketPolicy.objects.filter(province__in=["ON", "QC", "BC"])
    said = {"action": "switch_off", "_selected_action": [row.pk for row in rows]}
    page = manager.post(LISTED, said)
    assert b"Reason for this change" in page.content
    assert MarketPolicy.objects.filter(enabled=False).count() == 0, "asked first"
    assert manager.post(LISTED, {**said, "apply": "1"}).status_code == 200, "without a reason nothing is done"
    assert manager.post(LISTED, {**said, "apply": "1", "change_reason": "storm today"}).status_code == 302
    assert set(rows.values_list("enabled", "version", "reason", "changed_by")) == {
        (False, 2, "storm today", "mona")
    }
    assert MarketPolicy.objects.filter(enabled=False).count() == 3
    manager.post(LISTED, {**said, "apply": "1", "change_reason": "a storm again"})
    assert set(rows.values_list("version", flat=True)) == {2}, "what is off already makes no version"
    back = {**said, "action": "switch_on", "apply": "1", "change_reason": "the storm is over"}
    assert manager.post(LISTED, back).status_code == 302
    assert set(rows.values_list("enabled", flat=True)) == {True}


def test_an_auditor_switches_nothing(person: Callable[..., User]) -> None:
    client = Client()
    client.force_login(person("AUDITOR", "aude"))
    row = MarketPolicy.objects.get(province="ON")
    client.post(
        LISTED,
        {
            "action": "switch_off",
            "_selected_action": [row.pk],
            "apply": "1",
            "change_reason": "storm today",
        },
    )
    row.refresh_from_db()
    assert row.enabled
