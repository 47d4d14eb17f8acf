"""Leads that a source sends: created, or merged into the lead who they are, without losing what is known."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from followups.fields import FIELD_OF_KIND, VALUES, LeadValues
from followups.intake.gathering import Given, same_city, split_notes
from followups.models import ContactPoint, Lead
from followups.points import lead_facts, read_point, stored_digests
from followups.services.candidates import candidates_of, points_of
from followups.services.consents import EXPRESS, WITHDRAWN
from followups.services.guards import require_not_erased
from followups.services.ladders import (
    CREATE_LADDER,
    NewLadder,
    active_ladders,
    begin,
    begin_all,
    followed_up_before,
    require_none_active,
    require_owner,
)
from followups.services.leads import (
    GATE_FIELDS,
    LeadDetails,
    add_points,
    fill_in,
    find_or_create,
    give_points,
    kept_besides,
    save_changed,
    take_over,
    take_tasks_along,
)
from followups.services.locked_task import facts_of_points
from followups.services.rescheduling import realign_leads
from followups.services.waiting import rejudge, waiting_for
from governance.contact.rules import suppressing
from governance.contact.services import LIFT, is_on_record, questions_about, record_consent
from governance.core import hooks
from governance.core.actors import Actor
from governance.core.channels import CHANNELS
from governance.core.errors import Refused, Unavailable
from governance.core.places import ALL, Place, fold
from governance.core.verbs import Execution, require_right, verb
from governance.market.names import spelled
from governance.retention.erasing import asked_to_be_erased

WRITE_LEADS = "followups.write_leads"
NOT_OVER_THE_API = gettext_lazy("Your role does not write leads; ask a manager.")
IDENTITY = 0x76616C69  # the namespace of our advisory locks on who a number belongs to
MOST_DUPLICATES = 10
CLOCKS_DIFFER = timedelta(minutes=2)  # by which a sender's clock may be ahead of ours
LEAD_ID = "lead_id"
HAD_LADDER = "followed_up_before"


@dataclass(frozen=True, slots=True)
class SentPoint:
    """A phone number or e-mail address in its stored form; `whose` is blank for the lead's own."""

    kind: str
    value: str
    label: str = ""
    whose: str = ""


