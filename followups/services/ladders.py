"""Ladders: start them with permitted due times, stop them with a reason."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from followups.models import ContactPoint, FollowUpTask, Ladder, LadderTemplate, Lead
from followups.rules import Step, read_steps
from followups.rules.holders import Holder
from followups.rules.lead_gate import LeadGate
from followups.rules.new_ladder import NUMBER_SHARED, Beginning, Decided, decide_ladder, refusal_of
from followups.rules.outcomes import Plan
from followups.services.closing import cancel_open
from followups.services.guards import require_not_erased
from followups.services.leads import LeadDetails, fill_in, find_or_create, give_points, not_stored
from followups.services.locked_task import as_answer, facts_of_points
from followups.services.locks import lock_leads, lock_numbers
from followups.services.plans import emit_events
from followups.services.rescheduling import realign_leads
from followups.services.waiting import digests_of, holders_of, rejudge, release_after, waiting_for
from governance.contact.reasons import sentence
from governance.contact.services import GateContext, Where, open_book, questions_of_people
from governance.core.actors import Actor, Role, owner_key
from governance.core.channels import CHANNELS
from governance.core.compiled import CompiledQuery, CompiledUpdate, Listed, insert_rows, row_like
from governance.core.errors import Forbidden, Invalid, NotFound, Refused
from governance.core.places import ALL
from governance.core.verbs import Execution, verb

if TYPE_CHECKING:
    from followups.rules.new_ladder import NewSteps

CREATE_LADDER = "followups.create_ladder"


@dataclass(frozen=True, slots=True)
class NewLadder:
    """A ladder with its tasks in order; `behind` is the one that it waits for, if any."""

    ladder: Ladder
    tasks: Sequence[FollowUpTask]
    behind: Holder | None = None
    waiting_for: Mapping[str, object] | None = None
    warnings: Sequence[str] = ()

    def as_answer(self) -> dict[str, Any]:
        return {
            "ok": True,
            "ladder_id": self.ladder.pk,
            "tasks": [as_answer(task) for task in self.tasks],
            "waiting_for": self.waiting_for,
            "warnings": list(self.warnings),
        }


def require_owner(owner: str, by: Actor) -> None:
    """Refuse `owner_mismatch` if a person names another owner; only managers and programs may."""
    if (
        owner
        and owner_key(owner) != by.key
        and by.role not in (Role.MANAGER, Role.SERVICE)
        and not by.is_system
    ):
        raise Forbidden("owner_mismatch", _("Only a manager assigns a ladder to somebody else."))


# Refusals after which a call's data on a known lead is still stored.
KEPT_AFTER = frozenset({"ladder_active", "kill_switch_engaged", "go_live_disabled"})


def create_ladder(
    lead_id: str,
    *,
    by: Actor,
    at: datetime,
    province: str = "",
    market: str = "",
    owner: str = "",
    details: LeadDetails | None = None,
) -> NewLadder:
    """Start a ladder for a lead, created if not known, and return it with its tasks.

    While a ladder of another lead runs for the same number or address and the same name, or none, it waits:
    its steps are blocked as `person_active` until that one ends, except on a channel with its own point. With
    another name it starts, and `warnings` has `number_shared`.

    Raises Refused `ladder_active` naming the running one, `contact_denied` with the reason if the gate's
    checks 1 to 5 refuse, `template_disabled`; Invalid for a missing or another province. The call's data on a
    known lead is also stored if a ladder runs or the switches are off; `kept` of the refusal lists it.
    """
    details = details or LeadDetails()
    try:
        return _create(lead_id, province, market, details, owner=owner, by=by, at=at)
    except Refused as refusal:
        if refusal.code in KEPT_AFTER:
            with suppress(Refused):  # the first of the two refusals is answered
                kept, lost = keep_details(lead_id, province, market, details, by=by, at=at)
                refusal.extra |= {"kept": kept, "warnings": warnings_about(details, lost)}
        raise


@verb(Execution.PROD_EXEC, right=CREATE_LADDER)
def _create(
    lead_id: str, province: str, market: str, details: LeadDetails, *, owner: str, by: Actor, at: datetime
) -> NewLadder:
    require_owner(owner, by)
    lead, points, _new = find_or_create(lead_id, province, market, details, by=by, at=at)
    made = begin(lead, points, by=by, at=at, owner=owner)
    warnings = [*made.warnings, *warnings_about(details, not_stored(lead, details))]
    return replace(made, warnings=warnings, waiting_for=waiting_for(made.behind, by=by, at=at))


@verb(Execution.OBSERVE_ONLY, right=CREATE_LADDER)
def keep_details(
    lead_id: str, province: str, market: str, details: LeadDetails, *, by: Actor, at: datetime
) -> tuple[list[str], list[str]]:
    """Store data on a known lead without starting a ladder; return the names of new and of too large values.

    Open tasks get a number that they lacked, and are rescheduled for a city, market or score that was not
    known. Raises Forbidden without the permission, Invalid for another province, Refused `lead_erased`.
    """
    lead = Lead.objects.select_for_update().filter(external_id=lead_id).first()
    if lead is None:
        return [], list(details.extra)
    require_not_erased(lead)
    _points, names = fill_in(lead, province, market, details, by=by, at=at)
    if names:
        give_points(lead.pk, by=by)
        realign_leads([lead.pk], at=at, by=by)
        rejudge([lead.pk], by=by, at=at)
    return names, not_stored(lead, details)


def warnings_about(details: LeadDetails, lost: Collection[str]) -> list[str]:
    """Return a warning for each unknown parameter: whether its value is in the lead's `extra`, or not."""
    return [f"{'not_stored' if name in lost else 'unknown_field'}:{name}" for name in details.extra]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A locked lead who is to start a ladder, with their points and time zone."""

    lead: Lead
    points: Sequence[ContactPoint]
    where: Where


@CompiledQuery
def _templates_at() -> QuerySet[LadderTemplate]:
    return LadderTemplate.objects.filter(
        province__any_of=Listed("provinces"), market_key__any_of=Listed("market_keys")
    )


class Templates:
    """The templates of some leads, loaded in one query, and the steps that were read from them."""

    def __init__(self, leads: Collection[Lead]) -> None:
        rows = _templates_at(
            provinces=sorted({"", *(lead.province for lead in leads)}),
            market_keys=sorted({ALL, *(lead.place.market_key for lead in leads)}),
        )
        self._rows = {(row.province, row.market_key): row for row in rows}
        self._steps: dict[tuple[int, bool], tuple[Step, ...]] = {}
        self._kept: dict[tuple[int, bool], list[dict[str, Any]]] = {}

    def of(self, lead: Lead) -> LadderTemplate:
        """Return the template that `PlaceQuerySet.effective` would; refuse if there is none or it is off."""
        places = itertools.product((lead.province, ""), (lead.place.market_key, ALL))
        template: LadderTemplate | None = next(
            (self._rows[place] for place in places if place in self._rows), None
        )
        if template is None:
            raise Refused(
                "template_missing", _("There is no ladder template for this place; a manager must add one.")
            )
        if not template.enabled:
            raise Refused("template_disabled", _("The ladder template of this market is switched off."))
        return template

    def steps(self, template: LadderTemplate, *, nurture: bool = False) -> tuple[Step, ...]:
        key = template.pk, nurture
        if key not in self._steps:
            self._steps[key] = template.nurture if nurture else read_steps(template.steps)
        return self._steps[key]

    def kept_steps(self, template: LadderTemplate, *, nurture: bool = False) -> list[dict[str, Any]]:
        """Return the steps as a ladder keeps them: without blank scripts, a third of the row's size."""
        key = template.pk, nurture
        if key not in self._kept:
            steps = [step.as_json() for step in template.nurture] if nurture else template.steps
            self._kept[key] = [{name: value for name, value in step.items() if value != ""} for step in steps]
        return self._kept[key]


