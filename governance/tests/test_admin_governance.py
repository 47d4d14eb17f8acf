"""The managers' screens: everything opens, every change passes its service, evidence stays as it is."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
from rest_framework.test import APIClient
from unfold.admin import ModelAdmin

from governance.accounts.models import Absence, BackupCode, WorkProfile
from governance.accounts.wording import ROLE_SAYS
from governance.contact.digests import digest
from governance.contact.models import (
    AreaCodeList,
    AreaCodeStatement,
    CityZone,
    Closure,
    Consent,
    ConsentStatement,
    ContactDecision,
    DoNotCallImport,
    StatutoryHours,
    Suppression,
)
from governance.core import hooks
from governance.core.actors import Role
from governance.core.hooks import ChecklistLine
from governance.golive.models import GoLiveState
from governance.heimdall.models import (
    HeimdallEvent,
    HeimdallPolicy,
    HeimdallRecommendation,
    HeimdallScorecardDay,
)
from governance.kpi.models import KpiEvent, Target
from governance.market.forms import typed_from
from governance.market.models import MarketName, MarketPolicy, ScheduledChange
from governance.market.rules import read_rules
from governance.models import ApiToken, User
from governance.outbox.models import (
    Heartbeat,
    IdempotentAnswer,
    JobSlot,
    JobSwitch,
    OutboxMessage,
    SchedulerLease,
)
from governance.retention.models import Erasure, Removal, RetentionPeriod
from governance.risk.models import (
    RiskEngine,
    RiskEvent,
    RiskLedgerDay,
    RiskPolicy,
    RiskReservation,
    RiskThrottle,
)
from governance.runbook.models import Backup
from governance.tests.factories import (
    SELLER_PHONE,
    AreaCodeListFactory,
    AreaCodeStatementFactory,
    BackupFactory,
    ClosureFactory,
    ConsentFactory,
    ConsentStatementFactory,
    ContactDecisionFactory,
    DoNotCallImportFactory,
    ErasureFactory,
    KpiEventFactory,
    RemovalFactory,
    RiskEventFactory,
    SuppressionFactory,
    phone_point,
)
from valhalla.testing import ClientResponse, ConfirmingClient

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
Person = Callable[..., User]
Desk = Callable[..., Client]


@pytest.fixture
def desk(person: Person) -> Desk:
    """A browser in which somebody of this role is signed in; ROOT is a superuser."""

    def sign_in(role: str = "MANAGER", name: str = "") -> Client:
        user = person("MANAGER" if role == "ROOT" else role, name or f"the-{role.lower()}")
        if role == "ROOT":
            user.is_superuser = True
            user.save()
        client = ConfirmingClient()
        client.force_login(user)
        return client

    return sign_in


def url(model: type, page: str, *args: Any) -> str:
    meta = model._meta  # type: ignore[attr-defined]  # a model class
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{page}", args=args)


def errors_of(response: ClientResponse) -> dict[str, list[str]]:
    assert response.status_code == 200, response.status_code
    return dict(response.context["adminform"].form.errors)


OURS = [
    model
    for model in apps.get_app_config("governance").get_models()
    if "Historical" not in model.__name__
    and model._meta.default_permissions  # nobody has a right to the rest
    and model is not BackupCode  # hashes alone: their device's screen says how many are left
]
THIRD = [Group, PeriodicTask, CrontabSchedule, IntervalSchedule]


@pytest.fixture
def rows(db: None, person: Person) -> dict[type, Any]:
    """One row of every model, so that every screen has something to show."""
    user = person("VA", "vera")
    token, _text = ApiToken.objects.create(user=user, expiry=timedelta(days=1))
    crontab = CrontabSchedule.objects.create(minute="0", hour="6")
    return {
        Absence: Absence.objects.create(user=user, starts_at=NOW, ends_at=NOW + timedelta(days=1)),
        ApiToken: token,
        CityZone: CityZone.objects.get(province="ON", city="Kenora"),
        Backup: BackupFactory.create(),
        Closure: ClosureFactory.create(),
        ConsentStatement: ConsentStatementFactory.create(),
        AreaCodeStatement: AreaCodeStatementFactory.create(),
        AreaCodeList: AreaCodeListFactory.create(),
        DoNotCallImport: DoNotCallImportFactory.create(),
        Consent: ConsentFactory.create(),
        ContactDecision: ContactDecisionFactory.create(),
        CrontabSchedule: crontab,
        Erasure: ErasureFactory.create(),
        GoLiveState: GoLiveState.objects.get(),
        Group: Group.objects.get_or_create(name="VA")[0],
        Heartbeat: Heartbeat.objects.create(name="beat", at=NOW),
        HeimdallEvent: HeimdallEvent.objects.create(domain="BUYER_MATCH", kind="PROMOTED", created_at=NOW),
        HeimdallPolicy: HeimdallPolicy.objects.all()[0],
        HeimdallRecommendation: HeimdallRecommendation.objects.create(
            domain="BUYER_MATCH", confidence="0.5", reason="gate_pass", policy_version=1, trials=1,
            successes=1, created_at=NOW,
        ),
        HeimdallScorecardDay: HeimdallScorecardDay.objects.create(domain="BUYER_MATCH", day=NOW, trials=1),
        IdempotentAnswer: IdempotentAnswer.objects.create(user=user, key="k", request_hash="h",
        created_at=NOW),
        IntervalSchedule: IntervalSchedule.objects.create(every=5, period="minutes"),
        JobSwitch: JobSwitch.objects.create(task="a.job", updated_at=NOW),
        JobSlot: JobSlot.objects.create(job="a.job", slot="now", started_at=NOW, result={"done": 1}),
        KpiEvent: KpiEventFactory.create(),
        MarketName: MarketName.objects.create(province="ON", market="TORONTO"),
        MarketPolicy: MarketPolicy.objects.get(province="ON"),
        OutboxMessage: OutboxMessage.objects.create(
            kind="mail", to="m@example.ca", dedupe="1", created_at=NOW, not_before=NOW
        ),
        PeriodicTask: PeriodicTask.objects.create(name="a job", task="a.job", crontab=crontab),
        Removal: RemovalFactory.create(),
        RetentionPeriod: RetentionPeriod.objects.all()[0],
        RiskEngine: RiskEngine.objects.get(engine="WHOLESALE"),
        RiskEvent: RiskEventFactory.create(),
        RiskLedgerDay: RiskLedgerDay.objects.create(day=NOW, engine="WHOLESALE"),
        RiskPolicy: RiskPolicy.objects.get(engine="WHOLESALE"),
        RiskReservation: RiskReservation.objects.create(engine="WHOLESALE", day=NOW, created_at=NOW),
        RiskThrottle: RiskThrottle.objects.create(engine="WHOLESALE", tripwire="A/b", since=NOW),
        ScheduledChange: ScheduledChange.objects.create(
            province="ON", effective_from=NOW, changes={"enabled": False}, changed_by="mona", created_at=NOW
        ),
        SchedulerLease: SchedulerLease.objects.create(name="beat", holder="me", expires_at=NOW),
        StatutoryHours: StatutoryHours.objects.all()[0],
        Suppression: SuppressionFactory.create(),
        Target: Target.objects.all()[0],
        User: user,
        WorkProfile: WorkProfile.objects.create(user=user),
    }  # fmt: skip


# --- everything is there and opens --------------------------------------------------------------------------


def test_every_model_has_a_screen_in_unfolds_clothes() -> None:
    for model in [*OURS, *THIRD]:
        assert isinstance(admin.site._registry.get(model), ModelAdmin), model.__name__


def test_no_other_screens_of_third_parties_are_left() -> None:
    left = [
        model._meta.label
        for model, screen in admin.site._registry.items()
        if not isinstance(screen, ModelAdmin)
    ]
    assert left == []


@pytest.mark.once  # the database is asked the same for a manager
def test_every_screen_opens_for_a_superuser(desk: Desk, rows: dict[type, Any]) -> None:
    """For managers and auditors valhalla/tests/test_admin_pages.py opens them all."""
    client = desk("ROOT")
    assert client.get(reverse("admin:index")).status_code == 200
    for model, row in rows.items():
        searched = client.get(url(model, "changelist"), {"q": "416 555 0199"}, follow=True)
        assert searched.status_code == 200, model.__name__
        shown = client.get(url(model, "change", row.pk))
        assert shown.status_code == 200, model.__name__
        screen = admin.site._registry[model]
        request = searched.wsgi_request
        added = client.get(url(model, "add"))
        assert added.status_code == (200 if screen.has_add_permission(request) else 403), model.__name__
        if screen.has_delete_permission(request, row):
            assert client.get(url(model, "delete", row.pk)).status_code == 200, model.__name__


@pytest.mark.parametrize("role", ["VA", "CLOSER", "SERVICE"])
def test_nobody_else_enters(role: str, desk: Desk) -> None:
    response = desk(role).get(reverse("admin:index"))
    assert response.status_code == 302
    assert "/admin/login/" in response["Location"]


EVIDENCE = [
    Backup,
    DoNotCallImport,
    AreaCodeList,
    Suppression,
    Consent,
    ContactDecision,
    KpiEvent,
    JobSlot,
    OutboxMessage,
    Heartbeat,
    HeimdallEvent,
    HeimdallRecommendation,
    HeimdallScorecardDay,
    IdempotentAnswer,
    RiskEngine,
    RiskEvent,
    RiskLedgerDay,
    RiskReservation,
    RiskThrottle,
]


@pytest.mark.parametrize("model", EVIDENCE, ids=lambda model: model.__name__)
def test_evidence_is_neither_changed_nor_deleted_by_a_superuser(
    model: type, desk: Desk, rows: dict[type, Any]
) -> None:
    client, row = desk("ROOT"), rows[model]
    assert client.post(url(model, "change", row.pk), {}).status_code == 403
    assert client.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    client.post(
        url(model, "changelist"), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    )
    assert model._default_manager.filter(pk=row.pk).exists()  # type: ignore[attr-defined]  # a model class


def test_decisions_are_found_by_a_whole_phone_number(desk: Desk) -> None:
    ContactDecisionFactory.create(lead_id="L-77", phone_digest=phone_point().digest)
    ContactDecisionFactory.create(lead_id="L-78")
    page = desk("AUDITOR").get(url(ContactDecision, "changelist"), {"q": "(416) 555-0199"})
    assert b"L-77" in page.content
    assert b"L-78" not in page.content


# --- market policies ----------------------------------------------------------------------------------------


def policy_form(policy: MarketPolicy, **changes: object) -> dict[str, object]:
    typed = typed_from(read_rules(policy.rules))
    form = {
        "enabled": "on" if policy.enabled else "",
        "timezone": policy.timezone,
        **{f"week_{day}": hours for day, hours in enumerate(typed["week"])},
        "channels": typed["channels"],
        "consent_channels": typed["consent_channels"],
        "min_score": typed["min_score"],
        "skip_holidays": "on" if typed["skip_holidays"] else "",
        "change_reason": "spring hours",
        "seen_version": policy.version,
    }
    return {key: value for key, value in {**form, **changes}.items() if value != ""}


def test_a_policy_is_changed_with_a_reason_and_kept_as_a_version(desk: Desk, told: list[str]) -> None:
    policy = MarketPolicy.objects.get(province="ON")
    given = policy_form(policy, skip_holidays="")
    response = desk(name="mona").post(url(MarketPolicy, "change", policy.pk), given)
    assert response.status_code == 302
    policy.refresh_from_db()
    assert (policy.version, policy.changed_by, policy.reason) == (2, "mona", "spring hours")
    assert policy.rules["skip_holidays"] is False
    newest = policy.history.latest()
    assert (newest.version, newest.history_change_reason, newest.history_user.username) == (
        2,
        "spring hours",
        "mona",
    )
    assert told == ["ON"]


def test_without_a_reason_a_policy_stays(desk: Desk) -> None:
    policy = MarketPolicy.objects.get(province="ON")
    response = desk().post(
        url(MarketPolicy, "change", policy.pk), policy_form(policy, change_reason="", enabled="")
    )
    assert list(errors_of(response)) == ["change_reason"]
    policy.refresh_from_db()
    assert policy.version == 1


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"week_1": "22:00-06:00"}, "week", "Tuesday: “22:00-06:00” is not valid"),
        ({"week_0": "9-12, 11-14"}, "week", "Monday: “11-14”"),
        ({"week_6": "25:00–26:00"}, "week", "Sunday"),
        ({"week_6": "9:75-10"}, "week", "Sunday"),
        ({"week_6": "all day"}, "week", "Sunday: “all day”"),
        ({"week_6": "\0" * 300}, "week", "Sunday"),
        ({"week_6": "٩-١٠"}, "week", "Sunday"),
        ({"week_6": "9" * 100_000}, "week", "Sunday"),
        ({"channels": ["FAX"]}, "channels", "FAX"),
        ({"consent_channels": ["\0"]}, "consent_channels", "not one of"),
        ({"min_score": "1.01"}, "min_score", "1"),
        ({"min_score": "NaN"}, "min_score", "number"),
        ({"min_score": "-0.1"}, "min_score", "0"),
        ({"min_score": "1e-400"}, "min_score", ""),
        ({"min_score": None}, "min_score", "required"),
        ({"timezone": "Europe/Paris"}, "timezone", "Paris"),
        ({"seen_version": "1e9"}, "seen_version", "number"),
    ],
)
def test_what_cannot_be_used_is_refused_in_the_form(
    desk: Desk, changes: dict[str, object], field: str, said: str
) -> None:
    policy = MarketPolicy.objects.get(province="ON")
    given = {key: value for key, value in policy_form(policy, **changes).items() if value is not None}
    for more in ({}, {"_draw": "1"}, {"_foresee": "1"}):
        response = desk().post(url(MarketPolicy, "change", policy.pk), {**given, **more})
        assert said in " ".join(errors_of(response)[field])
    policy.refresh_from_db()
    assert policy.version == 1


def test_two_managers_do_not_overwrite_each_other(desk: Desk) -> None:
    policy = MarketPolicy.objects.get(province="ON")
    given = policy_form(policy, enabled="")
    assert desk().post(url(MarketPolicy, "change", policy.pk), given).status_code == 302
    late = desk().post(
        url(MarketPolicy, "change", policy.pk), policy_form(policy, timezone="America/Toronto")
    )
    assert "changed in the meantime" in str(errors_of(late))
    assert b"spring hours" in late.content, "what was typed is still there"
    policy.refresh_from_db()
    assert (policy.version, policy.timezone) == (2, "")


def test_a_new_market_gets_its_own_policy(desk: Desk) -> None:
    given = policy_form(
        MarketPolicy.objects.get(province="ON"), province="ON", market="  ottawa ", seen_version=0
    )
    assert desk().post(url(MarketPolicy, "add"), given).status_code == 302
    assert MarketPolicy.objects.get(province="ON", market="OTTAWA").version == 1
    again = desk().post(url(MarketPolicy, "add"), {**given, "market": "Öttawa"})
    assert errors_of(again)


def test_a_policy_never_moves_to_another_place(desk: Desk) -> None:
    policy = MarketPolicy.objects.get(province="ON")
    desk().post(
        url(MarketPolicy, "change", policy.pk), policy_form(policy, province="QC", market="X", enabled="")
    )
    policy.refresh_from_db()
    assert (policy.province, policy.market, policy.enabled) == ("ON", "ALL", False)


def test_earlier_versions_are_read_and_not_written_to(desk: Desk) -> None:
    policy = MarketPolicy.objects.get(province="ON")
    client = desk()
    client.post(url(MarketPolicy, "change", policy.pk), policy_form(policy, enabled=""))
    page = client.get(url(MarketPolicy, "history", policy.pk))
    assert b"spring hours" in page.content
    first = policy.history.earliest()
    version = url(MarketPolicy, "simple_history", policy.pk, first.pk)
    for role in ("MANAGER", "AUDITOR", "ROOT"):
        page = desk(role).get(version)
        assert page.status_code == 200
        assert b'name="week_0"' not in page.content
        assert desk(role).post(version, policy_form(policy)).status_code == 403
    policy.refresh_from_db()
    assert policy.version == 2


# --- closures, the law's hours, cities' clocks --------------------------------------------------------------


def test_a_closure_is_saved_with_a_reason_and_told_to_whoever_must_know(desk: Desk, told: list[str]) -> None:
    given = {
        "date": "2026-12-24",
        "province": "ON",
        "name": "Christmas Eve",
        "closed": "on",
        "closed_from": "15:00",
    }
    client = desk(name="mona")
    assert list(errors_of(client.post(url(Closure, "add"), given))) == ["change_reason"]
    assert told == []
    assert client.post(url(Closure, "add"), {**given, "change_reason": "as every year"}).status_code == 302
    closure = Closure.objects.get()
    assert closure.history.latest().history_change_reason == "as every year"
    assert told == ["ON"]
    moved = {**given, "province": "QC", "change_reason": "wrong office"}
    assert client.post(url(Closure, "change", closure.pk), moved).status_code == 302
    assert told == ["ON", "ON", "QC"]


def test_a_closure_twice_on_a_day_is_refused_in_the_form(desk: Desk) -> None:
    closure = ClosureFactory.create()
    given = {
        "date": str(closure.date),
        "province": "ON",
        "name": "again",
        "closed": "on",
        "change_reason": "?",
    }
    assert errors_of(desk().post(url(Closure, "add"), given))
    assert Closure.objects.count() == 1


def test_a_closure_is_deleted_with_a_reason(desk: Desk, told: list[str]) -> None:
    closure = ClosureFactory.create()
    client = desk()
    assert client.post(url(Closure, "delete", closure.pk), {"post": "yes"}).status_code == 302
    assert Closure.objects.exists(), "no reason, no deletion"
    client.post(url(Closure, "delete", closure.pk), {"post": "yes", "change_reason": "typed by mistake"})
    assert not Closure.objects.exists()
    last = Closure.history.latest()
    assert (last.history_type, last.history_change_reason) == ("-", "typed by mistake")
    assert told == ["ON"]


def test_the_laws_hours_are_never_deleted(desk: Desk) -> None:
    row = StatutoryHours.objects.all()[0]
    assert desk("ROOT").post(url(StatutoryHours, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_a_new_law_is_a_new_row(desk: Desk, told: list[str]) -> None:
    given = {
        "jurisdiction": "CA", "channel": "CALL", "valid_from": "2027-01-01", "citation": "CRTC 2027-1",
        "days": ["0", "1"], "start": "10:00", "end": "20:00", "change_reason": "new decision",
    }  # fmt: skip
    assert desk().post(url(StatutoryHours, "add"), given).status_code == 302
    assert StatutoryHours.objects.get(citation="CRTC 2027-1").days == [0, 1]
    assert told == [""]
    for wrong in ({"end": "25:99"}, {"end": "09:00"}, {"days": ["7"]}):
        assert errors_of(
            desk().post(url(StatutoryHours, "add"), {**given, "valid_from": "2028-01-01", **wrong})
        )


def test_a_city_gets_another_clock(desk: Desk, told: list[str]) -> None:
    city = CityZone.objects.get(province="ON", city="Kenora")
    given = {"province": "ON", "city": "Kenora", "zone": "America/Toronto", "change_reason": "by-law 12"}
    assert desk().post(url(CityZone, "change", city.pk), given).status_code == 302
    city.refresh_from_db()
    assert city.zone == "America/Toronto"
    assert told == ["ON"]
    assert errors_of(desk().post(url(CityZone, "change", city.pk), {**given, "zone": "Europe/Paris"}))


# --- suppressions and consents ------------------------------------------------------------------------------


def test_a_suppression_keeps_the_hash_and_never_the_number(desk: Desk) -> None:
    given = {
        "point": SELLER_PHONE,
        "action": "SUPPRESS",
        "channel": "",
        "source": "INTERNAL_LIST",
        "reason": "",
    }
    assert desk(name="mona").post(url(Suppression, "add"), given).status_code == 302
    row = Suppression.objects.get()
    assert (row.point_digest, row.actor, row.source) == (phone_point().digest, "mona", "INTERNAL_LIST")
    assert "5550199" not in str(vars(row))


def test_only_a_reason_ends_a_suppression(desk: Desk) -> None:
    SuppressionFactory.create()
    given = {"point": SELLER_PHONE, "action": "LIFT", "channel": "", "source": "MANAGER", "reason": ""}
    assert list(errors_of(desk().post(url(Suppression, "add"), given))) == ["reason"]
    assert desk().post(url(Suppression, "add"), {**given, "reason": "wrote to us"}).status_code == 302
    assert list(Suppression.objects.order_by("pk").values_list("action", flat=True)) == ["SUPPRESS", "LIFT"]


@pytest.mark.parametrize(
    ("point", "channel"), [("nonsense", ""), ("a@b", ""), ("a@example.ca", "SMS"), (SELLER_PHONE, "EMAIL")]
)
def test_a_point_must_be_one_and_fit_its_channel(desk: Desk, point: str, channel: str) -> None:
    given = {"point": point, "action": "SUPPRESS", "channel": channel, "source": "OPT_OUT"}
    assert errors_of(desk().post(url(Suppression, "add"), given))
    assert not Suppression.objects.exists()


def test_a_consents_end_follows_from_its_kind(desk: Desk) -> None:
    given = {
        "point": "Seller@Example.ca",
        "channel": "EMAIL",
        "kind": "INQUIRY",
        "obtained_how": "web form",
        "at_0": "2026-08-31",
        "at_1": "12:00:00",
    }
    assert desk().post(url(Consent, "add"), given).status_code == 302
    consent = Consent.objects.get()
    assert consent.point_digest == digest("EMAIL", "seller@example.ca")
    assert consent.expires_at == datetime(2027, 2, 28, 16, tzinfo=UTC)  # typed at noon in Toronto


def test_a_consent_from_the_future_is_refused(desk: Desk) -> None:
    tomorrow = timezone.now() + timedelta(days=1)
    given = {
        "point": SELLER_PHONE,
        "channel": "SMS",
        "kind": "EXPRESS",
        "obtained_how": "web form",
        "at_0": f"{tomorrow:%Y-%m-%d}",
        "at_1": "12:00:00",
    }
    assert errors_of(desk().post(url(Consent, "add"), given))
    assert not Consent.objects.exists()


# --- people and tokens --------------------------------------------------------------------------------------


def token_in(response: ClientResponse) -> str:
    found = re.search(r'<code id="token"[^>]*>(vh_\w+)</code>', response.content.decode())
    assert found
    return found[1]


def test_a_token_is_shown_once_and_works_until_it_is_revoked(desk: Desk, person: Person) -> None:
    user = person("SERVICE", "dialer")
    client = desk()
    given = {
        "user": user.pk,
        "label": "dialer 2",
        "scopes": ["policy"],
        "days": "30",
        "calls_per_minute": "600",
    }
    response = client.post(url(ApiToken, "add"), given)
    assert "no-store" in response["Cache-Control"]
    secret = token_in(response)
    token = ApiToken.objects.get()
    assert (token.scopes, token.calls_per_minute, token.label) == (["policy"], 600, "dialer 2")
    caller = APIClient()
    caller.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert caller.get("/api/governance/market/policies").status_code == 200
    page = client.get(url(ApiToken, "changelist")).content.decode()
    assert secret not in page
    assert not re.search(rf">[^<]*{token.digest}", page), "the hash is not shown"
    client.post(
        url(ApiToken, "changelist"),
        {"action": "revoke", "_selected_action": [token.pk], "apply": "1", "reason": "left"},
    )
    assert caller.get("/api/governance/market/policies").status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"days": "91"},
        {"days": "0"},
        {"scopes": ["everything"]},
        {"user": "999"},
        {"label": "x" * 81},
        {"calls_per_minute": "0"},
        {"calls_per_minute": "60001"},
        {"calls_per_minute": "4294967296"},
    ],
)
def test_a_token_beyond_the_limits_is_not_issued(
    desk: Desk, person: Person, wrong: dict[str, object]
) -> None:
    given = {
        "user": person("SERVICE", "dialer").pk,
        "label": "",
        "days": "30",
        "calls_per_minute": "600",
        **wrong,
    }
    assert errors_of(desk().post(url(ApiToken, "add"), given))
    assert not ApiToken.objects.exists()


def test_a_manager_makes_herself_no_superuser(desk: Desk, person: Person) -> None:
    root = person("MANAGER", "root")
    root.is_superuser = True
    root.save()
    client = desk(name="mona")
    assert client.post(url(User, "change", root.pk), {"username": "root"}).status_code == 403
    assert client.post(reverse("admin:auth_user_password_change", args=[root.pk]), {}).status_code == 403
    assert client.post(reverse("password_link", args=[root.pk]), {"mail": ""}).status_code == 403
    given = {"user": root.pk, "label": "", "days": "30", "calls_per_minute": "600"}
    assert errors_of(client.post(url(ApiToken, "add"), given))
    mona = User.objects.get(username="mona")
    client.post(url(User, "change", mona.pk), {**person_form(mona), "is_superuser": "on", "is_staff": "on"})
    mona.refresh_from_db()
    assert not mona.is_superuser


def person_form(user: User, **changes: object) -> dict[str, object]:
    profiles = 1 if hasattr(user, "work_profile") else 0
    return {
        "username": user.username, "role": user.role, "is_active": "on", "email": "", "first_name": "",
        "last_name": "", "work_profile-TOTAL_FORMS": "1", "work_profile-INITIAL_FORMS": str(profiles),
        "absences-TOTAL_FORMS": "0", "absences-INITIAL_FORMS": "0", **changes,
    }  # fmt: skip


def test_a_person_is_made_with_a_role_and_sets_the_password_with_a_link(desk: Desk) -> None:
    client = desk()
    given = {"username": "vera", "role": "VA", "password1": "a manager types nothing", "email": ""}
    response = client.post(url(User, "add"), given)
    vera = User.objects.get(username="vera")
    assert (response.status_code, response["Location"]) == (302, f"/admin/password-link/{vera.pk}/")
    assert (vera.role, vera.is_staff, vera.has_usable_password()) == ("VA", False, False)
    program = client.post(url(User, "add"), {**given, "username": "dialer", "role": "SERVICE"})
    dialer = User.objects.get(username="dialer")
    assert (program.status_code, program["Location"]) == (302, url(User, "change", dialer.pk))
    assert errors_of(client.post(url(User, "add"), {**given, "username": "VERA"}))


def test_nobody_takes_another_persons_name(desk: Desk, person: Person) -> None:
    client, vera, mona = desk(name="mona"), person("VA", "vera"), person("MANAGER", "mona")
    for user, name in ((vera, "vera2"), (mona, "vera")):
        form = client.get(url(User, "change", user.pk)).content.decode()
        assert 'name="username"' not in form
        client.post(url(User, "change", user.pk), person_form(user, username=name))
    assert set(User.objects.filter(pk__in=(vera.pk, mona.pk)).values_list("username", flat=True)) == {
        "vera",
        "mona",
    }


def test_what_each_role_may_do_is_said_where_one_is_chosen(desk: Desk, person: Person) -> None:
    client, vera = desk(), person("VA", "vera")
    for address in (url(User, "add"), url(User, "change", vera.pk)):
        page = html.unescape(client.get(address).content.decode())
        assert [role for role in Role if str(ROLE_SAYS[role]) not in page] == []


def test_a_persons_work_is_planned_on_her_screen(desk: Desk, person: Person) -> None:
    vera = person("VA", "vera")
    work = {
        "work_profile-0-user": vera.pk,
        "work_profile-0-provinces": ["ON", "QC"],
        "work_profile-0-channels": ["SMS"],
        "work_profile-0-languages": ["fr"],
        "work_profile-0-zone": "America/Toronto",
        "work_profile-0-shifts_0": "9-17",
        "work_profile-0-shifts_1": "9 h à 17 h",
        "work_profile-0-shifts_5": "22:00–24:00",
    }
    absence = {
        "absences-TOTAL_FORMS": "1",
        "absences-0-user": vera.pk,
        "absences-0-starts_at_0": "2026-12-21",
        "absences-0-starts_at_1": "00:00:00",
        "absences-0-ends_at_0": "2027-01-04",
        "absences-0-ends_at_1": "00:00:00",
    }
    response = desk().post(
        url(User, "change", vera.pk),
        person_form(vera, **work, **absence, role="CLOSER", change_reason="closes deals from now on"),
    )
    assert response.status_code == 302, response.context and response.context["errors"]
    vera = User.objects.get(pk=vera.pk)
    assert (vera.role, vera.work_profile.provinces, vera.work_profile.languages) == (
        "CLOSER",
        ["ON", "QC"],
        ["fr"],
    )
    assert vera.work_profile.shifts == [
        {"days": [0, 1], "start": "09:00", "end": "17:00"},
        {"days": [5], "start": "22:00", "end": "24:00"},
    ]
    away = vera.absences.get()
    # typed in the time zone of the manager, who works in Toronto
    assert (away.starts_at, away.marked_by) == (datetime(2026, 12, 21, 5, tzinfo=UTC), "the-manager")


def test_shifts_that_did_not_change_stay_as_they_were_kept(desk: Desk, person: Person) -> None:
    vera = person("VA", "vera")
    kept = [
        {"days": [1], "start": "13:00", "end": "17:00"},
        {"days": [0], "start": "09:00", "end": "12:00"},
        {"days": [1], "start": "09:00", "end": "12:00"},
    ]
    profile = WorkProfile.objects.create(user=vera, shifts=kept)
    page = desk().get(url(User, "change", vera.pk)).content.decode()
    typed = dict(re.findall(r'name="(work_profile-0-shifts_\d)" value="([^"]*)"', page))
    assert list(typed.values()) == ["09:00–12:00", "09:00–12:00, 13:00–17:00", "", "", "", "", ""]
    work = {
        "work_profile-0-id": profile.pk,
        "work_profile-0-user": vera.pk,
        "work_profile-0-zone": "America/Halifax",
    }
    assert desk().post(url(User, "change", vera.pk), person_form(vera, **work, **typed)).status_code == 302
    profile.refresh_from_db()
    assert (profile.zone, profile.shifts) == ("America/Halifax", kept)


@pytest.mark.parametrize("shifts", ["{", "soon", "17-9", "9-12, 11-13", "9-25"])
def test_shifts_that_cannot_be_are_refused(desk: Desk, person: Person, shifts: str) -> None:
    vera = person("VA", "vera")
    work = {
        "work_profile-0-user": vera.pk,
        "work_profile-0-zone": "America/Toronto",
        "work_profile-0-shifts_2": shifts,
        "work_profile-0-languages": ["en"],
    }
    response = desk().post(url(User, "change", vera.pk), person_form(vera, **work))
    assert response.status_code == 200
    assert "is not valid" in str(response.context["errors"])
    assert 'aria-invalid="true"' in response.content.decode()
    assert not WorkProfile.objects.exists()


# --- switches and schedules ---------------------------------------------------------------------------------


SWITCHES = "/admin/governance/golivestate/1/change/"


def switches() -> tuple[bool, bool, str, str]:
    now = GoLiveState.objects.get()
    return now.go_live_enabled, now.kill_switch_engaged, now.changed_by, now.reason


@pytest.mark.usefixtures("unblocked")
def test_each_switch_is_turned_by_one_click_with_a_reason(desk: Desk) -> None:
    mona = desk(name="mona")
    for turn, expected in (
        ("engage", (False, True)),
        ("enable", (True, True)),
        ("release", (True, False)),
        ("disable", (False, False)),
    ):
        box = "release_reason" if turn == "release" else "change_reason"
        said = mona.post(SWITCHES, {"turn": turn, box: f"to {turn}"}, follow=True)
        assert said.redirect_chain == [(SWITCHES, 302)]
        assert switches() == (*expected, "mona", f"to {turn}")
    assert GoLiveState.history.count() == 5, "the seed and four turns"
    assert mona.get(url(GoLiveState, "changelist"))["Location"] == SWITCHES


@pytest.mark.usefixtures("unblocked")
@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_no_switch_is_turned_without_a_reason(desk: Desk, reason: str) -> None:
    said = desk().post(SWITCHES, {"turn": "engage", "change_reason": reason})
    assert said.status_code == 200
    assert "change_reason" in said.context["form"].errors
    assert switches()[:2] == (False, False)


@pytest.mark.parametrize("turn", ["", "explode", "engage\0"])
def test_an_unknown_turn_turns_nothing(desk: Desk, turn: str) -> None:
    assert desk().post(SWITCHES, {"turn": turn, "change_reason": "why"}).status_code == 200
    assert switches()[:2] == (False, False)


def test_only_the_turns_that_change_something_are_offered(desk: Desk) -> None:
    def offered(role: str = "MANAGER") -> set[str]:
        return set(re.findall(r'name="turn" value="([a-z]+)"', desk(role).get(SWITCHES).content.decode()))

    assert offered() == {"engage", "enable"}
    GoLiveState.objects.update(kill_switch_engaged=True, go_live_enabled=True)
    assert offered() == {"release", "disable"}
    assert offered("AUDITOR") == set()


def test_nobody_else_turns_a_switch_in_admin(desk: Desk) -> None:
    given = {"turn": "engage", "change_reason": "because"}
    assert desk("AUDITOR").post(SWITCHES, given).status_code == 403
    for role in ("VA", "CLOSER", "SERVICE"):
        assert desk(role).post(SWITCHES, given).status_code == 302
    assert desk("ROOT").post(url(GoLiveState, "add"), given).status_code == 403
    assert switches()[:2] == (False, False)


def test_a_blocked_go_live_says_what_blocks_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ChecklistLine("backup", "There is a backup", False, "No backup <yet>.")
    monkeypatch.setattr(hooks.checklist, "_answerers", [lambda at: [line]])
    said = desk().post(SWITCHES, {"turn": "enable", "change_reason": "first day"})
    assert said.status_code == 412
    assert "Go-live stays off until its blockers are gone." in said.content.decode()
    assert "No backup &lt;yet&gt;." in said.content.decode()
    assert "first day" in said.content.decode()
    assert not switches()[0]


def test_a_schedule_is_changed_but_not_switched_off_in_silence(desk: Desk, rows: dict[type, Any]) -> None:
    task = rows[PeriodicTask]
    every = rows[IntervalSchedule]
    given = {
        "name": "a job", "regtask": "", "task": "a.job", "enabled": "on", "interval": every.pk, "crontab": "",
        "args": "[]", "kwargs": "{}",
    }  # fmt: skip
    client = desk()
    assert client.post(url(PeriodicTask, "change", task.pk), given).status_code == 302
    task.refresh_from_db()
    assert (task.interval_id, task.crontab_id) == (every.pk, None)
    client.post(url(PeriodicTask, "change", task.pk), {**given, "enabled": ""})
    task.refresh_from_db()
    assert task.enabled, "a job is paused on the schedules’ page alone, with a reason"
    for wrong in (
        {"args": "["},
        {"kwargs": "[]"},
        {"args": "[" * 50_000},
        {"task": "x" * 300},
        {"interval": ""},
    ):
        assert errors_of(client.post(url(PeriodicTask, "change", task.pk), {**given, **wrong}))


def test_a_schedule_in_use_is_not_deleted(desk: Desk, rows: dict[type, Any]) -> None:
    crontab = rows[CrontabSchedule]
    assert desk().post(url(CrontabSchedule, "delete", crontab.pk), {"post": "yes"}).status_code == 403
    assert PeriodicTask.objects.filter(crontab=crontab).exists()


# --- headers ------------------------------------------------------------------------------------------------


def test_only_the_admin_may_evaluate_and_style_inline(desk: Desk) -> None:
    client = desk()
    inside = client.get(reverse("admin:index"))["Content-Security-Policy"]
    outside = client.get("/api/governance/market/policies")["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-eval'" in inside
    assert "style-src 'self' 'unsafe-inline'" in inside
    assert "unsafe" not in outside
    assert "unsafe-inline" not in re.findall(r"script-src[^;]*", inside)[0]
