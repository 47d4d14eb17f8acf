"""The retention job removes what is past its period, tells of it, and lets nobody else remove anything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from followups.models import LookupEvent, RealignRequest, SlaSnapshot
from governance.contact.models import Consent, ContactDecision, Suppression
from governance.core import append_only
from governance.core.actors import Actor, Role
from governance.core.errors import Forbidden, Invalid, NotFound, Refused
from governance.kpi.models import KpiEvent
from governance.models import ApiToken, JobSlot, OutboxMessage, User
from governance.outbox.services import post_message
from governance.retention import database, registry
from governance.retention.admin import days_told
from governance.retention.models import Erasure, Removal, RetentionPeriod
from governance.retention.periods import set_period
from governance.retention.services import NotAllRemoved, remove_expired, remove_step
from governance.risk.models import RiskLedgerDay, RiskReservation
from governance.risk.services import recount, release
from governance.tasks import remove_expired_rows
from governance.tests.factories import (
    ConsentFactory,
    ContactDecisionFactory,
    ErasureFactory,
    KpiEventFactory,
    SuppressionFactory,
    phone_point,
)
from governance.tests.risking import reserved
from valhalla.testing import at_once

pytestmark = [pytest.mark.both, pytest.mark.django_db, pytest.mark.usefixtures("databases_clock")]
BY = Actor.system("test")
DAY = timedelta(days=1)
FIVE_YEARS, SEVEN_YEARS = 1827, 2557


def events(*days: int) -> None:
    """Write KPI events that are so many days old."""
    for age in days:
        KpiEventFactory.create(created_at=timezone.now() - age * DAY, value=age)


def ages() -> list[int]:
    return sorted(int(value or 0) for value in KpiEvent.objects.values_list("value", flat=True))


def run(sql: str, params: Any = ()) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


def keep(subject: str, days: int | None) -> None:
    RetentionPeriod.objects.filter(subject=subject).update(days=days)


# --- what the job does --------------------------------------------------------------------------------------


def test_what_is_past_its_period_goes_and_what_is_younger_stays() -> None:
    events(1, FIVE_YEARS - 1, FIVE_YEARS + 1, 4000)

    assert remove_expired(timezone.now(), by=BY) == {"kpi_events": 2}
    assert ages() == [1, FIVE_YEARS - 1]


def test_every_removal_tells_what_it_removed() -> None:
    events(1, 4000, 4001)

    remove_expired(timezone.now(), by=BY)

    told = Removal.objects.get()
    assert (told.subject, told.table_name, told.count, told.actor) == (
        "kpi_events",
        "governance_kpievent",
        2,
        "test",
    )
    assert told.until is not None
    assert abs(timezone.now() - 4000 * DAY - told.until) < timedelta(minutes=1)
    assert abs(timezone.now() - FIVE_YEARS * DAY - told.before) < timedelta(minutes=1)


def test_the_digest_is_of_the_removed_rows() -> None:
    digests = []
    for value in (1, 1, 2):
        KpiEventFactory.create(id=77, created_at=datetime(2010, 1, 1, tzinfo=UTC), value=value)
        remove_expired(timezone.now(), by=BY)
        digests.append(Removal.objects.latest("id").digest)

    assert digests[0] == digests[1] != digests[2]
    assert all(len(digest) == 64 for digest in digests)


def test_a_second_run_removes_and_tells_nothing() -> None:
    events(4000)
    remove_expired(timezone.now(), by=BY)

    assert remove_expired(timezone.now(), by=BY) == {}
    assert Removal.objects.count() == 1


def test_it_works_in_steps_the_oldest_first() -> None:
    events(*range(4000, 4007))

    assert remove_expired(timezone.now(), by=BY, batch=3) == {"kpi_events": 7}
    assert list(Removal.objects.order_by("id").values_list("count", flat=True)) == [3, 3, 1]
    youngest = [str(removal.until) for removal in Removal.objects.order_by("id")]
    assert youngest == sorted(youngest)


def test_a_run_that_is_out_of_time_leaves_the_rest_for_the_next_night() -> None:
    events(4000, 4001)

    assert remove_expired(timezone.now(), by=BY, seconds=0) == {}
    assert ages() == [4000, 4001]


def test_rows_of_one_instant_are_never_torn_apart() -> None:
    at = datetime(2010, 1, 1, tzinfo=UTC)
    KpiEventFactory.create_batch(5, created_at=at)

    assert remove_expired(timezone.now(), by=BY, batch=2) == {"kpi_events": 5}
    assert Removal.objects.get().count == 5


def test_without_days_it_is_kept_for_ever() -> None:
    events(9000)
    keep("kpi_events", None)

    assert remove_expired(timezone.now(), by=BY) == {}
    assert ages() == [9000]


def test_each_subject_goes_by_its_own_period(person: Callable[..., User]) -> None:
    now = timezone.now()
    user = person(Role.SERVICE)
    for name, age in (("old", 40), ("young", 20)):
        post_message("mail", "m@example.ca", name, "", once=name, at=now - age * DAY)
        OutboxMessage.objects.filter(dedupe=name).update(sent_at=now - age * DAY)
        OutboxMessage.objects.create(
            kind="mail",
            to="m@example.ca",
            dedupe=f"given up {name}",
            created_at=now,
            not_before=now,
            dead_at=now - 3 * age * DAY,
        )
        JobSlot.objects.create(job="a", slot=name, started_at=now - age * DAY / 2)
        RealignRequest.objects.create(asked_at=now - age * DAY, done_at=now - age * DAY)
        token, _text = ApiToken.objects.create(user=user, expiry=DAY, label=name)
        ApiToken.objects.filter(pk=token.pk).update(expiry=now - 3 * age * DAY)
        LookupEvent(kind="PHONE", digest="0", found=0, at=now - 20 * age * DAY, actor=name).save()
        SlaSnapshot.objects.create(
            day=(now - 30 * age * DAY).date(), dimension="ALL", count=age, overdue_open=0
        )
        ContactDecisionFactory.create(created_at=now - 30 * age * DAY, lead_id=name)
    post_message("mail", "m@example.ca", "waits", "", once="waits", at=now - 400 * DAY)
    RealignRequest.objects.create(asked_at=now - 400 * DAY)

    assert remove_expired(now, by=BY) == {
        "messages_sent": 1, "messages_given_up": 1, "job_runs": 1, "realigning_requests": 1, "tokens": 1,
        "lookups": 1, "sla_by_day": 1, "contact_decisions": 1,
    }  # fmt: skip
    assert set(OutboxMessage.objects.values_list("dedupe", flat=True)) == {"young", "given up young", "waits"}
    assert JobSlot.objects.get().slot == "young"
    assert ApiToken.objects.get().label == "young"
    assert LookupEvent.objects.get().actor == "young"
    assert SlaSnapshot.objects.get().count == 20
    assert ContactDecision.objects.get().lead_id == "young"
    assert RealignRequest.objects.count() == 2


def test_risk_goes_with_its_events_and_the_ledger_equals_a_recount_before_and_after() -> None:
    now = timezone.now()
    for age in (FIVE_YEARS + 3, FIVE_YEARS - 3, 0):
        release(reserved(100, at=now - age * DAY), by=BY, at=now - age * DAY)
    open_one = reserved(50, at=now)
    assert recount() == []

    assert remove_expired(now, by=BY) == {"risk_events": 2, "risk_reservations": 1, "risk_ledger_days": 2}

    assert RiskReservation.objects.count() == 3
    assert RiskLedgerDay.objects.count() == 4
    assert RiskReservation.objects.get(pk=open_one).state == "PENDING"
    assert recount() == []


def test_a_reservation_stays_as_long_as_an_event_names_it_and_its_day_as_long_as_it() -> None:
    now = timezone.now()
    keep("risk_events", None)
    release(reserved(100, at=now - 3000 * DAY), by=BY, at=now - 3000 * DAY)

    assert remove_expired(now, by=BY) == {}
    assert recount() == []


def test_sessions_that_ended_are_forgotten() -> None:
    for hours in (-1, 1):
        session = SessionStore()
        session.create()
        ends = timezone.now() + timedelta(hours=hours)
        Session.objects.filter(pk=session.session_key).update(expire_date=ends)

    remove_expired(timezone.now(), by=BY)

    assert Session.objects.get().expire_date > timezone.now()


def test_the_job_keeps_what_it_did() -> None:
    events(4000)

    remove_expired_rows.apply(throw=True)

    assert JobSlot.objects.get().result == {"kpi_events": 1}


def test_a_new_subject_gets_its_period_by_itself() -> None:
    RetentionPeriod.objects.filter(subject="kpi_events").delete()
    events(4000)

    assert remove_expired(timezone.now(), by=BY) == {"kpi_events": 1}
    assert RetentionPeriod.objects.get(subject="kpi_events").days == FIVE_YEARS


def test_what_one_subject_cannot_do_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A period below the least one, put there by hand, is refused by the database; the others go on."""
    SuppressionFactory.create()
    events(4000)
    keep("contact_decisions", 1)
    ContactDecisionFactory.create(created_at=timezone.now() - 4000 * DAY)

    with pytest.raises(NotAllRemoved, match="contact_decisions"):
        remove_expired(timezone.now(), by=BY)
    assert ages() == []
    assert ContactDecision.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_eight_jobs_at_once_remove_each_row_once() -> None:
    events(*range(4000, 4040))
    now = timezone.now()

    answers = at_once(lambda number: remove_expired(now, by=Actor.system(f"job-{number}"), batch=5), range(8))

    assert ages() == []
    assert sum(answer.get("kpi_events", 0) for answer in answers) == 40
    assert sum(Removal.objects.values_list("count", flat=True)) == 40


