"""The gate: whether a person may be contacted, and the record of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, assert_never
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.contact import digests
from governance.contact.frequency import ContactRow, InboundRow, unprompted
from governance.contact.models import (
    Closure,
    Consent,
    ContactDecision,
    HashKeyCheck,
    StatutoryHours,
    Suppression,
)
from governance.contact.national_list import AreaList, ListedNumber, months_after
from governance.contact.querysets import (
    PersonalRows,
    law_and_closures,
    personal_rows,
    personal_rows_by_id,
    plain_closure,
    plain_hours,
    policy_and_clocks,
    remembered_keys,
)
from governance.contact.reasons import EXEMPTIONS
from governance.contact.rules import (
    HORIZON,
    Calendar,
    ClosedDay,
    Hours,
    HoursInTurn,
    LegalHours,
    Moment,
    OpenHours,
    Question,
    Verdict,
    judge,
    judge_as_given,
    judge_at,
    moment_of,
    next_allowed,
    open_hours_of,
    zones_for,
)
from governance.core import hooks
from governance.core.actors import Actor
from governance.core.channels import CALL, CHANNELS
from governance.core.errors import Invalid, NotFound
from governance.core.places import ALL, Place, fold_city
from governance.core.verbs import Execution, require_right, verb
from governance.market.reading import Timelines, policies_at, policy_as_kept
from governance.market.rules import kept_rules
from governance.market.timeline import Piece, PolicyRow, pieces_at, with_draft

INQUIRY_LASTS_MONTHS = 6  # S.C. 2010, c. 23, s. 10(10)(b)
BUSINESS_LASTS_MONTHS = 24  # S.C. 2010, c. 23, s. 10(10)(a)

Door = ContactDecision.Door


@dataclass(frozen=True, slots=True)
class Where:
    """Where a person is: `zone` their own, else blank; the other two from `city_zone`, else blank."""

    place: Place
    zone: str = ""
    city_zone: str = ""
    market_zone: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A policy and its hours, in force from `since` on; None: for as long as is known."""

    since: datetime | None
    policy: PolicyRow | None
    hours: OpenHours

    @property
    def policy_state(self) -> str:
        if self.policy is None:
            return "policy_missing"
        return "" if self.policy.enabled else "policy_disabled"


@dataclass(slots=True)
class Gate:
    """The gate of one place and channel, ready to judge any number of instants.

    Each is judged by the policy in force then; `at` is the instant that the gate was opened for.
    """

    where: Where
    at: datetime
    turns: tuple[Turn, ...]
    hours: Hours
    _moments: dict[datetime, Moment] = field(default_factory=dict)

    def turn(self, at: datetime) -> Turn:
        """Return the policy that is in force at an instant, with its hours."""
        if len(self.turns) == 1:
            return self.turns[0]
        return next(turn for turn in reversed(self.turns) if turn.since is None or turn.since <= at)

    @property
    def policy(self) -> PolicyRow | None:
        return self.turn(self.at).policy

    @property
    def zones(self) -> tuple[str, ...]:
        return self.turn(self.at).hours.zones

    @property
    def zone(self) -> str:
        """Return the zone whose wall time counts where one is needed."""
        return self.zones[0]

    def judge(self, question: Question, at: datetime) -> Verdict:
        turn = self.turn(at)
        moment = self._moments.get(at)
        if moment is None:
            moment = self._moments[at] = moment_of(turn.hours.calendar, turn.hours.zones, at)
        return judge_at(question, turn.hours.calendar, turn.policy_state, moment)

    def next_allowed(
        self, question: Question, at: datetime, verdict: Verdict | None = None
    ) -> datetime | None:
        """Return the first instant from `at` on that is allowed, or None within 60 days."""
        until = at + HORIZON
        first = self.turns.index(self.turn(at))
        for number, turn in enumerate(self.turns[first:], first):
            start = at if number == first or turn.since is None else turn.since
            last = self.turns[number + 1].since if number + 1 < len(self.turns) else None
            end = until if last is None else min(last, until)
            if start >= end:
                break
            if number > first or verdict is None:
                verdict = self.judge(question, start)
            found = next_allowed(question, verdict, turn.hours, start, end)
            if found is not None:
                return found
        return None


