"""What tests of governance need in the database, through the services where there is one."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import factory
from factory.django import DjangoModelFactory

from governance.accounts.models import AccountChange
from governance.contact.digests import EMAIL, PHONE, area_code, digest, read_email, read_phone
from governance.contact.models import (
    AreaCodeList,
    AreaCodeStatement,
    Closure,
    Consent,
    ConsentStatement,
    ContactDecision,
    DoNotCallImport,
    StatutoryHours,
    Suppression,
)
from governance.core.hooks import LeadFacts, PointFacts
from governance.heimdall.models import HeimdallEvent, HeimdallRecommendation
from governance.kpi.models import KpiEvent
from governance.market.models import MarketPolicy
from governance.retention.models import Erasure, Removal
from governance.risk.models import RiskEvent
from governance.runbook.models import Backup

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)  # Tuesday, 10:00 in Toronto
SELLER_PHONE = "+1 416 555 0199"
SELLER_EMAIL = "seller@example.ca"


def phone_point(text: str = SELLER_PHONE) -> PointFacts:
    return PointFacts(PHONE, digest(PHONE, read_phone(text)), area_code(read_phone(text)))


def email_point(text: str = SELLER_EMAIL) -> PointFacts:
    return PointFacts(EMAIL, digest(EMAIL, read_email(text)))


def lead_of(**other: Any) -> LeadFacts:
    """A lead in Toronto whom nothing forbids to contact."""
    facts: dict[str, object] = {
        "lead_id": "L-1",
        "province": "ON",
        "market": "ALL",
        "city": "Toronto",
        "zone": "",
        "score": Decimal("0.8"),
        "points": (phone_point(), email_point()),
    }
    return LeadFacts(**{**facts, **other})


class MarketPolicyFactory(DjangoModelFactory[MarketPolicy]):
    """A market's own policy beside the seeded one of its province."""

    province = "ON"
    market = factory.Sequence(lambda n: f"MARKET {n}")
    changed_by = "tests"
    updated_at = NOW

    class Meta:
        model = MarketPolicy


class ClosureFactory(DjangoModelFactory[Closure]):
    """A day on which Ontario is closed."""

    province = "ON"
    date = datetime(2026, 11, 25, tzinfo=UTC).date()
    name = "Staff day"

    class Meta:
        model = Closure


class StatutoryHoursFactory(DjangoModelFactory[StatutoryHours]):
    """A law of Ontario's own for texts."""

    jurisdiction = "ON"
    channel = "SMS"
    days = factory.LazyFunction(lambda: [0, 1, 2, 3, 4])
    start = "10:00"
    end = "17:00"
    valid_from = datetime(2026, 1, 1, tzinfo=UTC).date()
    citation = "Texts Act, s. 1"

    class Meta:
        model = StatutoryHours


class SuppressionFactory(DjangoModelFactory[Suppression]):
    """An opt-out of the seller's phone."""

    point_digest = factory.LazyFunction(lambda: phone_point().digest)
    source = Suppression.Source.OPT_OUT
    at = NOW

    class Meta:
        model = Suppression


class ConsentFactory(DjangoModelFactory[Consent]):
    """The seller's express consent to texts."""

    point_digest = factory.LazyFunction(lambda: phone_point().digest)
    channel = "SMS"
    kind = Consent.Kind.EXPRESS
    obtained_how = "web form"
    at = NOW

    class Meta:
        model = Consent


class ConsentStatementFactory(DjangoModelFactory[ConsentStatement]):
    """How the seller's consent to texts was obtained."""

    channel = "SMS"
    how = "A box on the web form that is not ticked before; the form is kept with its time."
    changed_by = "tests"
    updated_at = NOW

    class Meta:
        model = ConsentStatement


class AreaCodeStatementFactory(DjangoModelFactory[AreaCodeStatement]):
    """In 250 only exempt numbers are called."""

    area_code = "250"
    changed_by = "tests"
    updated_at = NOW

    class Meta:
        model = AreaCodeStatement