# --- who else cannot ----------------------------------------------------------------------------------------


def told_by_hand(subject: str, **columns: Any) -> Any:
    """Try to remove through the row that tells of a removal, past every check of our own code."""
    rule = registry.rule_of(subject)
    before = columns.pop("before", timezone.now())
    if connection.vendor == "postgresql":
        row = Removal(
            subject=subject,
            table_name=columns.pop("table_name", "x"),
            before=before,
            count=1000,
            at=timezone.now(),
            **columns,
        )
        with transaction.atomic():
            row.save()
        row.refresh_from_db()
        return row
    assert rule is not None, "SQLite's program knows no other"
    with transaction.atomic():
        return database.remove_by_hand(connection, rule, before, 1000)


def test_young_rows_cannot_be_removed_through_the_function() -> None:
    events(1, 100, 1000)

    for before in (timezone.now(), timezone.now() + 9000 * DAY, timezone.now() - 1000 * DAY):
        with pytest.raises(IntegrityError, match="younger than 1827 days may not be removed"):
            told_by_hand("kpi_events", before=before)
    assert ages() == [1, 100, 1000]
    assert not Removal.objects.exists()


def test_a_shortened_period_does_not_open_it() -> None:
    events(1, 100)
    keep("kpi_events", 30)

    with pytest.raises(IntegrityError, match="may not be removed"):
        told_by_hand("kpi_events", before=timezone.now() - 60 * DAY)
    assert ages() == [1, 100]


