"""The verb of market policies: parts, versions, and two at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from governance.core import hooks
from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid, Refused
from governance.core.places import Place
from governance.market.models import MarketPolicy, ScheduledChange
from governance.market.services import (
    apply_scheduled,
    get_effective_policy,
    schedule_change,
    upsert_policy,
)
from governance.tests.factories import NOW, MarketPolicyFactory

pytestmark = pytest.mark.both

MakeBy = Callable[..., Actor]
OTTAWA = Place("ON", "OTTAWA")
WINDOW = {"days": [0], "start": "10:00", "end": "12:00"}


@pytest.mark.django_db
def test_what_is_left_out_keeps_its_value(by: MakeBy) -> None:
    manager = by("MANAGER")
    first = upsert_policy(
        Place("ON"), by=manager, at=NOW, rules={"contact_windows_local": [WINDOW]}, reason="short"
    )
    second = upsert_policy(Place("ON"), by=manager, at=NOW, timezone="America/Toronto")
    assert (first.version, second.version) == (2, 3)
    assert second.rules["contact_windows_local"] == [WINDOW]
    assert second.rules["min_lead_score_to_contact"] == 0.65
    assert (second.enabled, second.timezone, second.reason) == (True, "America/Toronto", "")


@pytest.mark.django_db
def test_a_new_market_begins_with_its_provinces_rules(by: MakeBy) -> None:
    upsert_policy(Place("ON"), by=by("MANAGER"), at=NOW, rules={"skip_holidays": False})
    fresh = upsert_policy(OTTAWA, by=by("MANAGER"), at=NOW, rules={"channels_allowed": ["CALL"]})
    assert (fresh.version, fresh.enabled, fresh.market) == (1, True, "OTTAWA")
    assert (fresh.rules["skip_holidays"], fresh.rules["channels_allowed"]) == (False, ["CALL"])
    assert get_effective_policy(OTTAWA) == fresh


@pytest.mark.django_db
def test_no_change_makes_no_version(by: MakeBy, told: list[str]) -> None:
    policy = MarketPolicy.objects.get(province="ON")
    same = upsert_policy(
        Place("ON"),
        by=by("MANAGER"),
        at=NOW,
        enabled=True,
        rules=dict(policy.rules),
        timezone="",
        reason="again",
    )
    assert (same.version, same.reason) == (1, "seed")
    assert policy.history.count() == 1
    assert told == []


@pytest.mark.django_db
def test_every_version_is_kept_as_it_was(by: MakeBy, told: list[str]) -> None:
    for score in (0.1, 0.2, 0.3):
        upsert_policy(
            OTTAWA,
            by=by("MANAGER", "mona"),
            at=NOW,
            rules={"min_lead_score_to_contact": score},
            reason=f"to {score}",
        )
    rows = MarketPolicy.history.filter(market="OTTAWA").order_by("version")
    assert [
        (row.version, row.rules["min_lead_score_to_contact"], row.history_change_reason) for row in rows
    ] == [(1, 0.1, "to 0.1"), (2, 0.2, "to 0.2"), (3, 0.3, "to 0.3")]
    assert {row.changed_by for row in rows} == {"mona"}
    assert {row.history_date for row in rows} == {NOW}
    assert told == ["ON"] * 3


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("place", "expected", "ok"),
    [(Place("ON"), 1, True), (Place("ON"), 2, False), (OTTAWA, 0, True), (OTTAWA, 1, False)],
)
def test_an_expected_version_must_be_the_present_one(
    by: MakeBy, place: Place, expected: int, ok: bool
) -> None:
    if ok:
        upsert_policy(place, by=by("MANAGER"), at=NOW, enabled=False, expected_version=expected)
        return
    with pytest.raises(Refused) as refused:
        upsert_policy(place, by=by("MANAGER"), at=NOW, enabled=False, expected_version=expected)
    assert (refused.value.status, refused.value.code) == (409, "stale_version")
    assert MarketPolicy.objects.count() == 13
    assert not MarketPolicy.objects.filter(enabled=False).exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [{"rules": {"nonsense": 1}}, {"rules": {"channels_allowed": ["FAX"]}}, {"timezone": "Europe/Paris"}],
    ids=str,
)
def test_what_cannot_be_used_is_refused(by: MakeBy, change: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        upsert_policy(Place("ON"), by=by("MANAGER"), at=NOW, enabled=False, **change)
    assert MarketPolicy.objects.get(province="ON").version == 1


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["VA", "CLOSER", "AUDITOR"])
def test_others_change_nothing(by: MakeBy, role: str) -> None:
    with pytest.raises(Forbidden):
        upsert_policy(Place("ON"), by=by(role), at=NOW, enabled=False)
    with pytest.raises(Forbidden):
        upsert_policy(Place("ON"), by=by("SERVICE", scopes=()), at=NOW, enabled=False)


@pytest.mark.django_db
def test_a_hook_that_raises_undoes_the_change(by: MakeBy, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(province: str, by: Actor, at: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(hooks.on_gate_changed, "_answerers", [fail])
    with pytest.raises(ZeroDivisionError):
        upsert_policy(Place("ON"), by=by("MANAGER"), at=NOW, enabled=False)
    policy = MarketPolicy.objects.get(province="ON")
    assert (policy.version, policy.enabled, policy.history.count()) == (1, True, 1)


@pytest.mark.django_db
def test_accents_and_capitals_name_the_same_market(by: MakeBy) -> None:
    first = upsert_policy(Place.read("QC", "Montréal "), by=by("MANAGER"), at=NOW, enabled=False)
    second = upsert_policy(Place.read("qc", "MONTREAL"), by=by("MANAGER"), at=NOW, enabled=True)
    assert (second.pk, second.version, second.market) == (first.pk, 2, "MONTRÉAL")
    with pytest.raises(IntegrityError), transaction.atomic():
        MarketPolicyFactory.create(province="QC", market="MÖNTREAL")


def at_once(*actions: Callable[[], object]) -> list[object]:
    """Run the actions in threads that start together; an exception is an outcome too."""
    gate = threading.Barrier(len(actions))
    outcomes: list[object] = [None] * len(actions)

    def run(number: int) -> None:
        gate.wait()
        try:
            outcomes[number] = actions[number]()
        except Exception as problem:
            outcomes[number] = problem
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.django_db(transaction=True)
def test_many_who_create_the_same_policy_make_one(by: MakeBy) -> None:
    manager = by("MANAGER")
    scores = [number / 10 for number in range(1, 9)]
    outcomes = at_once(
        *(
            lambda score=score: upsert_policy(
                OTTAWA, by=manager, at=NOW, rules={"min_lead_score_to_contact": score}
            )
            for score in scores
        )
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert all(isinstance(problem, Refused) and problem.code == "stale_version" for problem in refused), (
        refused
    )
    policy = MarketPolicy.objects.get(province="ON", market="OTTAWA")
    assert policy.version == len(outcomes) - len(refused) >= 1
    assert sorted(MarketPolicy.history.filter(id=policy.pk).values_list("version", flat=True)) == list(
        range(1, policy.version + 1)
    )


@pytest.mark.django_db(transaction=True)
def test_of_many_who_expect_the_same_version_one_succeeds(by: MakeBy) -> None:
    manager = by("MANAGER")
    outcomes = at_once(
        *(
            lambda score=score: upsert_policy(
                Place("ON"),
                by=manager,
                at=NOW,
                rules={"min_lead_score_to_contact": score / 10},
                expected_version=1,
            )
            for score in range(1, 9)
        )
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    assert len(refused) == 7, outcomes
    assert MarketPolicy.objects.get(province="ON").version == 2
    assert MarketPolicy.history.filter(province="ON").count() == 2


@pytest.mark.django_db(transaction=True)
def test_no_change_is_lost_between_many(by: MakeBy) -> None:
    manager = by("MANAGER")
    changes: list[dict[str, object]] = [
        {"timezone": "America/Toronto"},
        {"rules": {"min_lead_score_to_contact": 0.1}},
        {"rules": {"skip_holidays": False}},
        {"rules": {"channels_allowed": ["CALL"]}},
        {"rules": {"consent_required_channels": ["SMS"]}},
        {"enabled": False},
    ]
    outcomes = at_once(
        *(
            lambda change=change: upsert_policy(Place("ON"), by=manager, at=NOW, **change)
            for change in changes
        )
    )
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    policy = MarketPolicy.objects.get(province="ON")
    assert (policy.version, policy.enabled, policy.timezone) == (7, False, "America/Toronto")
    assert policy.rules["min_lead_score_to_contact"] == 0.1
    assert (policy.rules["skip_holidays"], policy.rules["channels_allowed"]) == (False, ["CALL"])
    assert policy.rules["consent_required_channels"] == ["SMS"]


@pytest.mark.django_db(transaction=True)
def test_of_many_who_schedule_for_the_same_instant_one_succeeds(by: MakeBy) -> None:
    manager, start = by("MANAGER"), NOW + timedelta(days=30)
    outcomes = at_once(
        *(
            lambda score=score: schedule_change(
                Place("ON"),
                by=manager,
                at=NOW,
                effective_from=start,
                rules={"min_lead_score_to_contact": score / 10},
            )
            for score in range(1, 6)
        )
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert {getattr(problem, "code", problem) for problem in refused} == {"already_scheduled"}
    assert (len(refused), ScheduledChange.objects.count()) == (4, 1)


@pytest.mark.django_db(transaction=True)
def test_jobs_and_an_edit_at_once_apply_a_change_once(by: MakeBy) -> None:
    manager, start = by("MANAGER"), NOW + timedelta(days=30)
    schedule_change(Place("ON"), by=manager, at=NOW, effective_from=start, rules={"skip_holidays": False})
    outcomes = at_once(
        lambda: apply_scheduled(start),
        lambda: apply_scheduled(start),
        lambda: upsert_policy(Place("ON"), by=manager, at=start, timezone="America/Toronto"),
    )
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)], outcomes
    policy = MarketPolicy.objects.get(province="ON")
    assert (policy.version, policy.rules["skip_holidays"], policy.timezone) == (3, False, "America/Toronto")
