"""The one gate: whether a person may be contacted, and what is remembered of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from governance import hooks
from governance.actors import By
from governance.contact import digests
from governance.contact.models import (
    Closure,
    Consent,
    ContactDecision,
    HashKeyCheck,
    StatutoryHours,
    Suppression,
)
from governance.contact.querysets import (
    PolicyRow,
    law_and_closures,
    personal_rows,
    personal_rows_by_id,
    plain_closure,
    plain_hours,
    policies_at,
    policy_and_clocks,
)
from governance.contact.rules import (
    HORIZON,
    Calendar,
    ClosedDay,
    ConsentRow,
    LegalHours,
    Moment,
    OpenHours,
    Question,
    SuppressionRow,
    Verdict,
    judge,
    judge_as_given,
    judge_at,
    moment_of,
    next_allowed,
    open_hours_of,
    zones_for,
)
from governance.errors import Forbidden, Invalid, NotFound
from governance.golive.services import Execution, verb
from governance.market.models import MarketPolicy
from governance.market.rules import kept_rules, read_rules
from governance.places import ALL, Place, fold_city

INQUIRY_LASTS_MONTHS = 6  # S.C. 2010, c. 23, s. 10(10)(b)
BUSINESS_LASTS_MONTHS = 24  # S.C. 2010, c. 23, s. 10(10)(a)

Door = ContactDecision.Door
R = TypeVar("R", SuppressionRow, ConsentRow)


@dataclass(frozen=True, slots=True)
class Where:
    """Where a person is: `zone` her own, else blank; the other two what `city_zone` says, else blank."""

    place: Place
    zone: str = ""
    city_zone: str = ""
    market_zone: str = ""


@dataclass(slots=True)
class Gate:
    """The gate of one place and channel, ready to judge any number of instants."""

    where: Where
    policy: PolicyRow | None
    hours: OpenHours
    _moments: dict[datetime, Moment] = field(default_factory=dict)

    @property
    def calendar(self) -> Calendar:
        return self.hours.calendar

    @property
    def zones(self) -> tuple[str, ...]:
        return self.hours.zones

    @property
    def zone(self) -> str:
        """The zone whose wall time counts where one is needed."""
        return self.hours.zones[0]

    @property
    def policy_state(self) -> str:
        if self.policy is None:
            return "policy_missing"
        return "" if self.policy.enabled else "policy_disabled"

    def judge(self, question: Question, at: datetime) -> Verdict:
        moment = self._moments.get(at)
        if moment is None:
            moment = self._moments[at] = moment_of(self.calendar, self.zones, at)
        return judge_at(question, self.calendar, self.policy_state, moment)

    def next_allowed(
        self, question: Question, at: datetime, verdict: Verdict | None = None
    ) -> datetime | None:
        """Return the first instant from `at` on that is answered yes; None if there is none within "
        "60 days."""
        return next_allowed(question, verdict or self.judge(question, at), self.hours, at)


@dataclass(slots=True)
class GateBook:
    """Policies, the law's hours and closures of some places, read once for many questions."""

    policies: dict[tuple[str, str], PolicyRow]
    legal: list[tuple[str, LegalHours]]
    closures: list[ClosedDay]
    _gates: dict[tuple[Any, ...], Gate] = field(default_factory=dict)

    @classmethod
    def load(cls, places: Iterable[Place], at: datetime, *, reach: timedelta = HORIZON) -> GateBook:
        """Read the book in two queries, closures from two days before `at` to two after `at + reach`."""
        wanted = set(places)
        provinces = {place.province for place in wanted}
        return cls(policies_at(wanted), *_hours_around(provinces, at, reach))

    def gate(self, where: Where, channel: str) -> Gate:
        """Return the gate of a place and channel; gates with the same answer are shared."""
        place = where.place
        policy = self.policies.get((place.province, place.market_key)) or self.policies.get(
            (place.province, ALL)
        )
        zones = zones_for(
            place.province, own=where.zone, policy=policy.timezone if policy else "",
            city=where.city_zone, market=where.market_zone,
        )  # fmt: skip
        key = (place.province, policy.id if policy else None, zones, channel)
        known = self._gates.get(key)
        if known is None:
            hours = open_hours_of(
                place.province,
                policy and kept_rules(policy.rules),
                tuple(
                    row
                    for for_channel, row in self.legal
                    if for_channel == channel and row.jurisdiction in ("CA", place.province)
                ),
                tuple(row for row in self.closures if row.province in ("", place.province)),
                zones,
            )
            known = self._gates[key] = Gate(where, policy, hours)
        return known