@dataclass(frozen=True, slots=True)
class SentConsent:
    """A consent or its withdrawal: what the person agreed to, when, and how that can be proved.

    `value` is the number or address in its stored form; blank for the first that the channel reaches.
    """

    channel: str
    kind: str
    wording: str
    obtained_at: datetime
    evidence: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class SentLead:
    """A source's data on a lead; a blank `external_id` means that it knows none."""

    external_id: str = ""
    province: str = ""
    market: str = ALL
    values: LeadValues = field(default_factory=LeadValues)
    points: Sequence[SentPoint] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    consents: Sequence[SentConsent] = ()

    @property
    def digests(self) -> list[str]:
        """Return every hash under which its numbers and addresses may be stored."""
        return sorted({one for p in self.points for one in stored_digests(p.kind, p.value)})


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a consent: `reason` says why it was not recorded; `already` that it was before."""

    channel: str
    kind: str
    reason: str = ""
    already: bool = False


@dataclass(frozen=True, slots=True)
class Later:
    """A ladder that `start_later` starts, for this owner."""

    owner: str


@dataclass(frozen=True, slots=True)
class Upserted:
    """The lead as stored. `matched_by` is lead_id, phone or email, blank for a new one.

    `changed` names the columns and kinds of points with something new; `possible_duplicates` are (primary
    key, lead id) of other leads with one of the numbers. `ladder` is the one that started, or the refusal.
    """

    lead: Lead
    created: bool
    matched_by: str
    changed: Sequence[str]
    possible_duplicates: Sequence[tuple[int, str]] = ()
    consents: Sequence[Recorded] = ()
    ladder: NewLadder | Refused | Later | None = None
    warnings: Sequence[str] = ()


@verb(Execution.OBSERVE_ONLY, right=WRITE_LEADS, refusal=NOT_OVER_THE_API)
def upsert_lead(
    sent: SentLead, *, by: Actor, at: datetime, ladder: bool = False, owner: str = "", later: bool = False
) -> Upserted:
    """Create a lead or merge data into a known one, with consents, and with `ladder` start their ladder.

    A lead is found by the external id: then a value replaces the known one, as an import does. Without an id,
    the one lead with a number or address of these is the same person unless their name or place contradicts:
    then only blanks are filled. Everybody else is created. Numbers and addresses are added, never removed.
    If the ladder cannot start, the lead is stored all the same; `ladder` has the refusal. With `later` the
    caller starts it with those of other leads, by `start_later` in the same transaction.

    Raises Forbidden without the permission, Invalid for a new lead without a province or a consent in the
    future, Refused `lead_erased`, and `person_erased` for a new lead who asked to be erased.
    """
    stopped: Refused | None = None
    if ladder:
        require_right(by, CREATE_LADDER)
        require_owner(owner, by)
        try:  # before anything is locked, as for every action that a switch stops
            hooks.admit(Execution.PROD_EXEC)
        except Unavailable as refusal:
            stopped = refusal
    _lock_identities(sent.points)
    holders = _holders(sent.digests)
    lead, matched_by = _find(sent, holders)
    created = lead is None
    if lead is None:
        _require_not_erased_person(sent)
        lead, changed, warnings = _create(sent, by=by, at=at)
    elif matched_by == LEAD_ID:
        changed, warnings = merge(lead, sent, by=by, at=at)
    else:
        changed, warnings = _fill(lead, sent, by=by, at=at)
    points = list(ContactPoint.objects.filter(lead=lead).order_by("order", "id"))
    consents = [_record(lead, points, one, by=by, at=at) for one in sent.consents]
    started: NewLadder | Refused | Later | None = None
    if ladder:
        started = stopped or (Later(owner) if later else _start(lead, points, by=by, at=at, owner=owner))
    lead_id = lead.pk
    return Upserted(
        lead=lead,
        created=created,
        matched_by=matched_by,
        changed=changed,
        possible_duplicates=[(other.pk, other.external_id) for other in holders if other.pk != lead_id][
            :MOST_DUPLICATES
        ],
        consents=consents,
        ladder=started,
        warnings=warnings,
    )


# --- who it is ----------------------------------------------------------------------------------------------


def _lock_identities(points: Iterable[SentPoint]) -> None:
    """Let one call at a time decide who has a number: of two that send a new person the second finds them.

    Taken before any lead is locked, and by nothing else. SQLite's one writer needs no lock.
    """
    if connection.vendor != "postgresql":
        return
    found = (read_point(point.kind, point.value)[1] for point in points)
    keys = sorted({int(digest[-8:], 16) - 2**31 for digest in found})
    if keys:
        sql = "SELECT " + ", ".join(["pg_advisory_xact_lock(%s, %s)"] * len(keys))
        with connection.cursor() as cursor:  # evaluated from left to right, so always in one order
            cursor.execute(sql, [part for key in keys for part in (IDENTITY, key)])


def _holders(found: Sequence[str]) -> list[Lead]:
    """Return the leads who have one of these numbers, and not as a wrong or a shared one, oldest first."""
    if not found:
        return []
    having = ContactPoint.objects.filter(digest__in=found, status=ContactPoint.Status.USABLE, shared_as="")
    leads = Lead.objects.filter(pk__in=having.order_by().values("lead_id"), erasure=None)
    return list(leads.order_by("pk")[: MOST_DUPLICATES + 1])


def _find(sent: SentLead, holders: Sequence[Lead]) -> tuple[Lead | None, str]:
    """Return the lead who is meant, locked, and by what they were found."""
    rows = Lead.objects.select_for_update()
    if sent.external_id:
        lead = rows.filter(external_id=sent.external_id).first()
        return lead, LEAD_ID if lead is not None else ""
    if len(holders) != 1 or contradicts(holders[0], sent):
        return None, ""
    lead = rows.filter(pk=holders[0].pk, erasure=None).first()
    if lead is None or contradicts(lead, sent):
        return None, ""
    own = {(point.kind, point.value) for point in ContactPoint.objects.filter(lead=lead)}
    kind = next((point.kind for point in sent.points if (point.kind, point.value) in own), "")
    return (lead, FIELD_OF_KIND[kind]) if kind else (None, "")


def contradicts(lead: Lead, sent: SentLead) -> bool:
    """Return whether a name or place says that this is somebody else, such as the lead's spouse."""
    values = sent.values
    other_name = bool(lead.name and values.name) and fold(lead.name) != fold(values.name)
    other_province = bool(sent.province) and sent.province != lead.province
    code, known = (text.replace(" ", "").upper() for text in (values.postal_code, lead.postal_code))
    other_code = bool(code and known) and code != known
    return other_name or other_province or other_code or not same_city(lead.city, values.city)


