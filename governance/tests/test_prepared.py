"""A prepared question answers what its queryset answers, and works its SQL out once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import FieldDoesNotExist
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import (
    BigIntegerField,
    BooleanField,
    CharField,
    DateField,
    DateTimeField,
    F,
    IntegerField,
    Model,
)
from django.db.models.sql.compiler import SQLCompiler, SQLUpdateCompiler
from django.test.utils import CaptureQueriesContext

from governance.accounts.querysets import tokens_of
from governance.core import compiled
from governance.core.compiled import (
    CompiledFilter,
    CompiledQuery,
    CompiledUpdate,
    Instant,
    Listed,
    Param,
    insert_if_new,
    insert_rows,
    update_rows,
)
from governance.models import (
    ApiToken,
    Closure,
    Consent,
    HeimdallPolicy,
    KpiEvent,
    MarketPolicy,
    Suppression,
    User,
    WorkProfile,
)
from governance.risk.models import RiskReservation

pytestmark = [pytest.mark.both, pytest.mark.django_db]
NOW = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)


@pytest.fixture
def worked_out(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The SQL that Django works out while the test runs."""
    found: list[str] = []
    for compiler in (SQLCompiler, SQLUpdateCompiler):
        _note(compiler, found, monkeypatch)
    return found


def _note(compiler: type[SQLCompiler], found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    original = compiler.as_sql

    def as_sql(self: SQLCompiler, *args: Any, **kwargs: Any) -> object:
        found.append(str(self.query.model))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(compiler, "as_sql", as_sql)


def test_rows_come_as_instances_with_their_relations_and_the_sql_is_worked_out_once(
    person: Callable[..., User], worked_out: list[str]
) -> None:
    for name in ("anna", "bo"):
        ApiToken.objects.create(user=person("VA", name), expiry=timedelta(days=1), scopes=["policy"])
    keys = dict(ApiToken.objects.values_list("user__username", "token_key"))
    tokens_of(key="-")
    worked_out.clear()
    with CaptureQueriesContext(connection) as told:
        found = {name: tokens_of(key=key) for name, key in keys.items()}
    assert worked_out == []
    assert len(told) == 2
    for name, tokens in found.items():
        (token,) = tokens
        with CaptureQueriesContext(connection) as told:
            assert (token.user.username, token.user.role, token.scopes) == (name, "VA", ["policy"])
            assert getattr(token.user, "work_profile", None) is None
        assert len(told) == 0


@CompiledQuery
def tokens_with_users() -> object:
    return ApiToken.objects.select_related("user__work_profile").defer("scopes").order_by("user__username")


def test_instances_are_those_that_the_queryset_makes(person: Callable[..., User]) -> None:
    """Compiled queries make them without `__init__`, which takes ten times as long."""
    for name in ("anna", "bo"):
        ApiToken.objects.create(user=person("VA", name), expiry=timedelta(days=1), scopes=[name])
    WorkProfile.objects.create(user=User.objects.get(username="bo"), provinces=["ON"])

    def everything(one: Model | None) -> object:
        if one is None:
            return None
        values = {name: value for name, value in vars(one).items() if name != "_state"}
        cached = {name: everything(row) for name, row in one._state.fields_cache.items()}
        return type(one), values, one._state.adding, one._state.db, one.get_deferred_fields(), cached

    plain = ApiToken.objects.select_related("user__work_profile").defer("scopes").order_by("user__username")
    made = tokens_with_users()
    for one in (*made, *plain):  # the way back from a profile to its user would never end
        profile = one.user._state.fields_cache["work_profile"]
        if profile is not None:
            assert profile._state.fields_cache.pop("user") is one.user
    assert [everything(one) for one in made] == [everything(one) for one in plain]
    assert [one.scopes for one in made] == [["anna"], ["bo"]]
    made[0].user.first_name = "Anna"
    made[0].user.save()
    assert User.objects.get(username="anna").first_name == "Anna"


@CompiledQuery
def long_series() -> object:
    since = Param("since", DateTimeField())
    rows = KpiEvent.objects.filter(metric=Param("metric"), created_at__gte=since).order_by("id")
    return rows.values_list("metric", "value", "detail", "created_at")[:2]


def test_values_come_as_tuples_with_json_decimals_and_instants_as_ever() -> None:
    KpiEvent.objects.bulk_create(
        KpiEvent(domain="X", metric="m", value=number, detail={"n": number}, created_at=NOW + number * HOUR)
        for number in range(4)
    )
    plain = KpiEvent.objects.filter(metric="m", created_at__gte=NOW + HOUR).order_by("id")
    expected = list(plain.values_list("metric", "value", "detail", "created_at")[:2])
    assert long_series(metric="m", since=NOW + HOUR) == expected
    assert [row[3] for row in expected] == [NOW + HOUR, NOW + 2 * HOUR]
    assert long_series(metric="other", since=NOW) == []


HOUR = timedelta(hours=1)


@CompiledQuery
def of_points() -> object:
    rows = Suppression.objects.filter(point_digest__any_of=Listed("digests")).order_by("id")
    return rows.values_list("point_digest", flat=True)


@pytest.mark.parametrize("digests", [[], ["a"], ["a", "b", "none"], ["it's", 'a "quote"', "a,b", "{c}", "ü"]])
def test_a_list_of_any_length_is_one_parameter(digests: list[str]) -> None:
    for digest in ("a", "b", "c", "it's", 'a "quote"', "a,b", "{c}", "ü"):
        Suppression.objects.create(point_digest=digest, source="MANAGER", at=NOW)
    expected = Suppression.objects.filter(point_digest__in=digests).order_by("id")
    assert of_points(digests=digests) == list(expected.values_list("point_digest", flat=True))


@CompiledQuery
def closed_between() -> object:
    days = (Param("since", DateField()), Param("until", DateField()))
    return Closure.objects.filter(date__range=days, pk__any_of=Listed("ids")).order_by("date")


def test_days_and_ids_are_bound_as_the_database_keeps_them() -> None:
    rows = [Closure.objects.create(name="x", date=date(2026, 1, day), closed=True) for day in (1, 2, 3)]
    ids = [row.pk for row in rows]
    assert closed_between(since=date(2026, 1, 2), until=date(2026, 1, 9), ids=ids) == rows[1:]
    assert closed_between(since=date(2026, 1, 2), until=date(2026, 1, 9), ids=ids[:2]) == [rows[1]]


def test_a_lookup_that_changes_its_text_is_refused_where_it_would_ask_for_the_slot_itself() -> None:
    of_any_case = CompiledQuery(lambda: MarketPolicy.objects.filter(market__iexact=Param("name")))
    if connection.vendor == "sqlite":
        with pytest.raises(TypeError):
            of_any_case(name="all")
    else:
        assert len(of_any_case(name="all")) == 13


@CompiledQuery
def by_id() -> object:
    return Closure.objects.filter(pk=Param("id", BigIntegerField()))


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_a_number_that_no_column_can_hold_finds_nothing(number: int) -> None:
    assert by_id(id=number) == list(Closure.objects.filter(pk=number)) == []


def test_a_value_that_is_not_named_is_an_error() -> None:
    with pytest.raises(KeyError):
        of_points()


@pytest.mark.django_db(transaction=True)
def test_threads_ask_on_connections_of_their_own() -> None:
    MarketPolicy.objects.effective(MarketPolicy.objects.get(province="ON").place)
    found: list[str] = []

    def ask() -> None:
        try:
            for policy in MarketPolicy.objects.order_by("id"):
                found.append(MarketPolicy.objects.effective(policy.place).province)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 8 * 13
    assert set(found) == set(MarketPolicy.objects.values_list("province", flat=True))


# --- writing ------------------------------------------------------------------------------------------------


def test_rows_are_written_as_bulk_update_writes_them_in_one_statement() -> None:
    names = ["market", "enabled", "timezone", "rules"]
    rows = list(MarketPolicy.objects.order_by("id"))
    for number, row in enumerate(rows):
        row.market, row.enabled, row.timezone = f"IT'S {number} %s", number % 2 == 0, ""
        row.rules = {"a": [number, None, 'ü "%s"']} if number % 3 else {}
    before = list(MarketPolicy.objects.order_by("id").values(*names))
    with transaction.atomic():
        MarketPolicy.objects.bulk_update(rows, names)
        expected = list(MarketPolicy.objects.order_by("id").values(*names))
        transaction.set_rollback(True)
    assert list(MarketPolicy.objects.order_by("id").values(*names)) == before
    with CaptureQueriesContext(connection) as written:
        assert update_rows(rows, names) == len(rows)
    assert len(written) == 1
    assert list(MarketPolicy.objects.order_by("id").values(*names)) == expected
    assert [row["market"] for row in expected] == [row.market for row in rows]


def test_a_missing_value_a_decimal_and_a_foreign_key_are_written(
    person: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, bo = person("VA", "anna"), person("VA", "bo")
    ApiToken.objects.create(user=anna, expiry=timedelta(days=1), scopes=["policy"])
    token = ApiToken.objects.get()
    token.user, token.last_used_at, token.expiry = bo, NOW, None
    update_rows([token], ["user", "last_used_at", "expiry"])
    assert list(ApiToken.objects.values_list("user", "last_used_at", "expiry")) == [(bo.pk, NOW, None)]
    policies = list(HeimdallPolicy.objects.order_by("id"))
    for number, policy in enumerate(policies):
        policy.min_confidence_prod = Decimal(number) / 8
    monkeypatch.setattr(compiled, "MOST_PARAMETERS", 5)  # several statements
    update_rows(policies, ["min_confidence_prod"])
    kept = HeimdallPolicy.objects.order_by("id").values_list("min_confidence_prod", flat=True)
    assert list(kept) == [Decimal(number) / 8 for number in range(len(policies))]


def test_no_rows_need_no_statement_and_an_unknown_field_is_an_error() -> None:
    with CaptureQueriesContext(connection) as written:
        assert update_rows([], ["market"]) == 0
    assert len(written) == 0
    with pytest.raises(FieldDoesNotExist):
        update_rows([MarketPolicy()], ["no_such_field"])


def test_rows_are_inserted_as_bulk_create_inserts_them_and_get_their_ids(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def events(metric: str) -> list[KpiEvent]:
        return [
            KpiEvent(
                domain="IT'S %s",
                metric=metric,
                success=(None, True, False)[number % 3],
                created_at=NOW,
                value=Decimal(number) / 8 if number % 2 else None,
                detail={"ü": [number, None]},
            )
            for number in range(7)
        ]

    KpiEvent.objects.bulk_create(events("as ever"))
    monkeypatch.setattr(compiled, "MOST_PARAMETERS", 40)  # several statements
    made = events("compiled")
    insert_rows(made)

    def stored(metric: str) -> list[Any]:
        rows = KpiEvent.objects.filter(metric=metric).order_by("id").values()
        return [{name: value for name, value in row.items() if name not in ("id", "metric")} for row in rows]

    assert stored("compiled") == stored("as ever")
    assert [row.pk for row in made] == list(
        KpiEvent.objects.filter(metric="compiled").order_by("id").values_list("pk", flat=True)
    )
    with CaptureQueriesContext(connection) as written:
        made[0].refresh_from_db()
        insert_rows([])
    assert len(written) == 1


@pytest.mark.parametrize("count", [1, 3])
def test_many_rows_are_inserted_as_few_whatever_their_texts(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [
        "",
        " ",
        "\\",
        "\\N",
        "\\.",
        "\t",
        "a\nb",
        "\r\n",
        "%s %(a)s 100%",
        "IT'S",
        "ü \U0001f600 \u2028",
        '"',
    ]

    def consents(channel: str) -> list[Consent]:
        return [
            Consent(
                point_digest="d", channel=channel, kind=kind, obtained_how=text, evidence=text[::-1],
                at=NOW + timedelta(microseconds=number), expires_at=NOW if number % 3 else None,
            )
            for number, text in enumerate(texts[-count:] if count == 1 else texts)
            for kind in (Consent.Kind.EXPRESS, "INQUIRY")
        ]  # fmt: skip

    def events(metric: str) -> list[KpiEvent]:
        shared = {"text": texts, "none": None, "nested": {"%": [1.5, True]}}
        return [
            KpiEvent(
                domain="%s", metric=metric, detail=shared if number % 2 else {"text": text},
                success=(None, True, False)[number % 3], value=Decimal(number) / 8 if number % 5 else None,
                created_at=NOW,
            )
            for number, text in enumerate(texts[:count] if count == 1 else texts)
        ]  # fmt: skip

    def stored(rows: Sequence[Model]) -> list[dict[str, Any]]:
        found = type(rows[0])._default_manager.filter(pk__in=[row.pk for row in rows]).order_by("id").values()
        return [{k: v for k, v in row.items() if k not in ("id", "metric", "channel")} for row in found]

    few, many = [*consents("SMS")], [*consents("CALL")]
    few_events, many_events = events("few"), events("many")
    monkeypatch.setattr(compiled, "COPIED_FROM", 1000)
    insert_rows(few)
    insert_rows(few_events)
    monkeypatch.setattr(compiled, "COPIED_FROM", 1)
    with CaptureQueriesContext(connection) as written:
        insert_rows(many)
    insert_rows(many_events)
    assert ("COPY" in written[-1]["sql"]) == (connection.vendor == "postgresql")
    assert stored(many) == stored(few)
    assert stored(many_events) == stored(few_events)
    assert [row.obtained_how for row in Consent.objects.filter(channel="CALL").order_by("pk")] == [
        row.obtained_how for row in many
    ]
    assert not any(row._state.adding for row in many)


def test_many_rows_are_refused_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "COPIED_FROM", 1)
    insert_rows([Closure(id=4_000_001, name="x", date=date(2026, 1, 2), closed=True)])
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_rows([Closure(id=4_000_001, name="y", date=date(2026, 1, 3), closed=True)])
    if connection.vendor == "postgresql":
        with pytest.raises(ValueError, match="no time zone"), transaction.atomic():
            insert_rows([KpiEvent(domain="x", metric="y", created_at=NOW.replace(tzinfo=None))])


def test_a_row_with_a_key_of_its_own_keeps_it_and_a_constraint_still_holds() -> None:
    insert_rows([Closure(id=4_000_000, name="x", date=date(2026, 1, 2), closed=True)])
    assert Closure.objects.get(pk=4_000_000).name == "x"
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_rows([Closure(id=4_000_000, name="y", date=date(2026, 1, 3), closed=True)])


ENABLED = CompiledFilter(
    lambda: MarketPolicy.objects.order_by("province"), province=CharField(), enabled=BooleanField()
)


def test_a_filter_that_is_not_given_does_not_narrow_and_a_limit_holds() -> None:
    MarketPolicy.objects.filter(province="ON").update(enabled=False)
    rows = MarketPolicy.objects.order_by("province")
    assert ENABLED(100) == list(rows)
    assert ENABLED(3, province=None, enabled=None) == list(rows[:3])
    assert ENABLED(100, enabled=False) == list(rows.filter(enabled=False))
    assert ENABLED(100, province="ON", enabled=True) == []
    assert [row.province for row in ENABLED(100, province="ON", enabled=False)] == ["ON"]
    assert ENABLED(100, province="QC") == list(rows.filter(province="QC"))


def test_an_amount_is_stored_in_cents_whatever_type_it_has() -> None:
    amounts: tuple[Any, ...] = (5, Decimal("5.00"))
    for number, amount in enumerate(amounts):
        for count in (1, 20):
            day = date(2026, 1, 1 + number)
            insert_rows([RiskReservation(engine=f"E{count}", amount=amount, day=day, created_at=NOW)] * count)
    assert set(RiskReservation.objects.values_list("amount", flat=True)) == {Decimal("5.00")}
    first = RiskReservation.objects.earliest("pk")
    first.amount = 7
    update_rows([first], ["amount"])
    assert RiskReservation.objects.get(pk=first.pk).amount == Decimal("7.00")


def test_a_row_is_inserted_only_if_no_other_has_its_unique_values() -> None:
    first = User(username="anna", role="VA")
    assert insert_if_new(first)
    assert User.objects.get(username="anna").pk == first.pk
    second = User(username="anna", role="MANAGER")
    assert not insert_if_new(second)
    assert User.objects.get(username="anna").role == "VA"
    with pytest.raises(IntegrityError), transaction.atomic():  # what is no duplicate is still refused
        insert_if_new(User(username="bo", role="NOBODY"))


@CompiledQuery
def before_and_since() -> object:
    at = Instant("at")
    between = KpiEvent.objects.filter(created_at__gte=at - HOUR - HOUR, created_at__lt=at)
    return between.order_by("id").values_list("metric", flat=True)


def test_an_instant_is_passed_once_for_all_that_is_reckoned_from_it() -> None:
    insert_rows([KpiEvent(domain="X", metric=f"{n}", created_at=NOW - n * HOUR) for n in range(4)])
    assert before_and_since(at=NOW) == ["1", "2"]
    assert before_and_since(at=NOW + HOUR) == ["0", "1"]


# --- updates ------------------------------------------------------------------------------------------------

WHOLE_NUMBERS = IntegerField()
of_domain = CompiledUpdate(
    lambda: HeimdallPolicy.objects.filter(domain=Param("domain"), version__lt=Param("below", WHOLE_NUMBERS)),
    version=F("version") + Param("more", WHOLE_NUMBERS),
)


def test_an_update_changes_what_update_changes_and_its_sql_is_worked_out_once(worked_out: list[str]) -> None:
    first, second, *_others = HeimdallPolicy.objects.order_by("id")
    new = {"min_sandbox_trials": 7, "reason": "it's 100 %s", "min_confidence_prod": Decimal("0.25")}
    for policy in (first, second):
        before = HeimdallPolicy.objects.filter(pk=policy.pk).values().get()
        rows = HeimdallPolicy.objects.filter(domain=policy.domain, version__lt=5)
        with transaction.atomic():
            assert rows.update(version=F("version") + 2, **new) == 1
            expected = list(HeimdallPolicy.objects.order_by("id").values())
            transaction.set_rollback(True)
        worked_out.clear()  # of the updates above
        assert of_domain(new, domain=policy.domain, below=5, more=2) == 1
        assert bool(worked_out) is (policy == first)
        assert list(HeimdallPolicy.objects.order_by("id").values()) == expected
        HeimdallPolicy.objects.filter(pk=policy.pk).update(**before)
    assert of_domain(new, domain=first.domain, below=first.version, more=2) == 0


def test_an_update_writes_none_json_instants_and_keys(person: Callable[..., User]) -> None:
    anna, bo = person("VA", "anna"), person("VA", "bo")
    ApiToken.objects.create(user=anna, expiry=timedelta(days=1), scopes=["policy"])
    of_user = CompiledUpdate(lambda: ApiToken.objects.filter(user_id=Param("user_id", BigIntegerField())))
    for values in ({"expiry": None, "last_used_at": NOW, "scopes": ["a", None]}, {"user_id": bo.pk}):
        assert of_user(values, user_id=anna.pk) == 1
        assert ApiToken.objects.values(*values).get() == values
    with pytest.raises(KeyError):
        of_user({"expiry": None})
