"""Fills a PostgreSQL database with the data of several years of work.

The database itself creates the rows (INSERT … SELECT generate_series), so that a million tasks take a minute.
They are added to those of the seeds and the services: ids start at a million, names with `V-`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.apps import apps
from django.core.management.color import no_style
from django.db import connection, transaction

FIRST = 1_000_000
STEPS = 6
DAYS = 300
OPEN_SHARE = 5  # one lead in so many is still being followed up
OWNERS = 12
MARKETS = 40
DELAYS = ("0", "30 min", "3 h", "1 day", "3 days", "7 days")
METRICS = ("followup_completed", "followup_sla", "contact_compliance", "ladder_created", "offer_generated")
OWNER = f"CASE WHEN n % 4 = 0 THEN '' ELSE 'va' || n % {OWNERS} END"
PROVINCES = ("BC", "AB", "SK", "MB", "ON", "QC", "NB", "NS", "PE", "NL", "YT", "NT", "NU")
Backlog = Literal["newest", "oldest"]


def one_of(values: tuple[str, ...], number: str, kind: str = "text") -> str:
    """Return the SQL for one of some texts, by a number."""
    listed = ", ".join(f"'{value}'" for value in values)
    return f"(ARRAY[{listed}]::{kind}[])[({number}) % {len(values)} + 1]"


def insert(model: str, source: str, /, **columns: str) -> None:
    """Insert a row of `model` per row of `source`; a column without an expression has its field's default."""
    meta = apps.get_model(model)._meta
    names: list[str] = []
    values: list[str] = []
    parameters: list[Any] = []
    for field in meta.concrete_fields:
        expression = columns.pop(field.attname, None)
        if expression is None and field.primary_key:
            continue
        names.append(connection.ops.quote_name(field.column))
        if expression is None:
            parameters.append(field.get_db_prep_save(field.get_default(), connection))
        values.append("%s" if expression is None else f"({_escaped(expression)})")
        values[-1] += f"::{field.db_type(connection)}"
    assert not columns, f"{model} has no {sorted(columns)}"
    table = connection.ops.quote_name(meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} FROM {_escaped(source)}",
            parameters,
        )


def _escaped(sql: str) -> str:
    return sql.replace("%", "%%")


def series(count: int, name: str = "n") -> str:
    return f"generate_series(1, {count}) AS {name}"