def _require_not_erased_person(sent: SentLead) -> None:
    """Refuse to store somebody again who asked to be erased, under any id."""
    own = [*sent.digests]
    if sent.external_id:
        facts = lead_facts(sent.external_id)
        own += [facts.digest, *facts.others]
    if own and asked_to_be_erased(own):
        raise Refused(
            "person_erased",
            _(
                "This person asked for their personal information to be deleted: nothing is stored about "
                "them. If they came back themselves, a manager adds them in Administration."
            ),
        )


# --- what is stored -----------------------------------------------------------------------------------------


def _create(sent: SentLead, *, by: Actor, at: datetime) -> tuple[Lead, list[str], list[str]]:
    external_id = sent.external_id or f"API-{secrets.token_hex(8)}"
    values = {f.name: getattr(sent.values, f.name) for f in dataclasses.fields(sent.values)}
    details = LeadDetails(**values, extra=dict(sent.extra))
    lead, _none, is_new = find_or_create(external_id, sent.province, sent.market, details, by=by, at=at)
    if not is_new:  # somebody created the lead at the same moment
        changed, warnings = merge(lead, sent, by=by, at=at)
        return lead, changed, warnings
    add_sent_points(lead, sent.points, [])
    names = ["province", *(name for name in VALUES if values[name] not in ("", None))]
    kinds = {FIELD_OF_KIND[point.kind] for point in sent.points}
    return lead, sorted({*names, *kinds, *lead.extra}), _not_stored(sent.extra, lead.extra)