@dataclass(slots=True)
class GateContext:
    """Policies, legal hours and closures of some places, loaded once for many questions."""

    at: datetime
    policies: Timelines
    legal: list[tuple[str, LegalHours]]
    closures: list[ClosedDay]
    _pieces: dict[tuple[str, str], tuple[Piece, ...]] = field(default_factory=dict)
    _gates: dict[tuple[object, ...], Gate] = field(default_factory=dict)
    _known: dict[tuple[Where, str], Gate] = field(default_factory=dict)

    @classmethod
    def load(cls, places: Iterable[Place], at: datetime, *, reach: timedelta = HORIZON) -> GateContext:
        """Load the data in two queries, closures from two days before `at` to two after `at + reach`."""
        wanted = set(places)
        provinces = {place.province for place in wanted}
        return cls(at, policies_at(wanted, at), *_hours_around(provinces, at, reach))

    def put(self, draft: PolicyRow) -> None:
        """Judge as if a policy were changed: from its `since` on, or from the data's instant on."""
        start = draft.since or self.at
        key = (draft.province, draft.market_key)
        self.policies[key] = with_draft(self.policies.get(key, ()), replace(draft, since=start))
        self._pieces.clear()
        self._gates.clear()
        self._known.clear()

    def gate(self, where: Where, channel: str) -> Gate:
        """Return the gate of a place and channel; gates with the same answer are shared."""
        known = self._known.get((where, channel))
        if known is None:
            known = self._known[where, channel] = self._gate(where, channel)
        return known

    def _gate(self, where: Where, channel: str) -> Gate:
        place = where.place
        own = (place.province, place.market_key)
        of_policy = own if own in self.policies else (place.province, ALL)
        pieces = self._pieces.get(of_policy)
        if pieces is None:
            pieces = self._pieces[of_policy] = pieces_at(self.policies, place)
        zones = tuple(_zones(where, policy) for _since, policy in pieces)
        key = (of_policy, zones, channel)
        known = self._gates.get(key)
        if known is None:
            turns = tuple(
                Turn(since, policy, self._hours(place.province, channel, policy, of_turn))
                for (since, policy), of_turn in zip(pieces, zones, strict=True)
            )
            hours: Hours = turns[0].hours
            if len(turns) > 1:
                hours = HoursInTurn([(turn.since, turn.hours) for turn in turns])
            known = self._gates[key] = Gate(where, self.at, turns, hours)
        return known

    def _hours(
        self, province: str, channel: str, policy: PolicyRow | None, zones: tuple[str, ...]
    ) -> OpenHours:
        return open_hours_of(
            province,
            policy and kept_rules(policy.rules),
            tuple(
                row
                for for_channel, row in self.legal
                if for_channel == channel and row.jurisdiction in ("CA", province)
            ),
            tuple(row for row in self.closures if row.province in ("", province)),
            zones,
        )


def _zones(where: Where, policy: PolicyRow | None) -> tuple[str, ...]:
    return zones_for(
        where.place.province,
        own=where.zone,
        policy=policy.timezone if policy else "",
        city=where.city_zone,
        market=where.market_zone,
    )


def _hours_around(
    provinces: Iterable[str], at: datetime, reach: timedelta
) -> tuple[list[tuple[str, LegalHours]], list[ClosedDay]]:
    day = at.astimezone(UTC).date()
    return law_and_closures(provinces, day - timedelta(days=2), day + reach + timedelta(days=2))


def open_book(
    place: Place, at: datetime, *, city: str = "", zone: str = "", reach: timedelta = HORIZON
) -> tuple[GateContext, Where]:
    """Return a place's data and the time zones of a person in this city, in two queries."""
    policies, of_city, of_market = policy_and_clocks(place, fold_city(city), fold_city(place.market), at)
    book = GateContext(at, policies, *_hours_around([place.province], at, reach))
    return book, Where(place, zone, of_city, of_market)


