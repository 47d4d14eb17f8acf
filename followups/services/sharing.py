"""All leads that have the number of a task, and one call's outcome recorded for several of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from followups.models import ContactPoint, FollowUpTask, Ladder, Lead
from followups.rules import CALLBACK, HANDOVER, HAPPENED, STOPPING
from followups.rules.completion import Completion
from followups.rules.outcomes import PERSON_ACTIVE, decide_date_only
from followups.services.cases import load_case, wanted_of
from followups.services.completing import Completed, complete_task, record_task
from followups.services.guards import require_claim
from followups.services.locked_task import LockedTask, lock_task, task_for_lead
from followups.services.locks import lock_leads, lock_numbers
from followups.services.plans import effects, write_plan
from governance.core.actors import Actor
from governance.core.errors import Invalid

MOST_LEADS = 20
OPEN = FollowUpTask.Status.OPEN
ENDED = (Lead.Status.WON, Lead.Status.DEAD)
Outcome = FollowUpTask.Outcome


@dataclass(frozen=True, slots=True)
class SharingLead:
    """Another lead with the number; without `lead_id` and name for people who may not see it."""

    id: int
    lead_id: str
    name: str
    status: str
    running: bool
    waiting: bool
    recordable: bool


def leads_with_number(point: ContactPoint | None, *, by: Actor, at: datetime) -> list[SharingLead]:
    """Return the other leads, up to 20 and the newest first, that have a point's number or address."""
    if point is None:
        return []
    holding = ContactPoint.objects.filter(digest=point.digest, status=ContactPoint.Status.USABLE)
    tasks = FollowUpTask.objects.filter(lead=OuterRef("pk"), status=OPEN, held_reason=PERSON_ACTIVE)
    leads = Lead.objects.filter(pk__in=holding.order_by().values("lead")).exclude(pk=point.lead_id)
    leads = leads.annotate(
        running=Exists(Ladder.objects.filter(lead=OuterRef("pk"), status=Ladder.Status.ACTIVE)),
        waiting=Exists(tasks),
    )
    found = list(leads.order_by("-created_at", "-pk")[:MOST_LEADS])
    if not found:
        return []
    mine = Lead.objects.filter(pk__in=[lead.pk for lead in found]).visible_to(by, at)
    seen = set(mine.values_list("pk", flat=True))
    return [
        SharingLead(
            id=lead.pk,
            lead_id=lead.external_id if lead.pk in seen else "",
            name=lead.name if lead.pk in seen else "",
            status=str(lead.get_status_display()),
            running=lead.running,
            waiting=lead.waiting,
            recordable=lead.status not in ENDED,
        )
        for lead in found
    ]


def complete_for(
    task_id: int, completion: Completion, *, by: Actor, at: datetime, also: Sequence[int] = ()
) -> Completed:
    """Complete a task and record its outcome for other leads with the same number, all or nothing.

    It completes the first open step of the channel on each of them, whatever its place; a callback or handoff
    is created once, for the task's own lead, and the others get its date. An opt-out needs no list: it stops
    every lead with the number.

    Raises what `complete_task` raises, `claimed_by_other` also if somebody else has claimed that step;
    Invalid for a lead that does not have this number or that has ended.
    """
    # an opt-out stops every lead with the number anyway
    if not also or completion.outcome == Outcome.OPTED_OUT:
        return complete_task(task_id, completion, by=by, at=at)
    others = _Others(task_id, sorted(set(also)), by, at)
    return complete_task(task_id, completion, by=by, at=at, also_on=others)


@dataclass(slots=True)
class _Others:
    """The ticked leads; `digest` is the number of the task."""

    task_id: int
    lead_ids: list[int]
    by: Actor
    at: datetime
    digest: str = ""

    def lock(self) -> None:
        """Lock the leads with the task's own, then their numbers. Raises Invalid, see `complete_for`."""
        own = FollowUpTask.objects.filter(pk=self.task_id).select_related("contact_point").first()
        if own is None:
            return  # the task's own service raises it
        self.digest = own.contact_point.digest if own.contact_point else ""
        self.lead_ids = [pk for pk in self.lead_ids if pk != own.lead_id]
        lock_leads([own.lead_id, *self.lead_ids])
        known = ContactPoint.objects.filter(lead__in=self.lead_ids).exclude(lead__status__in=ENDED)
        holding = known.filter(digest=self.digest, status=ContactPoint.Status.USABLE)
        shown = len(self.lead_ids) <= MOST_LEADS  # the card offers no more
        if not shown or {*self.lead_ids} - {*holding.values_list("lead_id", flat=True)}:
            raise Invalid(
                {"also": [_("A lead that you ticked no longer has this number, or has ended. Look again.")]}
            )
        points = ContactPoint.objects.filter(lead__in=[own.lead_id, *self.lead_ids]).order_by()
        lock_numbers(points.values_list("digest", flat=True))

    def record(self, done: Completed, completion: Completion) -> None:
        said = replace(completion, outcome=done.task.standing_outcome)
        for lead_id in self.lead_ids:
            _record_on(lead_id, said, done, self.digest, by=self.by, at=self.at)


def _record_on(
    lead_id: int, said: Completion, done: Completed, digest: str, *, by: Actor, at: datetime
) -> None:
    step = FollowUpTask.objects.filter(
        lead=lead_id, status=OPEN, channel=done.task.channel, ladder__isnull=False
    )
    step_id = step.order_by("step").values_list("pk", flat=True).first()
    if step_id is None:
        locked = task_for_lead(Lead.objects.get(pk=lead_id), done.task.channel, by, at)
    else:
        locked = lock_task(step_id, by=by, at=at, anybodys=True)
        if said.outcome not in HAPPENED and not said.happened:
            require_claim(locked.task, by, at, "")
    locked.task.contact_point = next(
        (p for p in locked.points if p.digest == digest), locked.task.contact_point
    )
    if step_id is not None:
        record_task(locked, said, done.task.contacted_at or at)
    if locked.lead.unanswered_since is not None:
        locked.lead.unanswered_since = None
        locked.lead.save(update_fields=["unanswered_since"])
    if said.outcome in STOPPING and (said.next or HANDOVER) in (CALLBACK, HANDOVER):
        _stop_for_promise(locked, said, done)
    else:
        effects(locked, said, just_done=step_id is not None)


def _stop_for_promise(locked: LockedTask, said: Completion, done: Completed) -> None:
    promised = done.next_task
    then = (promised.due_at or promised.scheduled_for) if promised else said.next_at
    wanted = replace(wanted_of(locked, said), next_at=then)
    write_plan(locked, decide_date_only(load_case(locked), wanted))