def test_a_period_for_ever_does_not_open_it() -> None:
    events(9000)
    keep("kpi_events", None)

    with pytest.raises(IntegrityError, match="may not be removed"):
        told_by_hand("kpi_events", before=timezone.now() - 8000 * DAY)
    assert ages() == [9000]


@pytest.mark.parametrize("subject", ["suppressions", "governance_suppression", "", "kpi_events'; --"])
def test_tables_that_are_not_listed_cannot_be_removed_from(subject: str) -> None:
    SuppressionFactory.create(at=datetime(2010, 1, 1, tzinfo=UTC))
    assert registry.rule_of(subject) is None
    if connection.vendor == "postgresql":
        RetentionPeriod.objects.create(subject=subject, days=1, updated_at=timezone.now())
        with pytest.raises(IntegrityError, match="nothing may be removed as"):
            told_by_hand(subject, table_name="governance_suppression")
    assert Suppression.objects.count() == 1


KEPT_FOR_EVER = {
    "governance.Suppression",
    "governance.Consent",  # an opt-out is never lost, a consent must be provable
    "governance.Removal",
    "governance.Erasure",
    "governance.HeimdallRecommendation",
    "governance.HeimdallEvent",  # scorecards are recounted from them
    "buyers.BuyerFeedbackEvent",  # liquidity is recounted from it
    "offers.OfferOutcome",
    "governance.Backup",
    "governance.DoNotCallImport",  # few; the runbook asks the newest
}


def test_of_every_table_that_is_written_once_it_was_decided_how_long_it_is_kept() -> None:
    written_once = {model._meta.label for model in append_only.append_only_models()}
    by_rule = {rule.model for rule in registry.rules()}

    assert written_once - by_rule == KEPT_FOR_EVER, "register a Rule, or say here why it is kept for ever"


def test_the_table_that_a_forged_row_names_is_not_believed() -> None:
    if connection.vendor != "postgresql":
        return
    SuppressionFactory.create(at=datetime(2010, 1, 1, tzinfo=UTC))
    events(4000)

    told = told_by_hand(
        "kpi_events", before=timezone.now() - 2000 * DAY, table_name="governance_suppression", digest="forged"
    )

    assert (told.table_name, told.count, len(told.digest)) == ("governance_kpievent", 1, 64)
    assert Suppression.objects.count() == 1