def open_gate(place: Place, channel: str, at: datetime, *, city: str = "", zone: str = "") -> Gate:
    """Return one place's gate for a channel, in two queries."""
    book, where = open_book(place, at, city=city, zone=zone)
    return book.gate(where, channel)


_NOTHING: tuple[list[object], ...] = ([], [], [], [])


@dataclass(frozen=True, slots=True)
class Records:
    """Stored data on some points, by keyed hash; only this class builds the gate's question."""

    by_digest: Mapping[str, tuple[list[Any], ...]]
    lists: Mapping[str, AreaList]
    renamed: Mapping[str, str]

    @classmethod
    def of(cls, rows: PersonalRows) -> Records:
        """Sort the loaded rows; a contact that answers an inbound one does not count as ours."""
        by_digest: dict[str, tuple[list[Any], ...]] = {}
        contacts = unprompted(rows.contacts, rows.inbound)
        kinds: Sequence[Sequence[Any]] = (rows.suppressions, rows.consents, contacts, rows.inbound)
        for kind, found in enumerate(kinds):
            for row in found:
                by_digest.setdefault(row.digest, ([], [], [], []))[kind].append(row)
        return cls(by_digest, rows.lists, rows.renamed)

    def question(
        self, channel: str, own: Sequence[str], every: Sequence[str], *, personal: bool, has_points: bool,
        score: Decimal | None, numbers: tuple[ListedNumber, ...] = (), awaited: bool = False,
    ) -> Question:  # fmt: skip
        """Build the question of a channel; `own` are the hashes that it reaches, `every` all of the person.

        Consents count for a call whatever they were given for: an inquiry by e-mail exempts it.
        """
        of_own = [self.by_digest.get(digest, _NOTHING) for digest in own]
        theirs = every if channel == CALL else own
        renamed = ((old, new) for old, new in sorted(self.renamed.items()) if new in theirs)
        return Question(
            channel,
            personal,
            has_points,
            score,
            tuple(row for rows in of_own for row in rows[0]),
            tuple(row for digest in theirs for row in self.by_digest.get(digest, _NOTHING)[1]),
            tuple(row for rows in of_own for row in rows[2]),
            tuple(row for rows in of_own for row in rows[3]),
            awaited=awaited,
            numbers=numbers,
            renamed=tuple(renamed),
        )


def question_about(
    channel: str,
    points: Sequence[hooks.PointFacts],
    score: Decimal | None,
    *,
    at: datetime,
    personal: bool = True,
) -> Question:
    """Return the question for a person with these points; loads what is stored about them in one query."""
    return questions_about((channel,), points, score, at=at, personal=personal)[channel]


def questions_about(
    channels: Iterable[str],
    points: Sequence[hooks.PointFacts],
    score: Decimal | None,
    *,
    at: datetime,
    personal: bool = True,
) -> dict[str, Question]:
    """Return the question of each channel; loads what is stored about all points in one query."""
    return questions_of_people(channels, {0: (points, score)}, at=at, personal=personal)[0]


def questions_of_people(
    channels: Iterable[str],
    people: Mapping[int, tuple[Sequence[hooks.PointFacts], Decimal | None]],
    *,
    at: datetime | None,
    personal: bool = True,
) -> dict[int, dict[str, Question]]:
    """Return each person's question of each channel; loads what is stored about them all in one query.

    `at` is about when it will be judged: contacts of the days before count. None leaves them out, if nobody
    is contacted.
    """
    kinds = {channel: CHANNELS[channel].kind for channel in channels}
    asked = {*kinds.values(), digests.LEAD}
    if CALL in kinds:
        asked.add(digests.EMAIL)  # an inquiry by e-mail exempts calls from the national list
    everybody = [point for points, _score in people.values() for point in points if point.kind in asked]
    area_codes = [point.area_code for point in everybody] if CALL in kinds else []
    known = _one_hash_each(everybody)
    on_record = personal_rows([point.digest for point in everybody], at, area_codes, known)
    records = Records.of(on_record)
    found: dict[int, dict[str, Question]] = {}
    for who, (points, score) in people.items():
        of_channel = found[who] = {}
        every = sorted({known.get(point.digest, point.digest) for point in points})
        for channel, kind in kinds.items():
            named = {point.digest for point in points if point.kind in (kind, digests.LEAD)}
            numbers = tuple(
                ListedNumber(
                    known.get(point.digest, point.digest), records.lists[point.area_code], point.digest
                )
                for point in points
                if channel == CALL and point.area_code in records.lists
            )
            of_channel[channel] = records.question(
                channel,
                sorted({known.get(digest, digest) for digest in named}),
                every,
                personal=personal,
                has_points=any(point.kind == kind for point in points),
                score=score,
                numbers=numbers,
            )
    return found


