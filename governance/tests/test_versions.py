"""Versioned rows: what all of them do alike (their own fields are tested with each)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from django.db import IntegrityError, transaction

from governance.core.actors import Actor
from governance.core.errors import Invalid, Refused
from governance.core.places import Place
from governance.core.versions import revise
from governance.market.models import MarketPolicy
from governance.tests.factories import NOW

MakeBy = Callable[..., Actor]
pytestmark = [pytest.mark.both, pytest.mark.django_db]


def ontario(changes: Callable[[MarketPolicy], None], by: Actor, expected: int | None = None) -> MarketPolicy:
    row, _changed = revise(
        MarketPolicy.objects.of(Place("ON")),
        lambda: MarketPolicy(province="ON"),
        changes,
        by=by,
        at=NOW,
        reason="why",
        expected_version=expected,
    )
    return row


def switched_off(policy: MarketPolicy) -> None:
    policy.enabled = False


def test_a_change_keeps_who_made_it_when_why_and_in_which_call(by: MakeBy) -> None:
    clerk = replace(by("MANAGER", "clerk"), correlation_id="call-7")
    row = ontario(switched_off, clerk)
    for version in (MarketPolicy.objects.get(pk=row.pk), row.history.latest()):
        assert (version.version, version.changed_by, version.reason) == (2, "clerk", "why")
        assert (version.correlation_id, version.updated_at) == ("call-7", NOW)
    assert (row.history.latest().history_change_reason, row.history.latest().history_date) == ("why", NOW)


def test_the_row_and_its_version_are_those_that_save_writes(by: MakeBy) -> None:
    """A change is written without `save` and the signals by which simple_history follows it."""
    with transaction.atomic():
        row = ontario(switched_off, by("MANAGER", "clerk"))
        written = MarketPolicy.objects.filter(pk=row.pk).values().get(), row.history.values().first()
        transaction.set_rollback(True)
    row.save()
    saved = MarketPolicy.objects.filter(pk=row.pk).values().get(), row.history.values().first()
    for rows in (written, saved):
        rows[1].pop("history_id")
    assert written == saved
    assert written[1]["history_type"] == "~"


def test_json_that_was_changed_in_place_is_a_change(by: MakeBy) -> None:
    row = ontario(lambda policy: policy.rules.update(skip_holidays=False), by("MANAGER"))
    assert (row.version, MarketPolicy.objects.get(pk=row.pk).rules["skip_holidays"]) == (2, False)


def test_what_the_model_refuses_is_no_version(by: MakeBy) -> None:
    with pytest.raises(Invalid) as refused:
        ontario(lambda policy: setattr(policy, "timezone", "Mars/Olympus"), by("MANAGER"))
    assert "timezone" in refused.value.errors
    assert MarketPolicy.objects.get(province="ON").version == 1


@pytest.mark.parametrize("expected", [0, 2])
def test_a_version_that_nobody_has_is_refused_with_the_present_one(expected: int, by: MakeBy) -> None:
    with pytest.raises(Refused) as refused:
        ontario(switched_off, by("MANAGER"), expected)
    assert (refused.value.code, refused.value.extra) == ("stale_version", {"version": 1})


def test_a_constraint_that_no_rival_broke_is_not_called_a_lost_race(by: MakeBy) -> None:
    nowhere = MarketPolicy.objects.of(Place("ON", "NOWHERE"))
    with pytest.raises(IntegrityError), transaction.atomic():
        revise(nowhere, lambda: MarketPolicy(province="ON"), switched_off, by=by("MANAGER"), at=NOW)