def _hours_around(
    provinces: Iterable[str], at: datetime, reach: timedelta
) -> tuple[list[tuple[str, LegalHours]], list[ClosedDay]]:
    day = at.astimezone(UTC).date()
    return law_and_closures(provinces, day - timedelta(days=2), day + reach + timedelta(days=2))


def open_book(
    place: Place, at: datetime, *, city: str = "", zone: str = "", reach: timedelta = HORIZON
) -> tuple[GateBook, Where]:
    """Return one place's book and where a person of this city is, in two queries."""
    policy, of_city, of_market = policy_and_clocks(place, fold_city(city), fold_city(place.market))
    book = GateBook(
        {(policy.province, policy.market_key): policy} if policy else {},
        *_hours_around([place.province], at, reach),
    )
    return book, Where(place, zone, of_city, of_market)


def open_gate(place: Place, channel: str, at: datetime, *, city: str = "", zone: str = "") -> Gate:
    """Return one place's gate for a channel, in two queries."""
    book, where = open_book(place, at, city=city, zone=zone)
    return book.gate(where, channel)


def question_about(
    channel: str, points: Sequence[hooks.PointFacts], score: Decimal | None, *, personal: bool = True
) -> Question:
    """Return the question for a person with these points; reads what is on record of them in one query."""
    return questions_about((channel,), points, score, personal=personal)[channel]


def questions_about(
    channels: Iterable[str],
    points: Sequence[hooks.PointFacts],
    score: Decimal | None,
    *,
    personal: bool = True,
) -> dict[str, Question]:
    """Return the question of each channel; reads suppressions and consents of all points in one query."""
    return questions_of_people(channels, {0: (points, score)}, personal=personal)[0]


def questions_of_people(
    channels: Iterable[str],
    people: Mapping[int, tuple[Sequence[hooks.PointFacts], Decimal | None]],
    *,
    personal: bool = True,
) -> dict[int, dict[str, Question]]:
    """Return each person's question of each channel; reads what is on record of them all in one query."""
    kinds = {channel: digests.KIND_OF_CHANNEL[channel] for channel in channels}
    asked = {*kinds.values(), digests.LEAD}
    suppressions, consents = personal_rows(
        point.digest for points, _score in people.values() for point in points if point.kind in asked
    )
    suppressed, consented = _by_digest(suppressions), _by_digest(consents)
    found: dict[int, dict[str, Question]] = {}
    for who, (points, score) in people.items():
        of_channel = found[who] = {}
        for channel, kind in kinds.items():
            own = sorted({point.digest for point in points if point.kind in (kind, digests.LEAD)})
            of_channel[channel] = Question(
                channel,
                personal,
                any(point.kind == kind for point in points),
                score,
                tuple(row for digest in own for row in suppressed.get(digest, ())),
                tuple(row for digest in own for row in consented.get(digest, ())),
            )
    return found


def _by_digest(rows: Iterable[R]) -> dict[str, list[R]]:
    found: dict[str, list[R]] = {}
    for row in rows:
        found.setdefault(row.digest, []).append(row)
    return found


@dataclass(frozen=True, slots=True)
class Answer:
    """What `can_contact` answers; `citation` names the law where it refuses."""

    channel: str
    verdict: Verdict
    gate: Gate
    scope: str
    next_allowed_at: datetime | None
    warnings: tuple[str, ...] = ()