def _one_hash_each(points: Iterable[hooks.PointFacts]) -> dict[str, str]:
    """Return the one hash to use for each point that has several, also if it is listed twice."""
    known: dict[str, str] = {}
    for point in points:
        if point.others:
            hashes = (point.digest, *point.others)
            known.update(
                dict.fromkeys(hashes, next((known[one] for one in hashes if one in known), point.digest))
            )
    return known


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of `can_contact`; `citation` names the law if it refuses."""

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
    """Return whether a contact may start at `at`, or on a weekday and minute `as_given`. Stores nothing.

    Raises NotFound for an unknown lead, Invalid if neither a province nor a lead is given, or if the lead
    lives in another province.
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
    for kind, value in ((digests.PHONE, phone), (digests.EMAIL, email)):
        if value:
            own, *others = digests.every_digest(kind, value)
            points.append(hooks.PointFacts(kind, own, digests.area_code(value), tuple(others)))
    personal = lead is not None or bool(points)
    question = question_about(channel, points, score, at=at, personal=personal)
    warnings = []
    if not personal:
        warnings.append(_("No lead, phone or e-mail was named: opt-outs and consent were not checked."))
    elif not question.has_points:
        warnings.append(_("No phone or e-mail for this channel is known: opt-outs could not be checked."))
    scope = "lead" if lead else "person" if personal else "market"
    if as_given is not None:
        weekday, minute = as_given
        today = at.astimezone(ZoneInfo(gate.zone)).date()
        turn = gate.turn(at)
        verdict = judge_as_given(
            question,
            turn.hours.calendar,
            turn.policy_state,
            weekday=weekday,
            minute=minute,
            today=today,
            at=at,
        )
        return Answer(channel, verdict, gate, scope, None, (*warnings, *_exempted(verdict)))
    verdict = gate.judge(question, at)
    then = gate.next_allowed(question, at, verdict)
    return Answer(channel, verdict, gate, scope, then, (*warnings, *_exempted(verdict)))


def _exempted(verdict: Verdict) -> list[str]:
    """Return a sentence for each number that may be called although its area code's list is too old."""
    return [
        _("The national do-not-call list of %(area_code)s is too old; exempt all the same: %(why)s.")
        % {"area_code": code, "why": EXEMPTIONS[why]}
        for code, why in sorted(map(tuple, verdict.basis.get("exempt", ())))
    ]


def decision(
    door: str, verdict: Verdict, gate: Gate, question: Question, *, by: Actor, at: datetime, now: datetime,
    lead_id: str = "", task_id: int | None = None, phone_digest: str = "", email_digest: str = "",
    overridden: bool = False, happened: bool = False,
) -> ContactDecision:  # fmt: skip
    """Return the row that stores a verdict, not yet saved; `at` is the judged instant, `now` the present."""
    policy = gate.turn(at).policy
    scheduled = {"scheduled": list(policy.scheduled)} if policy is not None and policy.scheduled else {}
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
        policy_id=policy.id if policy else None,
        policy_version=policy.version if policy else None,
        basis={**verdict.basis, **scheduled},
        created_at=now,
        **by.written(),
    )