SETTINGS = ("valhalla.removing", "valhalla.remove_expired", "valhalla.written_once", "app.retention")


def attacks(table: str) -> list[str]:
    return [
        f"DELETE FROM {table}",
        f"UPDATE {table} SET actor = 'mallory'",
        f"UPDATE {table} SET actor = actor",
    ]


def test_a_removal_opens_its_table_for_nothing_else() -> None:
    """Neither in the transaction of a removal, nor after it, nor with any setting of the session."""
    events(1, 4000)
    remove_expired(timezone.now(), by=BY)
    assert Removal.objects.get().count == 1
    events(4100)  # as old as what was removed, and yet not what was told of
    if connection.vendor == "postgresql":
        for name in SETTINGS:
            run(f"SET LOCAL {name} = 'on'")
            run(f"SET LOCAL {name} = 'governance_kpievent'")

    tries = [*attacks("governance_kpievent"), "DELETE FROM governance_kpievent WHERE value = 4100"]
    for statement in tries:
        with pytest.raises(DatabaseError, match="written once"):
            run(statement)
    if connection.vendor == "postgresql":
        for body in tries:
            with pytest.raises(DatabaseError, match="written once"):
                run(f"DO $$ BEGIN {body}; END $$")
    assert ages() == [1, 4100]


def test_a_trigger_of_somebody_elses_is_refused_too() -> None:
    """A delete from inside another trigger is as deep as the function's own, but no row tells of it.

    Even beside a removal, in its own transaction, it reaches no younger row.
    """
    if connection.vendor != "postgresql":
        return
    events(100)
    run(
        "CREATE FUNCTION sly() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN DELETE FROM governance_kpievent; RETURN NULL; END $$"
    )
    run("CREATE TEMP TABLE bait (id int)")
    run("CREATE TRIGGER sly AFTER INSERT ON bait FOR EACH ROW EXECUTE FUNCTION sly()")

    for others in (), (4000,):
        events(*others)
        assert remove_expired(timezone.now(), by=BY).get("kpi_events", 0) == len(others)
        with pytest.raises(DatabaseError, match="written once"):
            run("INSERT INTO bait VALUES (1)")
        assert ages() == [100]


def test_a_removal_that_fails_leaves_rows_and_guard_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    events(4000)
    rule = registry.rule_of("kpi_events")
    assert rule is not None

    @transaction.atomic
    def fail() -> None:
        remove_step(rule, timezone.now() - 2000 * DAY, by=BY, at=timezone.now(), most=10)
        assert ages() == []
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert ages() == [4000]
    assert append_only.missing(connection) == []
    with pytest.raises(DatabaseError, match="written once"):
        run("DELETE FROM governance_kpievent")


def test_a_missing_or_replaced_function_is_noticed_and_made_again() -> None:
    assert database.missing(connection) == []
    if connection.vendor != "postgresql":
        return
    for name in ("valhalla_remove_expired", "valhalla_erase_words", "valhalla_written_once"):
        run(
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RETURN OLD; END $$"
        )
        assert name in [*database.missing(connection), *append_only.missing(connection)]
    run('DROP TRIGGER "valhalla_remove_expired_before" ON governance_removal')
    assert "valhalla_remove_expired_before" in database.missing(connection)

    call_command("migrate", verbosity=0, interactive=False)

    assert [*database.missing(connection), *append_only.missing(connection)] == []


# --- words beside suppressions and consents -----------------------------------------------------------------


def test_the_words_of_an_erased_point_are_blanked_and_nothing_else() -> None:
    hers, other = phone_point().digest, phone_point("+1 416 555 0177").digest
    for point in (hers, other):
        SuppressionFactory.create(point_digest=point, reason="Anne said so")
        ConsentFactory.create(point_digest=point, obtained_how="by Anne", evidence="her letter")
    before = Suppression.objects.filter(point_digest=hers).values().get()

    erasure = ErasureFactory.build(points=[hers])
    with transaction.atomic():
        erasure.save()
        if connection.vendor != "postgresql":
            database.erase_words_by_hand(connection, [hers])

    assert Suppression.objects.filter(point_digest=hers).values().get() == {**before, "reason": ""}
    assert Suppression.objects.get(point_digest=other).reason == "Anne said so"
    kept = Consent.objects.get(point_digest=hers)
    assert (kept.obtained_how, kept.evidence) == ("", "")
    assert Consent.objects.get(point_digest=other).evidence == "her letter"
    for table in ("governance_suppression", "governance_consent"):
        for statement in (*attacks(table), f"UPDATE {table} SET {words_of(table)} = ''"):
            with pytest.raises(DatabaseError, match="written once"):
                run(statement)
    assert append_only.missing(connection) == []