def begin(
    lead: Lead,
    points: Sequence[ContactPoint],
    *,
    by: Actor,
    at: datetime,
    owner: str = "",
    nurture: bool = False,
) -> NewLadder:
    """Start the ladder of a locked lead, with `nurture` the short one, inside the caller's transaction.

    Raises Refused, see `create_ladder`.
    """
    book, where = open_book(lead.place, at, city=lead.city, zone=lead.zone)
    (made,) = begin_all([Candidate(lead, points, where)], book, by=by, at=at, owner=owner, nurture=nurture)
    if isinstance(made, Refused):
        raise made
    return made


def begin_all(
    candidates: Sequence[Candidate],
    book: GateContext,
    *,
    by: Actor,
    at: datetime,
    owner: str = "",
    nurture: bool = False,
    decided: Decided | None = None,
) -> list[NewLadder | Refused]:
    """Start the ladders of locked leads and return each one's, or a refusal; it locks their numbers.

    Of two leads who are one person the later one waits, as if they had started one after the other. With
    `decided`, which may be used for many batches, what is the same for many leads is decided once.
    """
    active = active_ladders([one.lead for one in candidates])
    numbers = digests_of(point for one in candidates for point in one.points)
    lock_numbers(numbers)
    gates = gates_of(candidates, book, at)
    holders = holders_of(numbers)
    templates = Templates([one.lead for one in candidates])
    begun: list[_Begun | Refused] = []
    for one in candidates:
        try:
            require_not_erased(one.lead)
            require_none_active(one.lead, active)
            template = templates.of(one.lead)
            steps, gate = templates.steps(template, nurture=nurture), gates[one.lead.pk]
            require_allowed(gate, steps, decided)
        except Refused as refusal:
            begun.append(refusal)
            continue
        beginning = Beginning(one.lead.pk, one.lead.name, one.lead.province, steps, nurture)
        plan = decide_ladder(beginning, gate, holders, decided)
        kept = templates.kept_steps(template, nurture=nurture)
        begun.append(_Begun(one.lead, one.points, template, kept, plan, nurture))
        if plan.begun is not None:
            holders = holders.having(plan.begun.mine, one.points)
    made = iter(_write([one for one in begun if isinstance(one, _Begun)], by=by, at=at, owner=owner))
    return [next(made) if isinstance(one, _Begun) else one for one in begun]