def judge_again(kept: ContactDecision) -> Verdict:
    """Judge a stored decision again from the versions that it names; the answer must be the same.

    Reads the policy, the law's rows and the closures as they were at the time.
    """
    policy = policy_as_kept(kept.policy_id, kept.policy_version, kept.basis.get("scheduled", ()))
    legal = StatutoryHours.history.as_of(kept.created_at).filter(
        channel=kept.channel, jurisdiction__in=["CA", kept.province]
    )
    closures = Closure.history.as_of(kept.created_at).filter(province__in=["", kept.province])
    # exactly the rows that it read: rows recorded later, even with an earlier date, change nothing
    renamed = dict(kept.basis.get("renamed", ()))
    on_record = personal_rows_by_id(
        kept.basis.get("suppressions", ()), kept.basis.get("consents", ()), renamed
    )
    calendar = Calendar(
        kept.province,
        kept_rules(policy.rules) if policy is not None else None,
        [plain_hours(row) for row in legal],
        [plain_closure(row) for row in closures],
    )
    question = Question(
        kept.channel,
        True,
        bool(kept.phone_digest or kept.email_digest),
        kept.lead_score,
        tuple(on_record.suppressions),
        tuple(on_record.consents),
        tuple(ContactRow.from_json(row) for row in kept.basis.get("contacts", ())),
        tuple(InboundRow(digest, datetime.fromisoformat(at)) for digest, at in kept.basis.get("inbound", ())),
        bool(kept.basis.get("awaited")),
        tuple(ListedNumber.from_json(row) for row in kept.basis.get("lists", ())),
        renamed=tuple(renamed.items()),
    )
    state = "policy_missing" if policy is None else "" if policy.enabled else "policy_disabled"
    return judge(question, calendar, state, kept.zones, kept.at)


SUPPRESS, LIFT, CONSENT = "governance.suppress", "governance.lift_suppression", "governance.record_consent"
UNDO = "governance.undo_opt_out"
HEARD, INQUIRED = "governance.record_heard_consent", "governance.record_inquiry"
SENT = "governance.record_sent_consent"
NOT_TAKEN_BACK = gettext_lazy("Your role does not undo opt-outs.")
NOT_THIS_KIND = gettext_lazy("Your role does not record this kind of consent.")
# what VAs and closers record as well; the rest is for managers
_RIGHT_TO_RECORD: Mapping[str, str] = {
    Consent.Kind.EXPRESS: HEARD,
    Consent.Kind.INQUIRY: INQUIRED,
    Consent.Kind.WITHDRAWN: SUPPRESS,
}


@verb(Execution.OBSERVE_ONLY, right=SUPPRESS, refusal=gettext_lazy("Your role does not record opt-outs."))
def suppress(
    points: Sequence[str],
    *,
    by: Actor,
    at: datetime,
    source: str = Suppression.Source.OPT_OUT,
    channel: str = "",
    press: str = "",
    others: Sequence[str] = (),
) -> None:
    """Suppress points (keyed hashes) and stop what is in progress to them.

    Asks neither gate nor go-live. `press` is the key press by which `lift_press` finds these suppressions;
    `others` are the points' hashes under other keys, under which work in progress is searched too.
    """
    Suppression.objects.bulk_create(
        Suppression(
            point_digest=digest, channel=channel, source=source, press=press or None, at=at, **by.written()
        )
        for digest in sorted(set(points))
    )
    hooks.on_suppressed.ask(sorted({*points, *others}), channel, by, at)


@verb(Execution.OBSERVE_ONLY, right=LIFT, refusal=gettext_lazy("Only a manager ends a suppression."))
def lift_suppression(
    points: Sequence[str],
    *,
    by: Actor,
    at: datetime,
    reason: str,
    channel: str = "",
    others: Sequence[str] = (),
) -> None:
    """End a suppression with a manager's reason, even if it was written under another key. The rows stay.

    `others` are the points' hashes under other keys.
    """
    if not reason.strip():
        raise Invalid({"reason": [_("Say why the suppression ends.")]})
    ended = set(points)
    if others:  # readers who have only the hashes, such as an export, must see that it has ended too
        written = Suppression.objects.filter(point_digest__in=sorted(others))
        ended |= set(written.values_list("point_digest", flat=True))
    Suppression.objects.bulk_create(
        Suppression(
            point_digest=digest,
            channel=channel,
            action=Suppression.Action.LIFT,
            source=Suppression.Source.MANAGER,
            reason=reason.strip()[:200],
            at=at,
            **by.written(),
        )
        for digest in sorted(ended)
    )


