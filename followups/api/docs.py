"""What the schema says about follow-ups."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from followups.api.serializers import CreateLadderInput, UpsertLeadInput
from governance.core.rest.describe import (
    BULK,
    BULK_FIELDS,
    SWITCHES,
    Answer,
    BulkAnswer,
    Doc,
    ItemOfBulk,
    Tag,
    codes,
    fraction,
    ok,
)

TAG = Tag(
    "Follow-ups",
    "Leads, the ladders of tasks that follow them up, and working those tasks. Who is not a manager, a "
    "closer or a service client sees their own leads and unassigned ones.",
)
REFUSALS = {
    "ladder_active": (
        409,
        "A ladder runs for this lead already; `ladder_id` names it, `kept` what was stored.",
    ),
    "person_active": (409, "Another lead with this number or address is being followed up."),
    "contact_denied": (409, "The gate refuses; `reason` and `next_allowed_at` say why and until when."),
    "out_of_sequence": (409, "An earlier step of this lead comes first."),
    "outcome_differs": (409, "The task was completed with another outcome; correct it instead."),
    "task_closed": (409, "The task is closed."),
    "claimed_by_other": (409, "Somebody else is working on the task."),
    "claim_lost": (409, "The claim has ended; claim the task again."),
    "not_completed": (409, "Only a completed task can be corrected."),
    "ladder_ended": (409, "The ladder has ended; `ladder_status` says how."),
    "template_missing": (409, "There is no ladder template for this place."),
    "template_disabled": (409, "The ladder template of this market is off."),
    "lead_erased": (409, "The lead's personal information was deleted; nothing more is stored about them."),
    "owner_mismatch": (403, "Only a manager or a service client assigns a ladder to somebody else."),
    "not_your_task": (403, "The task belongs to somebody else."),
    "too_late_to_correct": (403, "Only until the end of the next day; ask a manager."),
    "needs_manager": (403, "The outcome is an opt-out; only a manager undoes it."),
    "task_not_found": (404, "There is no such task, or you may not see it."),
    "ladder_not_found": (404, "There is no such ladder."),
    "lead_not_found": (404, "There is no such lead."),
    "person_erased": (409, "This person asked to be erased; nothing is stored about them."),
    "lead_suppressed": (409, "The lead is suppressed on every channel; a manager changes them by hand."),
    "point_retired": (409, "The number or address was retired as wrong."),
    "too_many_points": (409, "The lead has 50 contact points."),
    "point_not_found": (404, "The lead has no such contact point."),
    "stale_version": (412, "The lead or a contact point changed since; `version` is the current one."),
    "precondition_required": (428, "Send `If-Match` with the `ETag` that you read."),
    "too_many_lookups": (429, "Too many people were looked up; `Retry-After` says when to try again."),
    "contact_key": (503, "The key of the do-not-contact list is missing; nobody may be contacted."),
}


class PlannedTask(Answer):
    """A task as planned; `due_at` is null while it is blocked."""

    id = serializers.IntegerField()
    due_at = serializers.DateTimeField(allow_null=True)
    scheduled_for = serializers.DateTimeField(
        allow_null=True, help_text="When the ladder wants it, before the gate's times."
    )
    channel = serializers.CharField()
    step = serializers.IntegerField(allow_null=True)


class WaitingFor(Answer):
    """The ladder that this one waits for; null values if you may not see that lead."""

    lead_id = serializers.CharField(allow_null=True)
    ladder_id = serializers.IntegerField(allow_null=True)


class NewLadder(Answer):
    """The ladder with its tasks in order."""

    ok = ok()
    ladder_id = serializers.IntegerField()
    tasks = PlannedTask(many=True)
    waiting_for = WaitingFor(allow_null=True)
    warnings = codes(help_text="`number_shared`, `unknown_field:NAME`, `not_stored:NAME`.")


class LadderStatus(Answer):
    """A ladder and how it stands."""

    id = serializers.IntegerField()
    status = serializers.CharField()


class Stopped(Answer):
    """The ladder after it was stopped."""

    ok = ok()
    ladder = LadderStatus()


class DueLead(Answer):
    """Whom the task is about."""

    name = serializers.CharField()
    phone = serializers.CharField(allow_null=True)
    email = serializers.CharField(allow_null=True)
    language = serializers.CharField(allow_null=True)
    local_time = serializers.CharField(help_text="Now, in the lead's local time.")


class Contact(Answer):
    """What the gate decides now."""

    ok = serializers.BooleanField()
    reason = serializers.CharField()
    next_allowed_at = serializers.DateTimeField(allow_null=True)


class DueTask(Answer):
    """A task that is due."""

    id = serializers.IntegerField()
    lead_id = serializers.CharField()
    lead = DueLead()
    province = serializers.CharField()
    market = serializers.CharField()
    zone = serializers.CharField()
    channel = serializers.CharField()
    kind = serializers.CharField()
    step = serializers.IntegerField(allow_null=True)
    due_at = serializers.DateTimeField()
    deadline_at = serializers.DateTimeField(allow_null=True)
    overdue_minutes = serializers.IntegerField(help_text="Minutes of allowed contact since it was due.")
    owner = serializers.CharField(allow_null=True)
    claimed_by = serializers.CharField(allow_null=True)
    contact = Contact()


class Due(Answer):
    """The due tasks, oldest or most urgent first."""

    ok = ok()
    due = DueTask(many=True)


class Claimed(Answer):
    """The tasks claimed, most urgent first; the token is null if there was none."""

    ok = ok()
    claim_token = serializers.CharField(allow_null=True)
    claim_until = serializers.DateTimeField(allow_null=True)
    tasks = DueTask(many=True)


class SlaFigures(Answer):
    """How due tasks were answered; fractions are null without tasks."""

    count = serializers.IntegerField()
    within_5m = fraction(allow_null=True)
    within_30m = fraction(allow_null=True)
    within_2h = fraction(allow_null=True)
    median_minutes = serializers.FloatField(allow_null=True, help_text="Minutes of the chosen clock.")
    p90_minutes = serializers.FloatField(allow_null=True, help_text="Minutes of the chosen clock.")
    overdue_open = serializers.IntegerField()


class Sla(Answer):
    """The SLA of due tasks, and of each group."""

    ok = ok()
    sla = SlaFigures()
    groups = serializers.ListField(
        child=serializers.DictField(), help_text="The same figures with the group's value under its name."
    )
    truncated = serializers.BooleanField(help_text="True if there are more tasks than were counted.")


class Started(Answer):
    """The start and its claim; repeated within five minutes it is the same."""

    ok = ok()
    decision_id = serializers.IntegerField(allow_null=True, help_text="The gate's stored decision.")
    valid_until = serializers.DateTimeField()
    claim_token = serializers.CharField()
    claim_until = serializers.DateTimeField(allow_null=True)
    contact_point = serializers.CharField(allow_null=True, help_text="The number or address to use.")


class CompletedTask(Answer):
    """The completed task."""

    id = serializers.IntegerField()
    completed_at = serializers.DateTimeField(allow_null=True)
    step = serializers.IntegerField(allow_null=True)
    channel = serializers.CharField()
    outcome = serializers.CharField(allow_null=True)


class Completed(Answer):
    """The completed task and the next one, if any."""

    ok = ok()
    task = CompletedTask()
    next_task = PlannedTask(allow_null=True)
    already_completed = serializers.BooleanField(help_text="True if it was completed before, the same way.")


class CorrectedTask(CompletedTask):
    """The corrected task; `outcome` is the first one."""

    corrected_to = serializers.CharField(allow_null=True)


class Corrected(Answer):
    """The corrected task and the next one, if any."""

    ok = ok()
    task = CorrectedTask()
    next_task = PlannedTask(allow_null=True)
    already_corrected = serializers.BooleanField()


class Renewed(Answer):
    """Until when the claim lasts."""

    ok = ok()
    claim_until = serializers.DateTimeField()


class Released(Answer):
    """Whether there was a claim of yours."""

    ok = ok()
    released = serializers.BooleanField()


class SnoozedTask(Answer):
    """The task at its new time."""

    id = serializers.IntegerField()
    snoozed_until = serializers.DateTimeField(allow_null=True)
    due_at = serializers.DateTimeField(allow_null=True)


class Snoozed(Answer):
    """The snoozed task."""

    ok = ok()
    task = SnoozedTask()


class SkippedTask(Answer):
    """The skipped task."""

    id = serializers.IntegerField()
    status = serializers.CharField()
    step = serializers.IntegerField(allow_null=True)
    channel = serializers.CharField()


class Skipped(Answer):
    """The skipped task and the next one, if any."""

    ok = ok()
    task = SkippedTask()
    next_task = PlannedTask(allow_null=True)


class Reassigned(Answer):
    """How many tasks were reassigned."""

    ok = ok()
    reassigned = serializers.IntegerField()


class ReassignedMany(Reassigned):
    """How many tasks were reassigned, and how many that match are left for another call."""

    remaining = serializers.IntegerField()


class Inbound(Answer):
    """The stored contact and the next task, if any."""

    ok = ok()
    inbound_id = serializers.IntegerField()
    next_task = PlannedTask(allow_null=True)


class Point(Answer):
    """A phone number or an e-mail address."""

    kind = serializers.CharField()
    value = serializers.CharField()
    whose = serializers.CharField()
    status = serializers.CharField()


class LadderOwner(LadderStatus):
    """A ladder with its owner."""

    owner = serializers.CharField()


class LastContact(Answer):
    """The last contact with the lead."""

    contacted_at = serializers.DateTimeField(allow_null=True)
    channel = serializers.CharField()
    outcome = serializers.CharField()
    completed_by = serializers.CharField()


class FoundLead(Answer):
    """A lead that was looked up."""

    id = serializers.IntegerField()
    lead_id = serializers.CharField()
    name = serializers.CharField()
    province = serializers.CharField()
    market = serializers.CharField()
    language = serializers.CharField(allow_null=True)
    status = serializers.CharField()
    zone = serializers.CharField()
    local_time = serializers.CharField()
    points = Point(many=True)
    contact = serializers.DictField(help_text="By channel: `ok` and `reason`.")
    ladder = LadderOwner(allow_null=True)
    current_task = PlannedTask(allow_null=True)
    last_contact = LastContact(allow_null=True)


class Found(Answer):
    """At most 10 leads, newest first."""

    ok = ok()
    leads = FoundLead(many=True)


class OwnPoint(Point):
    """A phone number or an e-mail address of a lead."""

    id = serializers.IntegerField()

    def get_fields(self) -> Any:  # `label` is an argument of every field
        return {**super().get_fields(), "label": serializers.CharField()}


class OtherLead(Answer):
    """Another lead."""

    id = serializers.IntegerField()
    lead_id = serializers.CharField()


class RecordedConsent(Answer):
    """What became of a consent: recorded now, or `already` before, or not, with the `reason`."""

    channel = serializers.CharField()
    kind = serializers.CharField()
    recorded = serializers.BooleanField()
    already = serializers.BooleanField()
    reason = serializers.CharField(allow_null=True, help_text="`suppressed` or `no_contact_point`.")


class LadderStart(Answer):
    """The ladder that started, or with `started` false the reason why it did not."""

    started = serializers.BooleanField()
    ladder_id = serializers.IntegerField(required=False)
    tasks = PlannedTask(many=True, required=False)
    waiting_for = WaitingFor(allow_null=True, required=False)
    warnings = codes(required=False)
    reason = serializers.CharField(required=False)
    detail = serializers.CharField(required=False, help_text="A sentence for people.")
    next_allowed_at = serializers.DateTimeField(allow_null=True, required=False)


class UpsertedLead(Answer):
    """What became of the lead; ids and names of columns, never values."""

    ok = ok()
    id = serializers.IntegerField()
    lead_id = serializers.CharField()
    created = serializers.BooleanField()
    matched_by = serializers.CharField(allow_null=True, help_text="`lead_id`, `phone` or `email`.")
    changed = codes(help_text="The columns and contact points with something new.")
    possible_duplicates = OtherLead(many=True, help_text="Others with one of the numbers, at most 10.")
    consents = RecordedConsent(many=True)
    ladder = LadderStart(allow_null=True)
    warnings = codes(help_text="`unknown_field:NAME`, `not_stored:NAME`, `point_retired:phone`.")


class ChangedLead(Answer):
    """The columns that changed."""

    ok = ok()
    id = serializers.IntegerField()
    lead_id = serializers.CharField()
    changed = codes()


class SettledLead(Answer):
    """The lead as settled, and what that ended."""

    ok = ok()
    id = serializers.IntegerField()
    lead_id = serializers.CharField()
    status = serializers.CharField()
    follow_up_at = serializers.DateTimeField(allow_null=True)
    changed = serializers.BooleanField(help_text="false: the lead was settled so already.")
    ladders_stopped = serializers.IntegerField()
    tasks_cancelled = serializers.IntegerField()


class PointStatus(Answer):
    """A contact point without its value."""

    id = serializers.IntegerField()
    kind = serializers.CharField()
    status = serializers.CharField()


class ChangedPoint(Answer):
    """A contact point after it was added or retired."""

    ok = ok()
    changed = serializers.BooleanField(help_text="false: it was so already.")
    contact_point = PointStatus()


class NextTask(PlannedTask):
    """The current task."""

    owner = serializers.CharField(allow_null=True)


class NextOfLead(Answer):
    """What happens next."""

    ok = ok()
    lead_id = serializers.CharField()
    status = serializers.CharField()
    now = serializers.BooleanField(help_text="Whether it is to be done now.")
    kind = serializers.CharField(
        allow_null=True,
        help_text="LADDER, CALLBACK, HANDOVER; FOLLOW_UP or NURTURE for a date; null: nothing.",
    )
    at = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField(
        allow_null=True,
        help_text="Why it is not now: `not_due`, `snoozed`, `claimed_by_other`, `not_your_task`, `won`, "
        "`dead`, `no_next_step`, or the gate's reason.",
    )
    task = NextTask(allow_null=True)
    contact = Contact(allow_null=True, help_text="What the gate decides now about contact for the task.")


class LeadItem(ItemOfBulk, UpsertLeadInput):
    """An item of POST /leads/bulk."""


class LadderItem(ItemOfBulk, CreateLadderInput):
    """An item of POST /ladders/bulk."""


SHAPES = {
    "BulkLeadsInput.items": LeadItem(many=True),
    "BulkLaddersInput.items": LadderItem(many=True),
    "LeadSerializer.points": OwnPoint(many=True),
    "LeadSerializer.extra": serializers.DictField(help_text="What the source sent beyond the known columns."),
    "LeadSerializer.score": fraction(allow_null=True),
}
WORKING = ("task_not_found", "not_your_task", "claimed_by_other", "task_closed")
NEXT = {
    "next": "What comes next: CALLBACK, HANDOVER, NOT_NOW, NOT_INTERESTED or SOLD_OR_LISTED; blank for the "
    "ladder's next step.",
    "next_at": "When, with CALLBACK or NOT_NOW: an instant, or a date, which means noon UTC.",
}
CLAIM = {"claim_token": "The token of your claim; proves that the task is still yours."}
DOCS = {
    "LadderViewSet.create": Doc(
        "Start a ladder for a lead",
        "Creates the lead if it is not known, and plans the tasks of its ladder at permitted times. Any "
        "other parameter is stored in the lead's `extra`, and `warnings` has `unknown_field:NAME`. For a "
        "known lead the data is also stored when the answer is 409 `ladder_active` or 503; `kept` of the "
        "refusal lists what was new.",
        answer=NewLadder,
        status=201,
        refusals=(
            "ladder_active",
            "contact_denied",
            "template_missing",
            "template_disabled",
            "lead_erased",
            "owner_mismatch",
            "contact_key",
            *SWITCHES,
        ),  # fmt: skip
        fields={
            "lead_id": "The lead's id in your system.",
            "owner": "The VA who works the lead; blank for anybody.",
            "phone": "In any common form; stored as E.164.",
            "score": "The lead's quality, 0 to 1.",
            "cost": "What the lead cost, CAD.",
            "zone": "The lead's IANA time zone, if known.",
        },
    ),
    "LadderViewSet.create_many": Doc(
        "Start ladders in bulk", f"Items as in the single call. {BULK}", answer=BulkAnswer, fields=BULK_FIELDS
    ),
    "LadderViewSet.stop": Doc(
        "Stop a ladder",
        "Cancels its open tasks.",
        answer=Stopped,
        refusals=("ladder_not_found", "ladder_ended"),
    ),
    "TaskViewSet.due": Doc(
        "List due tasks",
        "The current steps that are due, with whom to contact and what the gate decides now.",
        answer=Due,
        fields={
            "limit": "At most 500.",
            "contactable": "true or false: only those that the gate allows or refuses now.",
            "order": "`due`: oldest first; `urgent`: most urgent first.",
        },
    ),
    "TaskViewSet.claim": Doc(
        "Claim due tasks",
        "Claims up to `limit` of the most urgent tasks for 15 minutes, so that nobody else works them.",
        answer=Claimed,
        refusals=SWITCHES,
    ),
    "TaskViewSet.sla": Doc(
        "Get the SLA",
        "Of the newest due tasks, or of those due between two instants.",
        answer=Sla,
        fields={
            "last": "How many of the newest due tasks count.",
            "since": "An instant, or a date, which means noon UTC.",
            "until": "An instant, or a date, which means noon UTC.",
            "clock": "`allowed` counts minutes in which contact was allowed, `wall` all of them.",
        },
    ),
    "TaskViewSet.start": Doc(
        "Start a task",
        "Call it right before contacting the lead: the gate decides and its decision is stored. A start is "
        "valid for five minutes.",
        answer=Started,
        refusals=(
            *WORKING,
            "contact_denied",
            "out_of_sequence",
            "person_active",
            "lead_erased",
            "contact_key",
            *SWITCHES,
        ),  # fmt: skip
        fields=CLAIM,
    ),
    "TaskViewSet.complete": Doc(
        "Complete a task",
        "Stores the outcome and plans what comes next. Repeating it with the same outcome changes nothing.",
        answer=Completed,
        refusals=(
            *WORKING,
            "contact_denied",
            "out_of_sequence",
            "outcome_differs",
            "person_active",
            "lead_erased",
            "contact_key",
            *SWITCHES,
        ),  # fmt: skip
        fields={
            **CLAIM,
            **NEXT,
            "outcome": "Blank for the channel's default.",
            "contacted_at": "When, if not now.",
            "override_reason": "Why the gate's refusal does not count; for closers and managers.",
            "happened": "true: the contact took place before it could be recorded, whatever the gate says.",
            "note": "Up to 1 MB.",
        },
    ),
    "TaskViewSet.renew": Doc(
        "Renew a claim",
        "To 15 minutes from now, up to 2 hours in all.",
        answer=Renewed,
        refusals=("task_not_found", "not_your_task", "claim_lost"),
    ),
    "TaskViewSet.release": Doc(
        "Release a claim",
        "Releasing twice changes nothing.",
        answer=Released,
        refusals=("task_not_found", "not_your_task"),
    ),
    "TaskViewSet.snooze": Doc(
        "Snooze a task",
        "Moves it to the first permitted time from `until` on.",
        answer=Snoozed,
        refusals=(*WORKING, "contact_denied", "out_of_sequence", "contact_key"),
        fields={**CLAIM, "until": "An instant, or a date, which means noon UTC."},
    ),
    "TaskViewSet.skip": Doc(
        "Skip a task",
        "The ladder continues with its next step.",
        answer=Skipped,
        refusals=(*WORKING, "out_of_sequence", "contact_key"),
        fields=CLAIM,
    ),
    "TaskViewSet.reassign": Doc(
        "Reassign a task",
        answer=Reassigned,
        refusals=("task_not_found",),
        fields={"owner": "Blank: anybody."},
    ),
    "TaskViewSet.reassign_many": Doc(
        "Reassign tasks",
        "By their ids, or by a filter: 500 a call, `remaining` says how many are left.",
        answer=ReassignedMany,
        fields={
            "owner": "Blank: anybody.",
            "ids": "At most 500 task ids.",
            "of_owner": "Whose; blank: nobody's.",
        },
    ),
    "TaskViewSet.correct": Doc(
        "Correct an outcome",
        "Stores another outcome for a completed task, and what follows from it.",
        answer=Corrected,
        refusals=(
            "task_not_found",
            "not_completed",
            "not_your_task",
            "too_late_to_correct",
            "needs_manager",
            "ladder_active",
            "out_of_sequence",
            "contact_denied",
            "lead_erased",
            "contact_key",
        ),  # fmt: skip
        fields=NEXT,
    ),
    "TaskViewSet.lookup": Doc(
        "Look a lead up",
        "By phone, e-mail or lead id, one of them. Look-ups are logged. Use POST for a phone number or an "
        "e-mail address: proxies and logs store URLs.",
        answer=Found,
        refusals=("too_many_lookups", "contact_key"),
    ),
    "TaskViewSet.inbound": Doc(
        "Record an inbound contact",
        "The lead called or wrote. Their running ladder continues with what `next` says.",
        answer=Inbound,
        status=201,
        refusals=("lead_not_found", "lead_erased", "contact_key"),
        fields={**NEXT, "outcome": "REACHED, REPLIED, OPTED_OUT or blank.", "note": "Up to 1 MB."},
    ),
    "LeadCollection.upsert": Doc(
        "Create or update a lead",
        "With a `lead_id` values replace the stored ones. Without one, the only lead with the phone or "
        "e-mail is filled in, unless name, province, city or postal code contradicts; otherwise a lead is "
        "created, and `possible_duplicates` names the others. Numbers and addresses are added, never "
        "removed. Any other parameter is stored in the lead's `extra`. 201 if the lead was created.",
        answer=UpsertedLead,
        status=201,
        also=(200,),
        refusals=("person_erased", "lead_erased", "owner_mismatch", "contact_key"),
        fields={
            "lead_id": "The lead's id in your system; blank if it has none.",
            "owner": "The VA who works the ladder; blank for anybody.",
            "phone": "In any common form; stored as E.164.",
            "score": "The lead's quality, 0 to 1.",
            "cost": "What the lead cost, CAD.",
            "zone": "The lead's IANA time zone, if known.",
            "ladder": "true: start a ladder, in the same transaction; `ladder` says why not.",
            "contact_points": "Further numbers and addresses, at most 20.",
            "consents": "At most 20.",
        },
    ),
    "LeadCollection.upsert_many": Doc(
        "Create or update leads in bulk",
        f"Items as in the single call. {BULK}",
        answer=BulkAnswer,
        fields=BULK_FIELDS,
    ),
    "LeadCollection.next_step": Doc(
        "Get a lead's next step",
        "The current task or the date of the next contact, and why it is not now. Nothing is stored.",
        answer=NextOfLead,
        refusals=("lead_not_found", "contact_key"),
    ),
    "LeadCollection.change": Doc(
        "Change a lead",
        "Changes the columns that you send; blank or null clears one. A lead who moves loses city, postal "
        "code and time zone, unless you send new ones.",
        answer=ChangedLead,
        refusals=(
            "lead_not_found",
            "lead_erased",
            "lead_suppressed",
            "stale_version",
            "precondition_required",
            "contact_key",
        ),
    ),
    "LeadCollection.won": Doc(
        "Set a lead to won",
        "Ends the ladder and everything open.",
        answer=SettledLead,
        refusals=("lead_not_found", "lead_erased"),
    ),
    "LeadCollection.dead": Doc(
        "Set a lead to dead",
        "Ends the ladder and everything open.",
        answer=SettledLead,
        refusals=("lead_not_found", "lead_erased"),
    ),
    "LeadCollection.not_now": Doc(
        "Set a lead to not now",
        "Ends the ladder and everything open.",
        answer=SettledLead,
        refusals=("lead_not_found", "lead_erased"),
        fields={"until": "An instant, or a date, which means noon UTC; at most two years ahead."},
    ),
    "LeadCollection.add_point": Doc(
        "Add a contact point",
        "Open tasks without a number or address get it.",
        answer=ChangedPoint,
        status=201,
        also=(200,),
        refusals=(
            "lead_not_found",
            "lead_erased",
            "lead_suppressed",
            "point_retired",
            "too_many_points",
            "contact_key",
        ),
        fields={"whose": "Blank: the lead's own."},
    ),
    "LeadCollection.retire_point": Doc(
        "Retire a contact point",
        "It turned out to be wrong: open tasks continue with the next one.",
        answer=ChangedPoint,
        refusals=("lead_not_found", "point_not_found", "lead_erased", "contact_key"),
    ),
    "LeadCollection.list": Doc("List leads", "Newest first."),
    "LeadCollection.retrieve": Doc("Get a lead"),
    "TaskCollection.list": Doc(
        "List tasks", "Newest first. `response_minutes` are minutes of allowed contact."
    ),
    "TaskCollection.retrieve": Doc("Get a task"),
}