@CompiledQuery
def _leads_with_tasks() -> QuerySet[FollowUpTask, int]:
    tasks = FollowUpTask.objects.filter(lead_id__any_of=Listed("ids")).order_by()
    return tasks.values_list("lead_id", flat=True)


def followed_up_before(leads: Sequence[Lead]) -> set[int]:
    """Return the primary keys of leads who have had a task, or whose status is no longer new."""
    had = _leads_with_tasks(ids=[lead.pk for lead in leads])
    return {*had} | {lead.pk for lead in leads if lead.status != Lead.Status.NEW}


@CompiledQuery
def _active_ladders() -> QuerySet[Ladder, tuple[int, int]]:
    running = Ladder.objects.filter(lead_id__any_of=Listed("ids"), status=Ladder.Status.ACTIVE)
    return running.values_list("lead_id", "pk")


def active_ladders(leads: Sequence[Lead]) -> dict[int, int]:
    """Return the active ladder of each lead who has one, by primary keys."""
    return dict(_active_ladders(ids=[lead.pk for lead in leads]))


def require_none_active(lead: Lead, active: Mapping[int, int]) -> None:
    """Refuse `ladder_active`, naming it, if the lead has an active ladder."""
    if lead.pk in active:
        raise Refused(
            "ladder_active",
            _("Lead %(lead)s has the active ladder %(ladder)s already.")
            % {"lead": lead.external_id, "ladder": active[lead.pk]},
            extra={"ladder_id": active[lead.pk]},
        )


def gates_of(candidates: Sequence[Candidate], book: GateContext, at: datetime) -> dict[int, LeadGate]:
    """Return the gate of each lead by primary key; what is stored about them all is loaded in one query."""
    people = {one.lead.pk: (facts_of_points(one.lead, one.points), one.lead.score) for one in candidates}
    questions = questions_of_people(CHANNELS, people, at=at)
    return {
        pk: LeadGate(at, one.where, book, tuple(point.state for point in one.points), questions[pk])
        for one in candidates
        if (pk := one.lead.pk)
    }


def require_allowed(gate: LeadGate, steps: Sequence[Step], decided: Decided | None = None) -> None:
    """Refuse `contact_denied` if the gate refuses for a reason that no other hour changes."""
    reason = refusal_of(gate, [step.channel for step in steps], decided)
    if reason:
        raise Refused("contact_denied", sentence(reason), extra={"reason": reason, "next_allowed_at": None})