def merge(
    lead: Lead, sent: SentLead, *, by: Actor, at: datetime, cleared: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Let a source's values replace a locked lead's; return what is new, and warnings.

    Blanks change nothing, except for the columns in `cleared`. Open tasks move along. Raises Refused
    `lead_erased`.
    """
    require_not_erased(lead)
    before = {name: getattr(lead, name) for name in (*GATE_FIELDS, "name")}
    known = list(ContactPoint.objects.filter(lead=lead).order_by("order", "id"))
    extra = {key: value for key, value in lead.extra.items() if key not in sent.extra}
    extra = kept_besides(extra, sent.extra)
    given = _given(lead, sent, {key: extra[key] for key in sent.extra if key in extra})
    market = spelled(Place(given.province, given.market)).market
    changed = take_over(lead, given, market)
    for name in cleared:
        blank = None if name in ("score", "cost") else ""
        if getattr(lead, name) not in ("", None):
            setattr(lead, name, blank)
            changed.append(name)
    changed = [*dict.fromkeys(changed)]
    if changed:
        save_changed(lead, changed, by=by, at=at)
    points, warnings = add_sent_points(lead, sent.points, known)
    fresh = points[len(known) :]
    _follow(
        lead, {name for name, value in before.items() if getattr(lead, name) != value}, fresh, by=by, at=at
    )
    names = {*changed, *(FIELD_OF_KIND[point.kind] for point in fresh)}
    return sorted(names), [*warnings, *_not_stored(sent.extra, lead.extra)]


def _given(lead: Lead, sent: SentLead, extra: Mapping[str, Any]) -> Given:
    """Return a source's values as an import would read them; the lead stays where no place is sent."""
    values = {f.name: getattr(sent.values, f.name) for f in dataclasses.fields(sent.values)}
    values["notes"], extensions = split_notes(values["notes"])
    province, market = sent.province or lead.province, sent.market
    stays = province == lead.province and same_city(lead.city, values["city"])
    if market == ALL and stays:
        market = lead.market
    if province == lead.province and market != ALL:
        values["city"] = values["city"] or lead.city
    return Given(
        external_id=lead.external_id, province=province, market=market, extensions=extensions,
        extra=dict(extra), **values,
    )  # fmt: skip


def add_sent_points(
    lead: Lead, sent: Sequence[SentPoint], known: Sequence[ContactPoint]
) -> tuple[list[ContactPoint], list[str]]:
    """Add points that the lead does not have; a retired one stays retired, which a warning says."""
    remarks = {(point.kind, point.value): (point.label, point.whose) for point in sent}
    points = add_points(lead, list(remarks), known, remarks)
    retired = {(point.kind, point.value) for point in known if not point.usable}
    return points, sorted(
        {f"point_retired:{FIELD_OF_KIND[kind]}" for kind, value in remarks if (kind, value) in retired}
    )


def _follow(lead: Lead, changed: set[str], fresh: Sequence[ContactPoint], *, by: Actor, at: datetime) -> None:
    """Bring a locked lead's open tasks in line with their new place, score, name and points."""
    if fresh:
        Lead.objects.filter(pk=lead.pk).touch()
        give_points(lead.pk, by=by)
    if changed & {"province", "market", "city"}:
        take_tasks_along([lead.pk], by=by, at=at)
    elif fresh or changed & set(GATE_FIELDS):
        realign_leads([lead.pk], at=at, by=by)
    if fresh or "name" in changed:
        rejudge([lead.pk], by=by, at=at)


def _fill(lead: Lead, sent: SentLead, *, by: Actor, at: datetime) -> tuple[list[str], list[str]]:
    """Fill the blanks of a lead who was found by a number; values that differ are stored in `extra`."""
    known = list(ContactPoint.objects.filter(lead=lead).order_by("order", "id"))
    values = {f.name: getattr(sent.values, f.name) for f in dataclasses.fields(sent.values)}
    before = {name: getattr(lead, name) for name in (*GATE_FIELDS, "name")}
    details = LeadDetails(**values, extra=dict(sent.extra))
    _points, names = fill_in(lead, sent.province, sent.market, details, by=by, at=at)
    points, warnings = add_sent_points(lead, sent.points, known)
    fresh = points[len(known) :]
    _follow(
        lead, {name for name, value in before.items() if getattr(lead, name) != value}, fresh, by=by, at=at
    )
    names = [*names, *(FIELD_OF_KIND[point.kind] for point in fresh)]
    return sorted(set(names)), [*warnings, *_not_stored(sent.extra, lead.extra)]


def _not_stored(sent: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    """Return a warning for each unknown parameter: whether its value is in the lead's `extra`, or not."""
    return [f"{'unknown_field' if name in stored else 'not_stored'}:{name}" for name in sent]


# --- consents and the ladder --------------------------------------------------------------------------------


def _record(
    lead: Lead, points: Sequence[ContactPoint], one: SentConsent, *, by: Actor, at: datetime
) -> Recorded:
    """Record a consent unless it is on record already, or an opt-out stands that the caller may not end."""
    kind = CHANNELS[one.channel].kind
    usable = [point for point in points if point.usable and point.kind == kind]
    point = next((point for point in usable if not one.value or point.value == one.value), None)
    if point is None:
        return Recorded(one.channel, one.kind, "no_contact_point")
    if is_on_record([point.digest, *point.other_digests], one.channel, one.kind, one.obtained_at):
        return Recorded(one.channel, one.kind, already=True)
    # an express consent would end an opt-out: over the API only a manager's does
    if one.kind == EXPRESS and not by.may(LIFT) and is_suppressed(lead, points, (one.channel,), at):
        return Recorded(one.channel, one.kind, "suppressed")
    obtained = one.obtained_at
    if obtained - at <= CLOCKS_DIFFER:
        # a withdrawal counts at once; another consent keeps its instant, by which a repeated call finds it
        obtained, at = (min(obtained, at), at) if one.kind == WITHDRAWN else (obtained, max(obtained, at))
    record_consent(
        point.digest, one.channel, one.kind, by=by, at=at, obtained_at=obtained, how=one.wording,
        evidence=one.evidence, others=point.other_digests,
    )  # fmt: skip
    return Recorded(one.channel, one.kind)


def is_suppressed(lead: Lead, points: Sequence[ContactPoint], channels: Iterable[str], at: datetime) -> bool:
    """Return whether an opt-out or do-not-contact entry suppresses a lead on all these channels."""
    asked = questions_about(channels, facts_of_points(lead, points), lead.score, at=at)
    return all(
        suppressing(channel, one.suppressions, one.consents) is not None for channel, one in asked.items()
    )


def _start(
    lead: Lead, points: Sequence[ContactPoint], *, by: Actor, at: datetime, owner: str
) -> NewLadder | Refused:
    """Start the ladder of a locked lead who was never followed up; return it, or why it does not start."""
    try:
        with transaction.atomic():
            lead.refresh_from_db()  # a withdrawn consent may have ended what was running
            _require_first(lead, active_ladders([lead]), followed_up_before([lead]))
            made = begin(lead, points, by=by, at=at, owner=owner)
    except Refused as refusal:
        return refusal
    return dataclasses.replace(made, waiting_for=waiting_for(made.behind, by=by, at=at))


# like upsert_lead, which has asked the switches in this transaction: what they stop is not left for later
@verb(Execution.OBSERVE_ONLY, right=WRITE_LEADS, refusal=NOT_OVER_THE_API)
def start_later(stored: Sequence[Upserted], *, by: Actor, at: datetime) -> list[Upserted]:
    """Start the ladders that `upsert_lead` left for later, together; return the leads with them, in order."""
    waiting: dict[str, dict[int, int]] = {}
    again: list[int] = []
    for number, one in enumerate(stored):
        if isinstance(one.ladder, Later):
            of_owner = waiting.setdefault(one.ladder.owner, {})
            if any(one.lead.pk in others for others in waiting.values()):
                again.append(number)  # sent twice: the second is told of the first one's ladder
            else:
                of_owner[one.lead.pk] = number
    found = list(stored)
    for owner, numbers in waiting.items():
        for pk, started in _start_all(sorted(numbers), owner, by=by, at=at).items():
            found[numbers[pk]] = dataclasses.replace(stored[numbers[pk]], ladder=started)
    for number in again:
        one = stored[number]
        owner = one.ladder.owner if isinstance(one.ladder, Later) else ""
        started = _start(one.lead, points_of([one.lead.pk]).get(one.lead.pk, ()), by=by, at=at, owner=owner)
        found[number] = dataclasses.replace(one, ladder=started)
    return found


def _start_all(ids: Sequence[int], owner: str, *, by: Actor, at: datetime) -> dict[int, NewLadder | Refused]:
    """Start the ladders of locked leads who were never followed up; return each one's, or why it does not."""
    candidates, book = candidates_of(ids, at)
    leads = [one.lead for one in candidates]
    before, active = followed_up_before(leads), active_ladders(leads)
    new = [one for one in candidates if one.lead.pk not in before and one.lead.pk not in active]
    begun = begin_all(new, book, by=by, at=at, owner=owner) if new else []
    made = {one.lead.pk: ladder for one, ladder in zip(new, begun, strict=True)}
    for pk, ladder in made.items():
        if isinstance(ladder, NewLadder) and (first := ladder.behind) is not None:
            ahead = made.get(first.lead_id)  # decided with this one, when its ladder had no id
            if isinstance(ahead, NewLadder):
                first = dataclasses.replace(first, ladder_id=ahead.ladder.pk)
            made[pk] = dataclasses.replace(ladder, waiting_for=waiting_for(first, by=by, at=at))
    for lead in leads:
        if lead.pk not in made:
            try:
                _require_first(lead, active, before)
            except Refused as refusal:
                made[lead.pk] = refusal
    return made


def _require_first(lead: Lead, active: Mapping[int, int], before: Collection[int]) -> None:
    """Refuse `ladder_active` or `followed_up_before` for a lead who starts no ladder by being sent."""
    require_none_active(lead, active)
    if lead.pk in before:
        raise Refused(HAD_LADDER, _("Followed up before; start a new ladder by hand."))
