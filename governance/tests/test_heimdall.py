"""Heimdall's verbs: policies, promotion, trials, recommendations and their one use."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from pytest_django import DjangoAssertNumQueries

from governance.core.actors import Actor
from governance.core.append_only import Unchangeable
from governance.core.errors import Forbidden, Invalid, Refused, Unavailable
from governance.core.verbs import Execution, verb
from governance.golive.models import GoLiveState
from governance.heimdall import seeds
from governance.heimdall.models import (
    HeimdallEvent,
    HeimdallPolicy,
    HeimdallRecommendation,
    HeimdallScorecardDay,
)
from governance.heimdall.services import (
    Verdict,
    gate,
    may_drive,
    promote,
    recommend,
    record_trial,
    scorecard,
    upsert_policy,
    use_recommendation,
)

MakeBy = Callable[..., Actor]
pytestmark = [pytest.mark.both, pytest.mark.django_db]
OFFER = "WHOLESALE_OFFER"
AT = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SYSTEM = Actor.system("test", "call-1")


def tried(trials: int, successes: int, *, days_ago: int = 0, domain: str = OFFER) -> None:
    HeimdallScorecardDay.objects.create(
        domain=domain, day=(AT - days_ago * DAY).date(), trials=trials, successes=successes
    )


def promoted(domain: str = OFFER) -> HeimdallPolicy:
    tried(100, 90, domain=domain)
    return promote(domain, by=SYSTEM, at=AT)


def recommended(confidence: str = "0.95", **given: Any) -> HeimdallRecommendation:
    domain = given.pop("domain", OFFER)
    return recommend(domain, Decimal(confidence), by=SYSTEM, at=AT, **given)[0]


@verb(Execution.SANDBOX_EXEC)
def drive(recommendation: object, *, at: datetime = AT, domain: str = OFFER, subject: str = "") -> Verdict:
    """What a verb that is driven by a recommendation does."""
    return use_recommendation(str(recommendation), domain, by=SYSTEM, at=at, subject=subject)


def refused(call: Callable[[], Any]) -> str:
    """Return the reason of the refusal, which must say something to a person."""
    with pytest.raises(Refused) as refusal:
        call()
    assert str(refusal.value).endswith(".")
    assert (refusal.value.status, refusal.value.code) == (409, "heimdall_refused")
    return str(refusal.value.extra["reason"])


# --- seeds and policies -------------------------------------------------------------------------------------


def test_four_domains_begin_with_production_use_off() -> None:
    rows = HeimdallPolicy.objects.values_list(
        "domain", "min_confidence_prod", "min_sandbox_trials", "min_sandbox_success_rate", "prod_use_enabled"
    )
    assert {(row[0], *map(float, row[1:4]), row[4]) for row in rows} == {
        ("WHOLESALE_OFFER", 0.92, 75, 0.82, False),
        ("BUYER_MATCH", 0.90, 50, 0.80, False),
        ("CAPITAL_ROUTE", 0.95, 100, 0.85, False),
        ("FOLLOWUP_NEXT_ACTION", 0.90, 60, 0.80, False),
    }
    assert HeimdallPolicy.history.count() == 4


def test_seeds_can_be_planted_again_and_taken_back_while_nobody_touched_them() -> None:
    from django.apps import apps

    get = apps.get_app_config("governance").get_model
    upsert_policy("BUYER_MATCH", {"min_sandbox_trials": 51}, by=SYSTEM, at=AT)
    seeds.seed(get, AT)
    assert HeimdallPolicy.objects.count() == 4
    seeds.unseed(get)
    assert HeimdallPolicy.objects.get().domain == "BUYER_MATCH"
    seeds.seed(get, AT)
    assert HeimdallPolicy.objects.get(domain="BUYER_MATCH").min_sandbox_trials == 51


def test_what_is_left_out_keeps_its_value_and_no_change_makes_no_version(by: MakeBy) -> None:
    manager = by("MANAGER")
    changes = {"min_sandbox_trials": 80}
    first = upsert_policy("wholesale_offer", changes, by=manager, at=AT, reason="more proof")
    again = upsert_policy(OFFER, changes, by=manager, at=AT, expected_version=2)
    assert (first.version, again.version, again.min_sandbox_trials) == (2, 2, 80)
    assert (again.min_confidence_prod, again.reason) == (Decimal("0.92"), "more proof")
    assert list(HeimdallEvent.objects.values_list("kind", "policy_version")) == [("POLICY_CHANGED", 2)]


def test_a_new_domain_asks_for_much_and_has_no_production_use(by: MakeBy) -> None:
    fresh = upsert_policy("PRICE_CHECK", {}, by=by("MANAGER"), at=AT)
    assert (fresh.version, fresh.prod_use_enabled, fresh.min_sandbox_trials) == (1, False, 100)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_confidence_prod", Decimal("1.01")),
        ("min_confidence_prod", Decimal("-0.1")),
        ("min_confidence_prod", Decimal("0.92001")),
        ("min_sandbox_trials", -1),
        ("min_sandbox_trials", 1_000_001),
        ("min_sandbox_success_rate", Decimal(2)),
        ("min_sandbox_success_rate", None),
    ],
)
@pytest.mark.parametrize("on", [{}, {"prod_use_enabled": True}])
def test_thresholds_out_of_bounds_are_refused(field: str, value: object, on: dict[str, bool]) -> None:
    with pytest.raises(Invalid) as refusal:
        upsert_policy(OFFER, {field: value, **on}, by=SYSTEM, at=AT)
    assert list(refusal.value.errors) == [field]
    assert HeimdallPolicy.objects.get(domain=OFFER).version == 1


@pytest.mark.parametrize("name", ["", "two words", "É"])
def test_a_domain_that_could_be_none_gets_no_policy(name: str) -> None:
    with pytest.raises(Invalid) as refusal:
        upsert_policy(name, {}, by=SYSTEM, at=AT)
    assert "domain" in refusal.value.errors


@pytest.mark.parametrize("role", ["VA", "CLOSER", "AUDITOR"])
def test_policies_are_the_managers(role: str, by: MakeBy) -> None:
    with pytest.raises(Forbidden):
        upsert_policy(OFFER, {}, by=by(role), at=AT)
    with pytest.raises(Forbidden):
        promote(OFFER, by=by(role), at=AT)


@pytest.mark.parametrize(
    "wrong", [{"min_confidence_prod": 2}, {"min_sandbox_success_rate": -1}, {"min_sandbox_trials": 2_000_000}]
)
def test_the_database_keeps_thresholds_in_their_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        HeimdallPolicy.objects.update(**wrong)


# --- promotion ----------------------------------------------------------------------------------------------


def test_promotion_waits_for_a_scorecard_that_carries_it() -> None:
    def lacking() -> Any:
        with pytest.raises(Refused) as refusal:
            promote(OFFER, by=SYSTEM, at=AT)
        assert (refusal.value.status, refusal.value.code) == (409, "promotion_refused")
        assert not HeimdallPolicy.objects.get(domain=OFFER).prod_use_enabled
        return refusal.value.extra["reason"], str(refusal.value)

    tried(74, 74, days_ago=3)
    reason, sentence = lacking()
    assert (reason, "74; required: 75" in sentence) == ("insufficient_sandbox_trials", True)
    tried(26, 7)  # 81 of 100
    reason, sentence = lacking()
    assert reason == "sandbox_success_rate_below_threshold"
    assert "81" in sentence
    record_trial(OFFER, success=True, by=SYSTEM, at=AT)
    lacking()  # 82 of 101
    for _more in range(10):
        record_trial(OFFER, success=True, by=SYSTEM, at=AT)
    policy = promote(OFFER, by=SYSTEM, at=AT, reason="the quarter's review")
    assert (policy.prod_use_enabled, policy.version, policy.reason) == (True, 2, "the quarter's review")
    assert HeimdallEvent.objects.get(kind="PROMOTED").policy_version == 2


def test_promoting_twice_changes_nothing_more() -> None:
    first, again = promoted(), promote(OFFER, by=SYSTEM, at=AT)
    assert (first.version, again.version) == (2, 2)
    assert HeimdallEvent.objects.filter(kind="PROMOTED").count() == 1


def test_a_domain_without_a_policy_is_not_promoted() -> None:
    with pytest.raises(Invalid):
        promote("PRICE_CHECK", by=SYSTEM, at=AT)
    assert HeimdallPolicy.objects.count() == 4


def test_an_edit_gets_no_further_than_promotion_would() -> None:
    tried(74, 74)
    with pytest.raises(Refused) as refusal:
        upsert_policy(OFFER, {"prod_use_enabled": True}, by=SYSTEM, at=AT)
    assert refusal.value.code == "promotion_refused"
    # judged by what the same edit asks for
    with pytest.raises(Refused):
        upsert_policy(OFFER, {"prod_use_enabled": True, "min_sandbox_trials": 76}, by=SYSTEM, at=AT)
    # and not by lowering it
    with pytest.raises(Refused) as lowered:
        upsert_policy(OFFER, {"prod_use_enabled": True, "min_sandbox_trials": 74}, by=SYSTEM, at=AT)
    assert lowered.value.code == "lowered_and_promoted"
    upsert_policy(OFFER, {"min_sandbox_trials": 74}, by=SYSTEM, at=AT)
    assert upsert_policy(OFFER, {"prod_use_enabled": True}, by=SYSTEM, at=AT).prod_use_enabled


def test_a_service_client_with_the_policy_scope_edits_but_never_promotes(by: MakeBy) -> None:
    tried(100, 100)
    client = by("SERVICE")
    assert upsert_policy(OFFER, {"min_sandbox_trials": 60}, by=client, at=AT).version == 2
    with pytest.raises(Forbidden):
        upsert_policy(OFFER, {"prod_use_enabled": True}, by=client, at=AT)
    with pytest.raises(Forbidden):
        promote(OFFER, by=client, at=AT)


def test_production_use_is_withdrawn_at_any_time() -> None:
    promoted()
    HeimdallScorecardDay.objects.all().delete()
    policy = upsert_policy(OFFER, {"prod_use_enabled": False}, by=SYSTEM, at=AT)
    assert (policy.prod_use_enabled, policy.version) == (False, 3)
    assert HeimdallEvent.objects.filter(kind="WITHDRAWN").count() == 1


# --- trials -------------------------------------------------------------------------------------------------


def test_a_trial_is_counted_on_its_utc_day_and_kept_as_an_event() -> None:
    evening_in_toronto = datetime(2026, 11, 25, 1, 30, tzinfo=UTC)
    record_trial(OFFER, success=True, by=SYSTEM, at=AT)
    record_trial(OFFER, success=False, by=SYSTEM, at=AT)
    record_trial(OFFER, success=True, by=SYSTEM, at=evening_in_toronto)
    rows = HeimdallScorecardDay.objects.order_by("day").values_list("day", "trials", "successes")
    assert [(str(day), trials, successes) for day, trials, successes in rows] == [
        ("2026-11-24", 2, 1),
        ("2026-11-25", 1, 1),
    ]
    events = HeimdallEvent.objects.order_by("id").values_list("kind", "success", "correlation_id")
    assert list(events) == [("TRIAL", True, "call-1"), ("TRIAL", False, "call-1"), ("TRIAL", True, "call-1")]


@pytest.mark.parametrize(("days_ago", "counts"), [(-1, False), (0, True), (29, True), (30, False)])
def test_the_trials_of_the_last_thirty_days_count(days_ago: int, counts: bool) -> None:
    tried(5, 4, days_ago=days_ago)
    assert scorecard(OFFER, AT).trials == (5 if counts else 0)


def test_how_many_days_count_is_a_setting(settings: Any) -> None:
    tried(5, 4, days_ago=29)
    settings.HEIMDALL_TRIAL_DAYS = 29
    assert scorecard(OFFER, AT).trials == 0


def test_another_domains_trials_do_not_count() -> None:
    tried(5, 4, domain="BUYER_MATCH")
    assert scorecard(OFFER, AT).trials == 0


@pytest.mark.parametrize("role", ["VA", "AUDITOR"])
def test_trials_and_recommendations_are_no_business_of_readers(role: str, by: MakeBy) -> None:
    with pytest.raises(Forbidden):
        record_trial(OFFER, success=True, by=by(role), at=AT)
    with pytest.raises(Forbidden):
        recommend(OFFER, Decimal(1), by=by(role), at=AT)


def test_a_trial_of_a_domain_without_a_policy_is_refused() -> None:
    with pytest.raises(Invalid) as refusal:
        record_trial("WHOLSALE_OFFER", success=True, by=SYSTEM, at=AT)
    assert "WHOLSALE_OFFER has no Heimdall policy" in str(refusal.value.errors["domain"][0])
    assert not HeimdallScorecardDay.objects.exists()


def test_the_kill_switch_stops_trials_but_no_recommendation_and_no_withdrawal(settings: Any) -> None:
    promoted()
    settings.GO_LIVE_ENFORCE = True
    GoLiveState.objects.update(kill_switch_engaged=True)
    with pytest.raises(Unavailable):
        record_trial(OFFER, success=True, by=SYSTEM, at=AT)
    assert recommended().pk
    assert upsert_policy(OFFER, {"prod_use_enabled": False}, by=SYSTEM, at=AT).version == 3


def test_more_successes_than_trials_are_impossible() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        tried(1, 2)


# --- recommendations and the gate ---------------------------------------------------------------------------


def test_a_recommendation_is_kept_with_the_verdict_of_its_moment() -> None:
    tried(100, 90)
    row, verdict = recommend(
        OFFER, Decimal("0.9199999999"), by=SYSTEM, at=AT, subject="L-1", detail={"max_offer": 252_500}
    )
    assert (verdict.ok, verdict.reason) == (False, "prod_use_disabled")
    assert (row.domain, row.subject, row.reason, row.detail) == (
        OFFER,
        "L-1",
        "prod_use_disabled",
        {"max_offer": 252_500},
    )
    assert (row.confidence, row.trials, row.successes, row.policy_version) == (
        Decimal("0.919999"),
        100,
        90,
        1,
    )
    assert (row.actor, row.correlation_id) == ("test", "call-1")


@pytest.mark.parametrize(
    "given",
    [
        {"confidence": Decimal("1.1")},
        {"confidence": Decimal("NaN")},
        {"domain": "NOBODYS"},
        {"detail": {"note": "call her back"}},
        {"subject": "L" * 65},
    ],
)
def test_what_cannot_be_a_recommendation_is_refused_by_its_field(given: dict[str, Any]) -> None:
    asked = {"domain": OFFER, "confidence": Decimal(1), **given}
    with pytest.raises(Invalid) as refusal:
        recommend(asked.pop("domain"), asked.pop("confidence"), by=SYSTEM, at=AT, **asked)
    assert list(refusal.value.errors) == list(given)
    assert not HeimdallRecommendation.objects.exists()


def test_the_gate_judges_what_is_stored() -> None:
    assert gate(OFFER, Decimal(1), AT).reason == "prod_use_disabled"
    assert gate("NOBODYS", Decimal(1), AT).reason == "prod_use_disabled"
    promoted()
    assert gate(OFFER, Decimal("0.91"), AT).reason == "confidence_below_threshold"
    assert gate(OFFER, Decimal("0.92"), AT).ok
    assert gate(OFFER, Decimal(1), AT + 30 * DAY).reason == "insufficient_sandbox_trials"
    tried(300, 0, days_ago=1)
    assert gate(OFFER, Decimal(1), AT).reason == "sandbox_success_rate_below_threshold"


def test_the_gate_costs_one_query_whatever_the_number_of_days(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for days_ago in range(40):
        tried(3, 3, days_ago=days_ago)
    with django_assert_num_queries(1):
        gate(OFFER, Decimal(1), AT)


def test_what_a_use_costs(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    promoted()
    number = recommended().pk
    savepoint = 2  # around the event, and around the whole
    with django_assert_num_queries(3 + 2 * savepoint):  # the recommendation, the gate, the event
        drive(number)
    with django_assert_num_queries(1):
        assert refused(lambda: may_drive(str(number), OFFER, AT)) == "recommendation_used"


# --- the moment of use --------------------------------------------------------------------------------------


def test_what_passed_when_it_was_made_may_be_refused_when_it_is_used() -> None:
    promoted()
    row = recommended()
    assert row.reason == "gate_pass"
    assert may_drive(str(row.pk), OFFER, AT).ok
    tried(300, 0, days_ago=1)
    assert refused(lambda: drive(row.pk)) == "sandbox_success_rate_below_threshold"
    HeimdallScorecardDay.objects.filter(trials=300).delete()
    assert refused(lambda: drive(row.pk, at=AT + 31 * DAY)) == "insufficient_sandbox_trials"
    upsert_policy(OFFER, {"min_confidence_prod": Decimal("0.96")}, by=SYSTEM, at=AT)
    assert refused(lambda: drive(row.pk)) == "confidence_below_threshold"
    upsert_policy(OFFER, {"prod_use_enabled": False}, by=SYSTEM, at=AT)
    assert refused(lambda: drive(row.pk)) == "prod_use_disabled"
    assert not HeimdallEvent.objects.filter(kind="USED").exists()
    kept = HeimdallEvent.objects.filter(kind="REFUSED", recommendation=row).order_by("id")
    assert list(kept.values_list("reason", flat=True)) == [
        "sandbox_success_rate_below_threshold",
        "insufficient_sandbox_trials",
        "confidence_below_threshold",
        "prod_use_disabled",
    ]


def test_what_was_refused_when_it_was_made_may_pass_when_it_is_used() -> None:
    row = recommended()
    assert row.reason == "prod_use_disabled"
    promoted()
    assert drive(row.pk).ok


def test_a_recommendation_is_used_once() -> None:
    promoted()
    row = recommended()
    verdict = drive(row.pk)
    assert (verdict.ok, verdict.policy_version) == (True, 2)
    assert refused(lambda: drive(row.pk)) == "recommendation_used"
    assert refused(lambda: may_drive(str(row.pk), OFFER, AT)) == "recommendation_used"
    assert HeimdallEvent.objects.filter(kind="USED", recommendation=row).count() == 1


def test_asking_whether_it_may_uses_nothing_up() -> None:
    promoted()
    row = recommended()
    for _again in range(2):
        assert may_drive(str(row.pk), OFFER, AT).ok
    assert not HeimdallEvent.objects.filter(kind="USED").exists()


def test_a_use_that_is_rolled_back_did_not_happen() -> None:
    promoted()
    row = recommended()

    @verb(Execution.SANDBOX_EXEC)
    def fails() -> None:
        use_recommendation(str(row.pk), OFFER, by=SYSTEM, at=AT)
        raise Refused("no", "No.")

    with pytest.raises(Refused):
        fails()
    assert drive(row.pk).ok


def test_a_recommendation_holds_for_its_domain_alone() -> None:
    promoted()
    promoted("BUYER_MATCH")
    row = recommended(domain="BUYER_MATCH")
    assert refused(lambda: drive(row.pk)) == "other_domain"
    assert drive(row.pk, domain="BUYER_MATCH").ok


def test_a_recommendation_holds_for_its_subject_alone_and_without_one_for_any() -> None:
    promoted()
    hers, anyones = recommended(subject="L-1"), recommended()
    for other in ("L-2", "", "l-1"):
        assert refused(partial(drive, hers.pk, subject=other)) == "other_subject"
    assert drive(hers.pk, subject="L-1").ok
    assert drive(anyones.pk, subject="L-2").ok


@pytest.mark.parametrize(
    ("given", "reason"),
    [("", "recommendation_missing"), ("  ", "recommendation_missing"), ("0", "recommendation_unknown"),
     ("999999999999999999", "recommendation_unknown"), ("9" * 64, "recommendation_unknown"),
     ("-1", "recommendation_unknown"), ("rec-7", "recommendation_unknown"), ("٣", "recommendation_unknown"),
     ("1.0", "recommendation_unknown"), ("\ud800", "recommendation_unknown")],
)  # fmt: skip
def test_what_names_no_recommendation_is_refused(given: str, reason: str) -> None:
    assert refused(lambda: drive(given)) == reason
    assert HeimdallEvent.objects.get().reason == reason


# --- what is written once -----------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["governance_heimdallrecommendation", "governance_heimdallevent"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET domain = 'X'", "DELETE FROM {}"])
def test_the_database_itself_keeps_recommendations_and_events(table: str, statement: str) -> None:
    promoted()
    drive(recommended().pk)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format(table))
    with pytest.raises(Unchangeable):
        HeimdallEvent.objects.all().update(domain="X")


def test_a_second_use_is_impossible_and_a_trial_has_an_end() -> None:
    promoted()
    row = recommended()
    drive(row.pk)
    for wrong in (
        {"kind": "USED", "recommendation": row},
        {"kind": "TRIAL"},
        {"kind": "USED", "success": True},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            HeimdallEvent.objects.create(domain=OFFER, created_at=AT, **wrong)
