"""The verbs of follow-ups. Each is one transaction with its KPI events; `by` and `at` come from the door."""

from followups.services.claiming import claim_due, free_expired_claims, release_claim, renew_claim
from followups.services.completing import Completed, Completion, complete_task, start_task
from followups.services.correcting import correct_task
from followups.services.desk import as_answer
from followups.services.due import due_tasks
from followups.services.figures import COUNTED_TO, board_figures, open_work, work_waiting
from followups.services.fronting import next_task
from followups.services.inbound import found_lead, look_up, record_inbound, zone_of
from followups.services.ladders import NewLadder, begin, create_ladder, stop_ladder
from followups.services.leads import (
    LeadDetails,
    facts_of,
    find_or_create,
    save_lead,
    settle_points,
    stop_for_suppressed,
)
from followups.services.planning import reassign_found, reassign_tasks, skip_task, snooze_task
from followups.services.realigning import bring_back_held, realign_due, request_realigning, would_move
from followups.services.sla import escalate_overdue, sla_of, snapshot_sla
from followups.services.templates import save_template

__all__ = [
    "COUNTED_TO",
    "Completed",
    "Completion",
    "LeadDetails",
    "NewLadder",
    "as_answer",
    "begin",
    "board_figures",
    "bring_back_held",
    "claim_due",
    "complete_task",
    "correct_task",
    "create_ladder",
    "due_tasks",
    "escalate_overdue",
    "facts_of",
    "find_or_create",
    "found_lead",
    "free_expired_claims",
    "look_up",
    "next_task",
    "realign_due",
    "record_inbound",
    "reassign_found",
    "reassign_tasks",
    "release_claim",
    "renew_claim",
    "request_realigning",
    "save_lead",
    "save_template",
    "settle_points",
    "skip_task",
    "sla_of",
    "snapshot_sla",
    "snooze_task",
    "start_task",
    "stop_for_suppressed",
    "stop_ladder",
    "open_work",
    "work_waiting",
    "would_move",
    "zone_of",
]