def can_contact(
    *,
    channel: str,
    at: datetime,
    province: str = "",
    market: str | None = None,
    lead_id: str = "",
    score: Decimal | None = None,
    phone: str = "",
    email: str = "",
    zone: str = "",
    as_given: tuple[int, int] | None = None,
) -> Answer:
    """Say whether a contact may start at `at`, or on a weekday and minute `as_given`. Keeps nothing.

    Raises NotFound for an unknown lead, Invalid where neither a province nor a lead is named, or where the
    lead lives in another province.
    """
    lead = hooks.lead_facts.first(lead_id) if lead_id else None
    if lead_id and lead is None:
        raise NotFound(_("There is no lead %(lead)s.") % {"lead": lead_id}, code="lead_not_found")
    if lead is not None:
        if province and province != lead.province:
            raise Invalid(
                {
                    "province": [
                        _("The lead %(lead)s is in %(province)s.")
                        % {"lead": lead_id, "province": lead.province}
                    ]
                }
            )
        province = lead.province
        market = lead.market if market is None else market
        score = lead.score if score is None else score
    if not province:
        raise Invalid({"province": [_("Name a province or a lead.")]})
    place = Place(province, market or ALL)
    gate = open_gate(
        place, channel, at, city=lead.city if lead else "", zone=zone or (lead.zone if lead else "")
    )
    points = list(lead.points) if lead else []
    points += [
        hooks.PointFacts(kind, digests.digest(kind, value))
        for kind, value in ((digests.PHONE, phone), (digests.EMAIL, email)) if value
    ]  # fmt: skip
    personal = lead is not None or bool(points)
    question = question_about(channel, points, score, personal=personal)
    warnings = []
    if not personal:
        warnings.append(_("No lead, phone or e-mail was named: opt-outs and consent were not checked."))
    elif not question.has_points:
        warnings.append(_("No phone or e-mail for this channel is known: opt-outs could not be checked."))
    scope = "lead" if lead else "person" if personal else "market"
    if as_given is not None:
        weekday, minute = as_given
        today = at.astimezone(ZoneInfo(gate.zone)).date()
        verdict = judge_as_given(
            question, gate.calendar, gate.policy_state, weekday=weekday, minute=minute, today=today, at=at
        )
        return Answer(channel, verdict, gate, scope, None, tuple(warnings))
    verdict = gate.judge(question, at)
    return Answer(channel, verdict, gate, scope, gate.next_allowed(question, at, verdict), tuple(warnings))


def decision(
    door: str, verdict: Verdict, gate: Gate, question: Question, *, by: By, at: datetime, now: datetime,
    lead_id: str = "", task_id: int | None = None, phone_digest: str = "", email_digest: str = "",
    overridden: bool = False, happened: bool = False,
) -> ContactDecision:  # fmt: skip
    """Return the row that keeps a verdict, not yet saved; `at` is the judged instant, `now` the present."""
    return ContactDecision(
        door=door,
        lead_id=lead_id,
        task_id=task_id,
        phone_digest=phone_digest,
        email_digest=email_digest,
        province=gate.where.place.province,
        market=gate.where.place.market,
        channel=question.channel,
        at=at,
        zones=list(verdict.zones),
        local_times=list(verdict.local_times),
        ok=verdict.ok,
        reason=verdict.reason,
        overridden=overridden,
        happened=happened,
        lead_score=question.score,
        policy_id=gate.policy.id if gate.policy else None,
        policy_version=gate.policy.version if gate.policy else None,
        basis=verdict.basis,
        created_at=now,
        **by.written(),
    )


def judge_again(kept: ContactDecision) -> Verdict:
    """Judge a kept decision once more from the versions that it names; the answer must be the same.

    Reads the policy, the law's rows and the closures as they stood when it was asked.
    """
    policy = MarketPolicy.history.filter(id=kept.policy_id, version=kept.policy_version).first()
    legal = StatutoryHours.history.as_of(kept.created_at).filter(
        channel=kept.channel, jurisdiction__in=["CA", kept.province]
    )
    closures = Closure.history.as_of(kept.created_at).filter(province__in=["", kept.province])
    # the very rows that it read: what is recorded later, also with an earlier date, changes nothing
    suppressions, consents = personal_rows_by_id(
        kept.basis.get("suppressions", ()), kept.basis.get("consents", ())
    )
    calendar = Calendar(
        kept.province,
        read_rules(policy.rules) if policy is not None else None,
        [plain_hours(row) for row in legal],
        [plain_closure(row) for row in closures],
    )
    question = Question(
        kept.channel, True, bool(kept.phone_digest or kept.email_digest), kept.lead_score,
        tuple(suppressions), tuple(consents),
    )  # fmt: skip
    state = "policy_missing" if policy is None else "" if policy.enabled else "policy_disabled"
    return judge(question, calendar, state, kept.zones, kept.at)