@transaction.atomic
def fill(tasks: int, at: datetime, *, backlog: Backlog = "newest") -> None:
    """Create so many tasks, six per lead, over 300 days until `at`, as many KPI events, and related rows.

    One lead in five is open, the newest ones or the oldest ones. Of these one in fifty is blocked, one in
    twenty snoozed and one in a hundred claimed, half of the claims expired. One in four has no owner.
    """
    assert connection.vendor == "postgresql", "only PostgreSQL is filled"
    leads = -(-tasks // STEPS)
    with connection.cursor() as cursor:
        # the references are right; checking each of them doubles the time
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("SET LOCAL work_mem = '256MB'")
    is_open = f"n > {leads - leads // OPEN_SHARE}" if backlog == "newest" else f"n <= {leads // OPEN_SHARE}"
    _leads(leads, at, is_open)
    _tasks(leads, at, is_open)
    _events(tasks, at)
    _buyers(max(tasks // 4, 1000), at)
    _offers(max(tasks // 4, 1000), at)
    _risk(max(tasks // 4, 1000), at)
    _go_on_counting()


def _instant(at: datetime) -> str:
    return f"'{at.isoformat()}'::timestamptz"


def _spread(count: int, at: datetime) -> str:
    """Return the SQL for the instant of row n when `count` rows are spread evenly until `at`."""
    return f"{_instant(at)} - interval '{DAYS} days' * ({count} - n) / {count}"


def _leads(leads: int, at: datetime, is_open: str) -> None:
    rows, key, began = series(leads), f"{FIRST} + n", _spread(leads, at)
    insert(
        "followups.Lead", rows, id=key, external_id="'V-' || n", name="'Lead ' || n",
        province=one_of(PROVINCES, "n"), score="0.7", created_at=began, updated_at=began,
        status=f"CASE WHEN {is_open} THEN 'WORKING' ELSE 'HANDED_OVER' END",
    )  # fmt: skip
    insert(
        "followups.ContactPoint",
        rows,
        id=key,
        lead_id=key,
        kind="'PHONE'",
        digest=digest("n"),
        value="'+1416' || lpad(n::text, 7, '0')",
    )
    insert(
        "followups.Ladder", rows, id=key, lead_id=key, owner=OWNER, started_at=began,
        template_id="(SELECT min(id) FROM followups_laddertemplate)", template_version="1",
        steps="(SELECT steps FROM followups_laddertemplate ORDER BY id LIMIT 1)",
        status=f"CASE WHEN {is_open} THEN 'ACTIVE' ELSE 'COMPLETED' END",
    )  # fmt: skip
    # the national list is long; one lead in fifty is on it
    insert(
        "governance.Suppression",
        series(leads * 2),
        point_digest=digest("n * 50"),
        channel="'CALL'",
        source="'NATIONAL_LIST'",
        at=_instant(at),
    )
    insert(
        "governance.Consent",
        rows,
        point_digest=digest("n"),
        channel="'SMS'",
        kind="'EXPRESS'",
        obtained_how="'web form'",
        at=began,
    )


def digest(number: str) -> str:
    """Return the SQL for a substitute for the keyed hash of lead `number`'s phone."""
    return f"md5('a' || {number}) || md5('b' || {number})"


def _tasks(leads: int, at: datetime, is_open: str) -> None:
    now = _instant(at)
    held, first = "opened AND n % 50 = 0", "opened AND step = 1"
    claimed = f"{first} AND n % 100 = 3"
    late = "n * 7 % 300 * interval '1 minute'"  # how late a completed one was, up to five hours
    rows = f"""(
        SELECT n, step, {is_open} AS opened, {_spread(leads, at)} AS began,
            {_spread(leads, at)} + {one_of(DELAYS, "step - 1", "interval")} AS due
        FROM {series(leads)}, {series(STEPS, "step")}) AS tasks"""

    def unless_held(instant: str) -> str:
        return f"CASE WHEN NOT ({held}) THEN {instant} END"

    insert(
        "followups.FollowUpTask", rows, id=f"{FIRST} + (n - 1) * {STEPS} + step", lead_id=f"{FIRST} + n",
        ladder_id=f"{FIRST} + n", contact_point_id=f"{FIRST} + n", step="step",
        channel=one_of(("SMS", "CALL"), "step - 1"), province=one_of(PROVINCES, "n"), market_key="'ALL'",
        owner=OWNER, owner_key=OWNER, scheduled_for="due", due_at=unless_held("due"),
        zone="'America/Toronto'",
        held_reason=f"CASE WHEN {held} THEN 'suppressed' ELSE '' END",
        snoozed_until=f"CASE WHEN {first} AND n % 20 = 1 THEN {now} + interval '1 day' END",
        status="CASE WHEN opened THEN 'OPEN' ELSE 'COMPLETED' END", is_current=first,
        claimed_by=f"CASE WHEN {claimed} THEN 'va' || n % {OWNERS} ELSE '' END",
        claim_token=f"CASE WHEN {claimed} THEN md5('c' || n) ELSE '' END",
        claimed_at=f"CASE WHEN {claimed} THEN {now} - interval '10 minutes' END",
        claim_until=f"CASE WHEN {claimed} THEN {now} + (n / 100 % 20 - 8) * interval '1 minute' END",
        outcome="CASE WHEN opened THEN '' ELSE 'NO_ANSWER' END",
        contacted_at=f"CASE WHEN NOT opened THEN due + {late} END",
        completed_at=f"CASE WHEN NOT opened THEN due + {late} END",
        response_minutes="CASE WHEN NOT opened THEN n * 7 % 300 END",
        response_wall_minutes="CASE WHEN NOT opened THEN n * 7 % 300 END",
        sla_5m_at=unless_held("due + interval '5 minutes'"),
        sla_30m_at=unless_held("due + interval '30 minutes'"),
        sla_2h_at=unless_held("due + interval '2 hours'"),
        sla_counted=f"NOT opened OR due < {now} - interval '1 day'", created_at="began",
    )  # fmt: skip


def _events(count: int, at: datetime) -> None:
    began, lead = _spread(count, at), f"n % {max(count // STEPS, 1)} + 1"
    insert(
        "governance.KpiEvent", series(count), domain="'WHOLESALE'", metric=one_of(METRICS, "n"),
        success="n % 7 > 0", value="n % 100", correlation_id="'c' || n", created_at=began,
    )  # fmt: skip
    insert(
        "governance.ContactDecision", series(count), door="'COMPLETE'", lead_id=f"'V-' || {lead}",
        task_id=f"{FIRST} + n", province=one_of(PROVINCES, "n"), market="'ALL'",
        channel=one_of(("SMS", "CALL"), "n"), at=began, zones="'[]'", local_times="'[]'", ok="n % 9 > 0",
        reason="CASE WHEN n % 9 > 0 THEN 'within_window' ELSE 'holiday' END", created_at=began,
    )  # fmt: skip


def _buyers(count: int, at: datetime) -> None:
    buyers, nodes, began = count // 50, len(PROVINCES) * MARKETS, _spread(count, at)
    insert(
        "buyers.Buyer",
        series(buyers),
        id=f"{FIRST} + n",
        external_id="'B-' || n",
        created_at=_instant(at),
        updated_at=_instant(at),
    )
    insert(
        "buyers.BuyerLiquidityNode", series(nodes), id=f"{FIRST} + n", province=one_of(PROVINCES, "n"),
        market=f"'MARKET ' || n / {len(PROVINCES)}", market_key=f"'MARKET ' || n / {len(PROVINCES)}",
        responded="n", score="n % 90", active_since=f"{_instant(at)} - interval '90 days'",
        updated_at=_instant(at),
    )  # fmt: skip
    insert(
        "buyers.BuyerFeedbackEvent",
        series(count),
        node_id=f"{FIRST} + n % {nodes} + 1",
        buyer_id=f"{FIRST} + n % {buyers} + 1",
        event=one_of(("RESPONDED", "NO_RESPONSE"), "n"),
        correlation_id="'c' || n",
        created_at=began,
    )
    insert(
        "buyers.BuyerActivity",
        f"(SELECT DISTINCT n % {nodes} AS node, n % {buyers} AS buyer FROM {series(count)}) AS pairs",
        node_id=f"{FIRST} + node + 1",
        buyer_id=f"{FIRST} + buyer + 1",
        last_active_at=f"{_instant(at)} - interval '100 days' * buyer / {buyers}",
    )


def _offers(count: int, at: datetime) -> None:
    rows, key, lead, began = series(count), f"{FIRST} + n", "'V-' || n", _spread(count, at)
    insert(
        "offers.OfferEvidence", rows, id=key, lead_id=lead, province=one_of(PROVINCES, "n"),
        policy_id="(SELECT min(id) FROM offers_offerpolicy)", policy_version="1", policy_values="'{}'",
        arv="450000", max_arv_multiplier="0.7", repairs="50000", fees_buffer="2500", assignment_fee="10000",
        mao="262500", recommended_offer="n % 250000", binding="'formula'", floored="false",
        comps_statistics="'{}'", comps_grade="'D'", rules_version="1", digest="md5(n::text)",
        correlation_id="'c' || n", created_at=began,
    )  # fmt: skip
    insert("offers.Offer", rows, evidence_id=key, lead_id=lead, updated_at=began)


def _risk(count: int, at: datetime) -> None:
    """Create reservations of one dollar, nearly all settled, and the matching ledger."""
    began, key, is_open = _spread(count, at), f"{FIRST} + n", "n % 5000 = 0"
    insert(
        "governance.RiskReservation", series(count), id=key, engine="'WHOLESALE'", amount="100",
        day=f"(({began}) AT TIME ZONE 'UTC')::date", correlation_id="'c' || n", created_at=began,
        state=f"CASE WHEN {is_open} THEN 'PENDING' ELSE 'SETTLED' END",
        realized_loss=f"CASE WHEN {is_open} THEN NULL ELSE 0 END",
        closed_at=f"CASE WHEN {is_open} THEN NULL ELSE {began} END",
    )  # fmt: skip
    insert(
        "governance.RiskEvent", series(count), kind="'RESERVED'", engine="'WHOLESALE'", amount="100",
        reservation_id=key, correlation_id="'c' || n", created_at=began,
    )  # fmt: skip
    insert(
        "governance.RiskLedgerDay",
        "(SELECT day, scope, count(*) AS made FROM governance_riskreservation,"
        " (VALUES ('WHOLESALE'), ('GLOBAL')) AS scopes (scope) GROUP BY day, scope) AS days",
        day="day",
        engine="scope",
        exposure="100 * made",
        actions="made",
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE governance_riskengine SET open_risk = (SELECT COALESCE(sum(amount), 0) FROM"
            " governance_riskreservation WHERE state = 'PENDING') WHERE engine IN ('WHOLESALE', 'GLOBAL')"
        )


def _go_on_counting() -> None:
    """Let new ids start after the existing ones."""
    models = [
        model
        for label in ("governance", "followups", "buyers", "offers")
        for model in apps.get_app_config(label).get_models()
    ]
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)


def analyze() -> None:
    """Update the planner's statistics and the visibility map."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
