"""The services of follow-ups.

Each is one transaction with its KPI events; the entry point passes `by` and `at`.
"""

from followups.rules.completion import Completion
from followups.services.claims import claim_due, free_expired_claims, release_claim, renew_claim
from followups.services.completing import Completed, complete_task, start_task
from followups.services.consents import record_heard_consent
from followups.services.corrections import correct_task
from followups.services.due import due_tasks
from followups.services.edits import (
    Settled,
    add_point,
    change_lead,
    retire_point,
    settle_by_hand,
    version_of,
)
from followups.services.figures import COUNTED_TO, board_figures, open_work, work_waiting
from followups.services.inbound import found_lead, look_up, record_inbound, zone_of
from followups.services.ladders import CREATE_LADDER, NewLadder, begin, create_ladder, stop_ladder
from followups.services.leads import (
    LeadDetails,
    facts_of,
    find_or_create,
    save_lead,
    settle_points,
    stop_for_suppressed,
)
from followups.services.locked_task import as_answer
from followups.services.lookup_limits import TooManyLookups
from followups.services.next_steps import NextStep, next_step_of
from followups.services.nurture import start_nurture
from followups.services.opt_outs import presses_to_undo, undo_opt_out
from followups.services.planning import reassign_found, reassign_tasks, skip_task, snooze_task
from followups.services.queue import next_task
from followups.services.rescheduling import bring_back_held, realign_due, request_realigning, would_move
from followups.services.sharing import SharingLead, complete_for, leads_with_number
from followups.services.sla import (
    escalate_overdue,
    newest_due,
    report_unopened_handovers,
    sla_of,
    snapshot_sla,
)
from followups.services.templates import Rest, save_template
from followups.services.upserts import (
    WRITE_LEADS,
    SentConsent,
    SentLead,
    SentPoint,
    Upserted,
    start_later,
    upsert_lead,
)
from followups.services.waiting import doubled_ladders, mark_shared

__all__ = [
    "SentConsent",
    "SentLead",
    "SentPoint",
    "Settled",
    "TooManyLookups",
    "Upserted",
    "WRITE_LEADS",
    "add_point",
    "change_lead",
    "retire_point",
    "settle_by_hand",
    "start_later",
    "upsert_lead",
    "version_of",
    "COUNTED_TO",
    "CREATE_LADDER",
    "Completed",
    "Completion",
    "LeadDetails",
    "NewLadder",
    "NextStep",
    "Rest",
    "SharingLead",
    "as_answer",
    "begin",
    "board_figures",
    "bring_back_held",
    "claim_due",
    "complete_for",
    "complete_task",
    "correct_task",
    "create_ladder",
    "doubled_ladders",
    "due_tasks",
    "escalate_overdue",
    "facts_of",
    "find_or_create",
    "found_lead",
    "free_expired_claims",
    "leads_with_number",
    "look_up",
    "mark_shared",
    "newest_due",
    "next_step_of",
    "next_task",
    "presses_to_undo",
    "realign_due",
    "record_heard_consent",
    "record_inbound",
    "reassign_found",
    "reassign_tasks",
    "release_claim",
    "report_unopened_handovers",
    "renew_claim",
    "request_realigning",
    "save_lead",
    "save_template",
    "settle_points",
    "skip_task",
    "sla_of",
    "snapshot_sla",
    "snooze_task",
    "start_nurture",
    "start_task",
    "stop_for_suppressed",
    "stop_ladder",
    "undo_opt_out",
    "open_work",
    "work_waiting",
    "would_move",
    "zone_of",
]
