"""Decisions: kept with the versions they used, judged again to the same answer, read by those who may."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from rest_framework.test import APIClient

from governance.contact.models import Closure, Consent, ContactDecision, StatutoryHours, Suppression
from governance.contact.reference import remove_reference, save_reference
from governance.contact.services import (
    consent_expiry,
    decision,
    judge_again,
    lift_suppression,
    open_gate,
    question_about,
    record_consent,
    suppress,
)
from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid
from governance.core.hooks import PointFacts
from governance.core.places import Place
from governance.market.services import upsert_policy
from governance.tests.factories import (
    NOW,
    ClosureFactory,
    ContactDecisionFactory,
    StatutoryHoursFactory,
    email_point,
    phone_point,
)

Api = Callable[..., APIClient]
MakeBy = Callable[..., Actor]
pytestmark = [pytest.mark.both, pytest.mark.django_db]
PATH = "/api/governance/contact/decisions"
LATER = NOW + timedelta(days=3)


def keep(
    by: Actor,
    channel: str = "SMS",
    *,
    judged: datetime = NOW,
    now: datetime = NOW,
    score: Decimal | None = None,
    points: tuple[PointFacts, ...] | None = None,
) -> ContactDecision:
    points = (phone_point(), email_point()) if points is None else points
    gate = open_gate(Place("ON"), channel, judged, city="Toronto")
    question = question_about(channel, points, score, at=judged)
    kept = decision(
        "START", gate.judge(question, judged), gate, question, by=by, at=judged, now=now, lead_id="L-1",
        phone_digest=points[0].digest if points else "",
    )  # fmt: skip
    kept.save()
    return ContactDecision.objects.get(pk=kept.pk)


def same(kept: ContactDecision) -> bool:
    again = judge_again(kept)
    return (again.ok, again.reason, list(again.local_times)) == (kept.ok, kept.reason, kept.local_times)


def change_everything(by: Actor) -> None:
    """Turn round whatever a decision could have been judged by."""
    upsert_policy(
        Place("ON"),
        by=by,
        at=LATER,
        enabled=False,
        rules={"channels_allowed": [], "contact_windows_local": [], "min_lead_score_to_contact": 1},
    )
    for closure in Closure.objects.all():
        remove_reference(closure, by=by, at=LATER, reason="gone")
    save_reference(Closure(province="ON", date=NOW.date(), name="late"), by=by, at=LATER, reason="late")
    for row in StatutoryHours.objects.all():
        row.start, row.end = "12:00", "12:30"
        save_reference(row, by=by, at=LATER, reason="narrower")
    suppress([phone_point().digest, email_point().digest], by=by, at=LATER)
    record_consent(
        phone_point().digest,
        "SMS",
        "EXPRESS",
        by=by,
        at=LATER,
        obtained_at=NOW - timedelta(days=9),
        how="paper",
    )


def test_a_yes_stays_a_yes(by: MakeBy) -> None:
    kept = keep(by("MANAGER"), "CALL", score=Decimal("0.7"))
    assert kept.ok
    change_everything(by("MANAGER"))
    assert same(kept)
    assert not keep(by("MANAGER"), "CALL", now=LATER).ok, "the same question asked today is refused"


def test_refusals_stay_what_they_were(by: MakeBy) -> None:
    manager = by("MANAGER")
    kept = [
        keep(manager, judged=NOW.replace(hour=3)),
        keep(manager, "CALL", judged=NOW.replace(hour=3)),
        keep(manager, score=Decimal("0.2")),
        keep(manager, judged=datetime(2026, 12, 25, 15, tzinfo=UTC)),
    ]
    save_reference(ClosureFactory.build(date=NOW.date(), citation="Act"), by=manager, at=NOW, reason="law")
    kept.append(keep(manager))
    suppress([phone_point().digest], by=manager, at=NOW)
    kept.append(keep(manager, judged=NOW + timedelta(days=1)))
    upsert_policy(
        Place("ON"), by=manager, at=NOW, rules={"consent_required_channels": ["SMS"], "skip_holidays": False}
    )
    lift_suppression([phone_point().digest], by=manager, at=NOW, reason="mistake")
    kept.append(keep(manager, judged=NOW + timedelta(days=1)))
    upsert_policy(Place("ON"), by=manager, at=NOW, enabled=False)
    kept.append(keep(manager))
    assert [row.reason for row in kept] == [
        "outside_contact_window", "outside_statutory_hours", "lead_score_below_minimum", "holiday", "holiday",
        "suppressed", "consent_missing", "policy_disabled",
    ]  # fmt: skip
    change_everything(manager)
    upsert_policy(Place("ON"), by=manager, at=LATER, enabled=True, rules={"contact_windows_local": []})
    assert [row.reason for row in kept if not same(row)] == []


def test_a_consent_entered_later_with_an_earlier_date_changes_no_kept_answer(by: MakeBy) -> None:
    manager = by("MANAGER")
    upsert_policy(Place("ON"), by=manager, at=NOW, rules={"consent_required_channels": ["SMS"]})
    kept = keep(manager)
    assert kept.reason == "consent_missing"
    record_consent(
        phone_point().digest,
        "SMS",
        "EXPRESS",
        by=manager,
        at=LATER,
        obtained_at=NOW - timedelta(days=9),
        how="paper",
    )
    assert same(kept)
    assert keep(manager, now=LATER).ok


def test_an_opt_out_of_the_address_does_not_stop_the_phone_when_judged_again(by: MakeBy) -> None:
    suppress([email_point().digest], by=by("VA"), at=NOW)
    kept = keep(by("MANAGER"))
    assert kept.ok
    assert same(kept)


def test_a_decision_names_what_it_used(by: MakeBy) -> None:
    closure = ClosureFactory.create(date=NOW.date())
    kept = keep(by("MANAGER", "mona"), "CALL")
    assert kept.policy_version == 1
    assert kept.zones == ["America/Toronto"]
    assert kept.basis["closures"] == [closure.pk]
    assert len(kept.basis["statutory"]) == 2
    assert {"tzdata", "holidays"} <= set(kept.basis)
    assert (kept.actor, kept.correlation_id) == ("mona", "test")
    assert "555" not in str({**kept.basis, "phone": kept.phone_digest[:0]})


# --- verbs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "obtained", "ends"),
    [
        ("EXPRESS", datetime(2026, 8, 31, 12, tzinfo=UTC), None),
        ("WITHDRAWN", datetime(2026, 8, 31, 12, tzinfo=UTC), None),
        ("INQUIRY", datetime(2026, 8, 31, 12, tzinfo=UTC), datetime(2027, 2, 28, 12, tzinfo=UTC)),
        ("INQUIRY", datetime(2027, 8, 31, 12, tzinfo=UTC), datetime(2028, 2, 29, 12, tzinfo=UTC)),
        ("INQUIRY", datetime(2026, 6, 30, 12, tzinfo=UTC), datetime(2026, 12, 30, 12, tzinfo=UTC)),
        ("INQUIRY", datetime(2026, 7, 1, 12, tzinfo=UTC), datetime(2027, 1, 1, 12, tzinfo=UTC)),
        ("BUSINESS", datetime(2024, 2, 29, 12, tzinfo=UTC), datetime(2026, 2, 28, 12, tzinfo=UTC)),
    ],
)
def test_when_a_consent_ends_follows_from_its_kind(
    kind: str, obtained: datetime, ends: datetime | None
) -> None:
    assert consent_expiry(kind, obtained) == ends


def test_everybody_records_an_opt_out_and_only_managers_the_rest(by: MakeBy) -> None:
    point = phone_point().digest
    for role in ("VA", "CLOSER", "MANAGER", "SERVICE"):
        suppress([point], by=by(role), at=NOW)
        record_consent(point, "SMS", "WITHDRAWN", by=by(role), at=NOW, obtained_at=NOW, how="said so")
    with pytest.raises(Forbidden):
        suppress([point], by=by("AUDITOR"), at=NOW)
    for role in ("VA", "CLOSER", "AUDITOR", "SERVICE"):
        with pytest.raises(Forbidden):
            lift_suppression([point], by=by(role), at=NOW, reason="please")
        with pytest.raises(Forbidden if role == "AUDITOR" else Invalid):  # the others need evidence
            record_consent(point, "SMS", "EXPRESS", by=by(role), at=NOW, obtained_at=NOW, how="web form")
        with pytest.raises(Forbidden):
            record_consent(
                point, "SMS", "BUSINESS", by=by(role), at=NOW, obtained_at=NOW, how="sold", evidence="x"
            )
        with pytest.raises(Forbidden):
            save_reference(ClosureFactory.build(), by=by(role), at=NOW, reason="strike")
    with pytest.raises(Invalid):
        lift_suppression([point], by=by("MANAGER"), at=NOW, reason=" ")


def test_a_withdrawn_consent_stops_its_channel(by: MakeBy) -> None:
    point = phone_point().digest
    record_consent(point, "SMS", "WITHDRAWN", by=by("VA"), at=NOW, obtained_at=NOW, how="said so")
    stop = Suppression.objects.get()
    assert (stop.point_digest, stop.channel) == (point, "SMS")
    assert Consent.objects.get().kind == "WITHDRAWN"


def test_reference_rows_need_a_reason_and_usable_values(by: MakeBy, told: list[str]) -> None:
    manager = by("MANAGER")
    with pytest.raises(Invalid, match="fields"):
        save_reference(ClosureFactory.build(), by=manager, at=NOW, reason=" ")
    with pytest.raises(Invalid) as wrong:
        save_reference(StatutoryHoursFactory.build(end="09:00"), by=manager, at=NOW, reason="?")
    assert "not after its start" in str(wrong.value.errors)
    with pytest.raises(Invalid):
        save_reference(
            ClosureFactory.build(closed=False, closed_from="12:00"), by=manager, at=NOW, reason="?"
        )
    assert not Closure.objects.exists()
    assert told == []


# --- the collection -----------------------------------------------------------------------------------------


def ids(response: object) -> list[int]:
    return [row["id"] for row in response.json()["results"]]  # type: ignore[attr-defined]  # a test's response


def test_decisions_are_read_newest_first_and_narrowed(api: Api) -> None:
    old = ContactDecisionFactory.create(
        created_at=NOW - timedelta(days=2), lead_id="L-2", ok=False, reason="holiday"
    )
    new = ContactDecisionFactory.create(channel="SMS", door="COMPLETE")
    client = api("AUDITOR")
    assert ids(client.get(PATH)) == [new.pk, old.pk]
    assert ids(client.get(PATH, {"ordering": "created_at"})) == [old.pk, new.pk]
    for query, found in (
        ({"lead_id": "L-2"}, [old]),
        ({"channel": "SMS"}, [new]),
        ({"ok": "false"}, [old]),
        ({"ok": "true"}, [new]),
        ({"reason": "holiday"}, [old]),
        ({"door": "COMPLETE"}, [new]),
        ({"since": "2026-11-24T00:00:00Z"}, [new]),
        ({"until": "2026-11-24T00:00:00Z"}, [old]),
    ):
        assert ids(client.get(PATH, query)) == [row.pk for row in found], query
    one = client.get(f"{PATH}/{new.pk}").json()
    assert one["lead_score"] is None
    assert one["at"] == "2026-11-24T15:00:00Z"
    assert client.get(f"{PATH}/99999999999999999999").status_code == 404


def test_pages_by_cursor_miss_and_repeat_nothing(api: Api) -> None:
    rows = ContactDecisionFactory.create_batch(7)
    client, found = api("AUDITOR"), []
    page = client.get(PATH, {"page_size": 3})
    while True:
        found += ids(page)
        if page.json()["next"] is None:
            break
        page = client.get(page.json()["next"])
    assert sorted(found) == sorted(row.pk for row in rows)
    assert len(set(found)) == 7


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"ok": "perhaps"}, "ok"),
        ({"channel": "FAX"}, "channel"),
        ({"since": "2026-11-24T00:00:00"}, "since"),
        ({"since": "0001-01-01T00:00:00+14:00"}, "since"),
        ({"until": "soon"}, "until"),
        ({"lead": "L-1"}, "lead"),
        ({"lead_id": "a\0b"}, "lead_id"),
        ({"lead_id": "L" * 500}, "lead_id"),
        ({"ordering": "actor"}, "ordering"),
    ],
    ids=str,
)
def test_a_bad_filter_is_refused_by_its_name(api: Api, query: dict[str, str], field: str) -> None:
    response = api("AUDITOR").get(PATH, query)
    assert (response.status_code, list(response.json()["errors"])) == (400, [field]), response.content


@pytest.mark.parametrize(
    "cursor",
    [
        "x", "cD0=", "cD14", "cD0wMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAw", "cD05OTk5LTEyLTMxVDIzOjU5OjU5LTE0OjAw",
        "bz05OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "cD1hYmM=", "cD0A", "cD0lMDA=", "cD0xZTk5OQ==",
    ],
)  # fmt: skip
@pytest.mark.parametrize("ordering", ["created_at", "-id"])
def test_a_forged_cursor_is_refused(api: Api, cursor: str, ordering: str) -> None:
    ContactDecisionFactory.create()
    assert api("AUDITOR").get(PATH, {"cursor": cursor, "ordering": ordering}).status_code < 500


@pytest.mark.parametrize(
    ("role", "status"), [("VA", 403), ("CLOSER", 200), ("MANAGER", 200), ("AUDITOR", 200), ("SERVICE", 200)]
)
def test_a_va_reads_no_decisions(api: Api, role: str, status: int) -> None:
    row = ContactDecisionFactory.create()
    assert api(role).get(PATH).status_code == status
    assert api(role).get(f"{PATH}/{row.pk}").status_code == status


def test_nobody_writes_decisions_through_the_collection(api: Api) -> None:
    row = ContactDecisionFactory.create()
    client = api("MANAGER")
    assert client.post(PATH, {}, format="json").status_code == 405
    assert client.patch(f"{PATH}/{row.pk}", {}, format="json").status_code == 405
    assert client.delete(f"{PATH}/{row.pk}").status_code == 405
    assert APIClient().get(PATH).status_code == 401


def test_dates_of_closures_are_local_days(by: MakeBy) -> None:
    """At 23:30 on the 24th in Toronto it is the 25th in UTC; the closure of the 25th does not hold yet."""
    upsert_policy(
        Place("ON"),
        by=by("MANAGER"),
        at=NOW,
        rules={"contact_windows_local": [{"days": [0, 1, 2, 3, 4, 5, 6], "start": "00:00", "end": "24:00"}]},
    )
    ClosureFactory.create(date=date(2026, 11, 25))
    assert keep(by("MANAGER"), judged=datetime(2026, 11, 25, 4, 30, tzinfo=UTC)).ok
    assert keep(by("MANAGER"), judged=datetime(2026, 11, 25, 5, 0, tzinfo=UTC)).reason == "holiday"


@pytest.mark.parametrize("kind", Consent.Kind.values)
def test_when_a_consent_ends_is_decided_for_every_kind(kind: str) -> None:
    ends = consent_expiry(kind, datetime(2026, 11, 25, tzinfo=UTC))
    assert (ends is None) is (kind in ("EXPRESS", "WITHDRAWN"))
    with pytest.raises(ValueError, match="REFERRAL"):
        consent_expiry("REFERRAL", datetime(2026, 11, 25, tzinfo=UTC))