class DoNotCallImportFactory(DjangoModelFactory[DoNotCallImport]):
    """Yesterday's list, with two numbers."""

    list_date = datetime(2026, 11, 23, tzinfo=UTC).date()
    file_digest = "0" * 64
    numbers = 2
    added = 2
    unreadable = 0
    at = NOW

    class Meta:
        model = DoNotCallImport


class AreaCodeListFactory(DjangoModelFactory[AreaCodeList]):
    """The list of 416."""

    area_code = "416"
    list_date = datetime(2026, 11, 23, tzinfo=UTC).date()
    since = NOW
    source = factory.SubFactory(DoNotCallImportFactory)

    class Meta:
        model = AreaCodeList


class BackupFactory(DjangoModelFactory[Backup]):
    """Last night's backup."""

    file = "/var/backups/valhalla-20261124T030000Z.dump"
    size = 1000
    digest = "0" * 64
    rows = 10
    at = NOW

    class Meta:
        model = Backup


class KpiEventFactory(DjangoModelFactory[KpiEvent]):
    """A completed follow-up."""

    domain = "WHOLESALE"
    metric = "followup_completed"
    success = True
    created_at = NOW

    class Meta:
        model = KpiEvent


class ContactDecisionFactory(DjangoModelFactory[ContactDecision]):
    """An allowed call to a lead in Toronto."""

    door = ContactDecision.Door.START
    lead_id = "L-1"
    province = "ON"
    market = "ALL"
    channel = "CALL"
    at = NOW
    zones = factory.LazyFunction(lambda: ["America/Toronto"])
    local_times = factory.LazyFunction(lambda: ["2026-11-24 10:00 America/Toronto"])
    ok = True
    reason = "within_window"
    created_at = NOW

    class Meta:
        model = ContactDecision


class RiskEventFactory(DjangoModelFactory[RiskEvent]):
    """A reservation that was denied."""

    kind = RiskEvent.Kind.DENIED
    engine = "WHOLESALE"
    amount = Decimal("10000.00")
    code = "max_open_risk"
    created_at = NOW

    class Meta:
        model = RiskEvent


class RemovalFactory(DjangoModelFactory[Removal]):
    """A removal that found nothing to remove."""

    subject = "contact_decisions"
    table_name = "governance_contactdecision"
    age = "created_at"
    before = datetime(2010, 1, 1, tzinfo=UTC)
    count = 0
    at = NOW

    class Meta:
        model = Removal


class AccountChangeFactory(DjangoModelFactory[AccountChange]):
    """A token that a manager issued to a program."""

    kind = "ISSUED"
    person = "dialer"
    person_id = 1
    concerned_token = "0123456789abcdef"
    at = NOW

    class Meta:
        model = AccountChange


class ErasureFactory(DjangoModelFactory[Erasure]):
    """An erasure of a lead of before."""

    kind = "LEAD"
    record_id = factory.Sequence(lambda n: 1_000_000 + n)
    why = "REQUESTED"
    points = factory.LazyFunction(lambda: [phone_point().digest])
    at = NOW

    class Meta:
        model = Erasure


class HeimdallRecommendationFactory(DjangoModelFactory[HeimdallRecommendation]):
    """A recommendation of which the gate thought too little."""

    domain = "BUYER_MATCH"
    confidence = Decimal("0.5")
    reason = "confidence_below_threshold"
    policy_version = 1
    trials = 0
    successes = 0
    created_at = NOW

    class Meta:
        model = HeimdallRecommendation


class HeimdallEventFactory(DjangoModelFactory[HeimdallEvent]):
    """A promotion."""

    domain = "BUYER_MATCH"
    kind = HeimdallEvent.Kind.PROMOTED
    created_at = NOW

    class Meta:
        model = HeimdallEvent