SUPPRESS, LIFT, CONSENT = "governance.suppress", "governance.lift_suppression", "governance.record_consent"


@verb(Execution.OBSERVE_ONLY)
def suppress(
    points: Sequence[str],
    *,
    by: By,
    at: datetime,
    source: str = Suppression.Source.OPT_OUT,
    channel: str = "",
) -> None:
    """Stop contact with points (keyed hashes) and what is under way to them; asks neither gate nor "
    "go-live."""
    if not by.may(SUPPRESS):
        raise Forbidden("not_allowed", _("Your role does not record opt-outs."))
    Suppression.objects.bulk_create(
        Suppression(point_digest=digest, channel=channel, source=source, at=at, **by.written())
        for digest in sorted(set(points))
    )
    hooks.on_suppressed.ask(sorted(set(points)), channel, by, at)


@verb(Execution.OBSERVE_ONLY)
def lift_suppression(points: Sequence[str], *, by: By, at: datetime, reason: str, channel: str = "") -> None:
    """End a stop for a manager's reason. The rows of before remain."""
    if not by.may(LIFT):
        raise Forbidden("not_allowed", _("Only a manager ends a suppression."))
    if not reason.strip():
        raise Invalid({"reason": [_("Say why the suppression ends.")]})
    Suppression.objects.bulk_create(
        Suppression(
            point_digest=digest, channel=channel, action=Suppression.Action.LIFT,
            source=Suppression.Source.MANAGER, reason=reason.strip()[:200], at=at, **by.written(),
        )
        for digest in sorted(set(points))
    )  # fmt: skip


def consent_expiry(kind: str, obtained: datetime) -> datetime | None:
    """Return when a consent of this kind ends: an inquiry after 6 months, a business relationship after 24.

    Source: S.C. 2010, c. 23 (Canada's anti-spam law), s. 10(10). Express consent has no end.
    """
    months = {Consent.Kind.INQUIRY: INQUIRY_LASTS_MONTHS, Consent.Kind.BUSINESS: BUSINESS_LASTS_MONTHS}.get(
        Consent.Kind(kind)
    )
    if months is None:
        return None
    year, month = divmod(obtained.year * 12 + obtained.month - 1 + months, 12)
    last_day = (date(year + (month == 11), (month + 1) % 12 + 1, 1) - timedelta(days=1)).day
    return obtained.replace(year=year, month=month + 1, day=min(obtained.day, last_day))


@verb(Execution.OBSERVE_ONLY)
def record_consent(
    point: str,
    channel: str,
    kind: str,
    *,
    by: By,
    at: datetime,
    obtained_at: datetime,
    how: str,
    evidence: str = "",
) -> Consent:
    """Record a consent or its withdrawal; a withdrawal also stops the channel.

    Raises Forbidden without the right, Invalid for an instant after `at`.
    """
    withdrawn = kind == Consent.Kind.WITHDRAWN
    if not (by.may(CONSENT) or (withdrawn and by.may(SUPPRESS))):
        raise Forbidden("not_allowed", _("Only a manager records consent."))
    if obtained_at > at:
        raise Invalid({"at": [_("A consent cannot be obtained in the future.")]})
    row = Consent(
        point_digest=point, channel=channel, kind=kind, obtained_how=how, evidence=evidence, at=obtained_at,
        expires_at=consent_expiry(kind, obtained_at), **by.written(),
    )  # fmt: skip
    row.save()
    if withdrawn:
        suppress([point], by=by, at=at, channel=channel)
    return row


def remember_hash_key() -> None:
    """Keep the fingerprint of the key in use, once."""
    HashKeyCheck.objects.get_or_create(pk=1, defaults={"fingerprint": digests.key_fingerprint()})


def hash_key_problem() -> str:
    """Return a sentence if the key is not the one that this database's suppressions were written with."""
    kept = HashKeyCheck.objects.filter(pk=1).first()
    if kept is None or kept.fingerprint == digests.key_fingerprint():
        return ""
    return "CONTACT_HASH_KEY is not the key that the suppressions in this database were written with."