@verb(Execution.OBSERVE_ONLY, right=UNDO, refusal=NOT_TAKEN_BACK)
def lift_press(points: Sequence[str], press: str, *, by: Actor, at: datetime) -> None:
    """End only the suppressions of one key press. The earlier rows stay."""
    stops = Suppression.objects.filter(
        point_digest__in=points, press=press, action=Suppression.Action.SUPPRESS
    )
    pressed = stops.values_list("point_digest", "channel", "source")
    Suppression.objects.bulk_create(
        Suppression(
            point_digest=digest,
            channel=channel,
            action=Suppression.Action.LIFT,
            source=source,
            press=press,
            at=at,
            **by.written(),
        )
        for digest, channel, source in sorted(set(pressed))
    )


def consent_expiry(kind: str, obtained: datetime) -> datetime | None:
    """Return when a consent of this kind ends: an inquiry after 6 months, a business relationship after 24.

    Source: S.C. 2010, c. 23 (Canada's anti-spam law), s. 10(10). Express consent does not end.
    """
    match Consent.Kind(kind):
        case Consent.Kind.INQUIRY:
            months = INQUIRY_LASTS_MONTHS
        case Consent.Kind.BUSINESS:
            months = BUSINESS_LASTS_MONTHS
        case Consent.Kind.EXPRESS | Consent.Kind.WITHDRAWN:
            return None
        case unknown:
            assert_never(unknown)
    return months_after(obtained, months)


@verb(Execution.OBSERVE_ONLY)
def record_consent(
    point: str,
    channel: str,
    kind: str,
    *,
    by: Actor,
    at: datetime,
    obtained_at: datetime,
    how: str,
    evidence: str = "",
    others: Sequence[str] = (),
) -> Consent:
    """Record a consent or its withdrawal; a withdrawal also suppresses the channel.

    Express consent needs evidence from anybody but a manager. Raises Forbidden without the permission,
    Invalid for an instant after `at` or for missing evidence.
    """
    withdrawn = kind == Consent.Kind.WITHDRAWN
    is_sent = kind == Consent.Kind.EXPRESS and by.may(SENT)
    if not (by.may(CONSENT) or is_sent):
        require_right(by, _RIGHT_TO_RECORD.get(kind, CONSENT), NOT_THIS_KIND)
    if kind == Consent.Kind.EXPRESS and not (by.may(CONSENT) or evidence.strip()):
        raise Invalid({"evidence": [_("This is needed: the sender must be able to prove consent.")]})
    if obtained_at > at:
        raise Invalid({"at": [_("A consent cannot be obtained in the future.")]})
    row = Consent(
        point_digest=point, channel=channel, kind=kind, obtained_how=how, evidence=evidence, at=obtained_at,
        expires_at=consent_expiry(kind, obtained_at), **by.written(),
    )  # fmt: skip
    row.save()
    if withdrawn:
        suppress([point], by=by, at=at, channel=channel, others=others)
    return row


def is_on_record(points: Sequence[str], channel: str, kind: str, obtained_at: datetime) -> bool:
    """Return whether this consent of one of these keyed hashes is recorded already."""
    rows = Consent.objects.filter(point_digest__in=points, channel=channel, kind=kind, at=obtained_at)
    return bool(rows.exists())


def remember_hash_key(at: datetime) -> None:
    """Store the fingerprint of the current key, once."""
    HashKeyCheck.objects.get_or_create(
        pk=digests.current_key(),
        defaults={"fingerprint": digests.key_fingerprint(), "added_at": at, "moved_at": at},
    )


def hash_key_problem() -> str:
    """Return a sentence if a key is missing, or is not one that the opt-outs were written with."""
    problem = digests.key_problem(remembered_keys())
    if problem and digests.RING.read_file_again():
        problem = digests.key_problem(remembered_keys())
    return problem