def words_of(table: str) -> str:
    return append_only.words_in_tables()[table][0]


# --- the managers' periods ----------------------------------------------------------------------------------


def test_a_manager_changes_a_period_with_a_reason(by: Callable[..., Actor]) -> None:
    period = set_period("kpi_events", 1000, by=by(Role.MANAGER), at=timezone.now(), reason="less is enough")

    assert (period.days, period.version, period.changed_by) == (1000, 2, "a-manager")
    assert list(period.history.values_list("days", flat=True)) == [1000, FIVE_YEARS]


def test_no_change_makes_no_version(by: Callable[..., Actor]) -> None:
    period = set_period("kpi_events", FIVE_YEARS, by=by(Role.MANAGER), at=timezone.now(), reason="again")

    assert period.version == 1


def test_a_period_cannot_go_below_the_least_one(by: Callable[..., Actor]) -> None:
    with pytest.raises(Invalid) as refused:
        set_period("contact_decisions", 1095, by=by(Role.MANAGER), at=timezone.now(), reason="too much")

    assert "1096" in str(refused.value.errors["days"])


@pytest.mark.parametrize("days", [0, 36_526])
def test_a_period_is_a_number_of_days_that_makes_sense(by: Callable[..., Actor], days: int) -> None:
    with pytest.raises(Invalid):
        set_period("job_runs", days, by=by(Role.MANAGER), at=timezone.now(), reason="why not")


@pytest.mark.parametrize("role", [Role.VA, Role.CLOSER, Role.AUDITOR, Role.SERVICE])
def test_nobody_else_changes_one(by: Callable[..., Actor], role: str) -> None:
    with pytest.raises(Forbidden):
        set_period("kpi_events", 1000, by=by(role), at=timezone.now(), reason="why not")


def test_a_change_needs_a_reason_a_subject_and_the_version_seen(by: Callable[..., Actor]) -> None:
    manager, at = by(Role.MANAGER), timezone.now()
    with pytest.raises(Invalid):
        set_period("kpi_events", 1000, by=manager, at=at, reason=" ")
    with pytest.raises(NotFound):
        set_period("weather", 1000, by=manager, at=at, reason="rain")
    with pytest.raises(Refused) as refused:
        set_period("kpi_events", 1000, by=manager, at=at, reason="late", expected_version=7)
    assert refused.value.code == "stale_version"


def test_a_manager_changes_a_period_on_its_screen(client: Client, person: Callable[..., User]) -> None:
    client.force_login(person(Role.MANAGER))
    period = RetentionPeriod.objects.get(subject="contact_decisions")
    url = f"/admin/governance/retentionperiod/{period.pk}/change/"
    form = {"days": "1000", "change_reason": "less", "seen_version": period.version}

    refused = client.post(url, form)
    assert refused.status_code == 200
    assert list(refused.context["adminform"].form.errors) == ["days"]
    assert client.post(url, {**form, "days": "", "change_reason": ""}).status_code == 200
    period.refresh_from_db()
    assert (period.days, period.version) == (1096, 1)

    assert client.post(url, {**form, "days": ""}).status_code == 302
    period.refresh_from_db()
    assert (period.days, period.version, period.reason) == (None, 2, "less")


def test_every_rule_has_a_table_an_index_friendly_age_and_a_seeded_period() -> None:
    for rule in registry.rules():
        assert rule.days is None or rule.days >= rule.least_days, rule.subject
        assert RetentionPeriod.objects.get(subject=rule.subject).days == rule.days
        with connection.cursor() as cursor:
            columns = {c.name for c in connection.introspection.get_table_description(cursor, rule.table)}
        assert rule.age in columns
    assert Erasure._meta.db_table == database.ERASURES
    assert Removal._meta.db_table == database.REMOVALS


def test_the_docs_name_every_period() -> None:
    page = (Path(settings.BASE_DIR) / "docs" / "retention-and-erasure.md").read_text()
    for rule in registry.rules():
        label = str(rule.label)
        name = label if label[1].isupper() else label[0].lower() + label[1:]
        row = f"| {name} | {days_told(rule.days or 0)} | {days_told(rule.least_days)} |"
        assert row.replace("\u00a0", " ") in page