@dataclass(frozen=True, slots=True)
class _Begun:
    """A ladder that was decided and is about to be written."""

    lead: Lead
    points: Sequence[ContactPoint]
    template: LadderTemplate
    steps: list[dict[str, Any]]
    plan: Plan
    nurture: bool = False

    @property
    def new(self) -> NewSteps:
        assert self.plan.begun is not None
        return self.plan.begun

    def ladder(self, blank: Ladder) -> Ladder:
        """Return the new ladder; `blank` has what all ladders of the call share."""
        template = self.template
        ladder = row_like(
            blank, lead_id=self.lead.pk, template_id=template.pk, template_version=template.version,
            nurture=self.nurture, steps=self.steps, queued_at=self.new.mine.queued_at,
        )  # fmt: skip
        ladder._state.fields_cache.update(lead=self.lead, template=template)
        return ladder

    def tasks(self, ladder: Ladder, blank: FollowUpTask) -> list[FollowUpTask]:
        """Return the new tasks; `blank` has what all tasks of the call share."""
        lead, points = self.lead, {point.pk: point for point in self.points}
        made = []
        for values in self.new.steps:
            task = row_like(
                blank, lead_id=lead.pk, ladder_id=ladder.pk, province=lead.province,
                market_key=lead.market_key, **values,
            )  # fmt: skip
            point = points.get(values["contact_point_id"])
            task._state.fields_cache.update(lead=lead, ladder=ladder, contact_point=point)
            made.append(task)
        return made

    def set_lead(self) -> None:
        for name, value in self.plan.lead.items():
            setattr(self.lead, name, value)


_update_leads = CompiledUpdate(lambda: Lead.objects.filter(pk__any_of=Listed("ids")))


def _write(decided: Sequence[_Begun], *, by: Actor, at: datetime, owner: str) -> list[NewLadder]:
    """Write new ladders, with their tasks, leads and KPI events: one statement each."""
    if not decided:
        return []
    blank_ladder = Ladder(owner=owner.strip(), started_at=at, **by.written())
    ladders = [one.ladder(blank_ladder) for one in decided]
    insert_rows(ladders)
    begun = list(zip(decided, ladders, strict=True))
    blank = FollowUpTask(created_at=at, **by.written())
    blank.set_owner(owner)
    tasks = [one.tasks(ladder, blank) for one, ladder in begun]
    insert_rows([task for of_ladder in tasks for task in of_ladder])
    # the leads' new values are the same for all ladders that start at one instant
    for one in decided:
        one.set_lead()
    _update_leads(decided[0].plan.lead, ids=[one.lead.pk for one in decided])
    events = [
        replace(event, detail={"ladder": ladder.pk, **event.detail})
        for one, ladder in begun
        for event in one.plan.events
    ]
    emit_events(events, by=by, at=at)
    return [
        NewLadder(ladder, of_ladder, one.new.behind, warnings=(NUMBER_SHARED,) if one.new.is_shared else ())
        for (one, ladder), of_ladder in zip(begun, tasks, strict=True)
    ]


@verb(Execution.OBSERVE_ONLY, right="followups.stop_ladder")
def stop_ladder(ladder_id: int, *, by: Actor, at: datetime, reason: str) -> Ladder:
    """Stop a ladder with a reason; its open steps are cancelled and their claims end.

    Raises Refused `ladder_ended` for one that has ended.
    """
    if not reason.strip():
        raise Invalid({"reason": [_("Say why the ladder stops.")]})
    ladder = Ladder.objects.filter(pk=ladder_id).first()
    if ladder is None:
        raise NotFound(_("There is no such ladder."), code="ladder_not_found")
    lock_leads([ladder.lead_id])
    ladder.refresh_from_db()
    if ladder.status != Ladder.Status.ACTIVE:
        raise Refused(
            "ladder_ended", _("This ladder has ended already."), extra={"ladder_status": ladder.status}
        )
    stop_running([ladder.lead_id], reason=reason.strip(), by=by, at=at)
    cancel_open([ladder.lead_id], by=by, reason=reason.strip(), kinds=[FollowUpTask.Kind.LADDER])
    release_after([ladder.lead_id], by=by, at=at)
    ladder.refresh_from_db()
    return ladder


def stop_running(lead_ids: Sequence[int], *, reason: str, by: Actor, at: datetime) -> int:
    """Stop the active ladders of locked leads, but none of their tasks; return how many."""
    return Ladder.objects.filter(lead_id__in=list(lead_ids), status=Ladder.Status.ACTIVE).update(
        status=Ladder.Status.STOPPED, stop_reason=reason[:200], ended_at=at, **by.written()
    )


def stop_ladders_of(lead_ids: Sequence[int], *, reason: str, by: Actor, at: datetime) -> None:
    """Stop the active ladders of locked leads and everything else that is open for them."""
    stop_running(lead_ids, reason=reason, by=by, at=at)
    cancel_open(lead_ids, by=by, reason=reason)
    done = Lead.objects.filter(pk__in=list(lead_ids)).exclude(status__in=[Lead.Status.WON, Lead.Status.DEAD])
    done.update(status=Lead.Status.DEAD, follow_up_at=None, nurture_at=None, updated_at=at, **by.written())
    release_after(lead_ids, by=by, at=at)
