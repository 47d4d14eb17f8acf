"""What the clients of load.py have caused, held against what they were answered: lost, doubled, half done."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from valhalla.tests.load import Answered
from valhalla.tests.processes import ask

STEPS = 6
COMPLETION = ("followup_completed", "followup_sla", "contact_compliance")
OPT_OUT = ("followup_completed", "followup_sla")


@dataclass
class Differences:
    """What is not as it must be, a sentence each."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)

    def of_answers(self, what: str, answered: Iterable[Any], found: Iterable[object]) -> None:
        """What was acknowledged is there, once, and nothing else is."""
        wanted, there = Counter(answered), Counter(found)
        self.lost += [f"{what} {which}" for which in (wanted - there).elements()]
        self.doubled += [f"{what} {which}" for which in (there - wanted).elements()]

    def of_parts(self, what: str, wanted: Iterable[Any], found: Iterable[Any]) -> None:
        """What belongs to one transaction is there whole."""
        whole, there = Counter(wanted), Counter(found)
        self.half += [f"{what} {which} is missing" for which in (whole - there).elements()]
        self.half += [f"{what} {which} is there without its cause" for which in (there - whole).elements()]


def differences(url: str, answered: Answered) -> Differences:
    """Compare the database at `url` with what clients were answered."""
    found = Differences()
    _ladders(url, answered, found)
    _completions(url, answered, found)
    _inbound(url, answered, found)
    _feedback(url, answered, found)
    _risk(url, answered, found)
    kept = dict(ask(url, "SELECT status, count(*) FROM governance_idempotentanswer GROUP BY status"))
    found.of_parts("kept answers", [sum(kept.values())], [answered.total])
    found.half += [f"{count} answers with status {status}" for status, count in kept.items() if status < 200]
    return found


def _column(url: str, statement: str, *values: object) -> list[Any]:
    return [row[0] for row in ask(url, statement, *values)]


def _events(url: str, metric: str, name: str) -> list[Any]:
    """Of each event of a metric the id that its detail names."""
    details = _column(url, "SELECT detail FROM governance_kpievent WHERE metric = %s", metric)
    return [(json.loads(detail) if isinstance(detail, str) else detail)[name] for detail in details]


def _ladders(url: str, answered: Answered, found: Differences) -> None:
    ladders = _column(url, "SELECT id FROM followups_ladder")
    found.of_answers("ladder", answered.of("ladder", "ladder_id"), ladders)
    found.of_parts("event of ladder", ladders, _events(url, "ladder_created", "ladder"))
    steps = ask(url, "SELECT ladder_id, step FROM followups_followuptask WHERE kind = 'LADDER'")
    found.of_parts("ladder and step", [(pk, step + 1) for pk in ladders for step in range(STEPS)], steps)
    of_leads = _column(url, "SELECT lead_id FROM followups_ladder")
    found.of_parts("lead", of_leads, _column(url, "SELECT id FROM followups_lead"))
    found.of_parts("phone of lead", of_leads, _column(url, "SELECT lead_id FROM followups_contactpoint"))


def _completions(url: str, answered: Answered, found: Differences) -> None:
    done = ask(url, "SELECT id, outcome FROM followups_followuptask WHERE status = 'COMPLETED'")
    tasks = [pk for pk, outcome in done if outcome != "OPTED_OUT"]
    opted = [pk for pk, outcome in done if outcome == "OPTED_OUT"]
    found.of_answers("completion", answered.of("completion", "task", "id"), tasks)
    found.of_answers("opt-out", answered.of("opt-out", "task", "id"), opted)
    for metric in COMPLETION:
        wanted = tasks + (opted if metric in OPT_OUT else [])
        found.of_parts(f"{metric} of task", wanted, _events(url, metric, "task"))
    happened = "SELECT task_id FROM governance_contactdecision WHERE happened"
    found.of_parts("decision of task", tasks, _column(url, happened))
    notices = _column(url, "SELECT dedupe FROM governance_outboxmessage WHERE kind = 'contact_against_gate'")
    found.of_parts("notice of task", tasks, [int(once.split(":")[1]) for once in notices])
    # an opt-out stops the ladder, closes what is open and suppresses the phone, at once
    of_opted = "SELECT lead_id FROM followups_followuptask WHERE outcome = 'OPTED_OUT'"
    leads = _column(url, of_opted)
    stopped = _column(url, "SELECT lead_id FROM followups_ladder WHERE status = 'STOPPED'")
    found.of_parts("stopped ladder of lead", leads, stopped)
    left = f"SELECT id FROM followups_followuptask WHERE status = 'OPEN' AND lead_id IN ({of_opted})"
    found.half += [f"task {pk} is open after an opt-out" for pk in _column(url, left)]
    phones = _column(url, f"SELECT digest FROM followups_contactpoint WHERE lead_id IN ({of_opted})")
    suppressed = _column(url, "SELECT point_digest FROM governance_suppression")
    found.of_parts("stop of phone", phones, set(phones) & set(suppressed))
    found.of_parts("stops of phones and of lead ids", [2 * len(leads)], [len(suppressed)])


def _inbound(url: str, answered: Answered, found: Differences) -> None:
    rows = ask(url, "SELECT id, lead_id FROM followups_inboundcontact")
    calls = [pk for pk, _lead in rows]
    found.of_answers("inbound", answered.of("inbound", "inbound_id"), calls)
    found.of_parts("event of inbound", calls, _events(url, "inbound_recorded", "inbound"))
    callbacks = _column(url, "SELECT DISTINCT lead_id FROM followups_followuptask WHERE kind = 'CALLBACK'")
    found.of_parts("callback of lead", {lead for _pk, lead in rows}, callbacks)


def _feedback(url: str, answered: Answered, found: Differences) -> None:
    events = _column(url, "SELECT id FROM buyers_buyerfeedbackevent")
    found.of_answers("feedback", answered.of("feedback", "event_id"), events)
    found.of_parts("event of feedback", events, _events(url, "buyer_feedback", "feedback"))
    (counted,) = _column(url, "SELECT COALESCE(SUM(passed), 0) FROM buyers_buyerliquiditynode")
    found.of_parts("count of the node", [len(events)], [int(counted)])


def _risk(url: str, answered: Answered, found: Differences) -> None:
    rows = ask(url, "SELECT id, state, amount, realized_loss FROM governance_riskreservation")
    reserved = [pk for pk, *_rest in rows]
    settled = [pk for pk, state, *_rest in rows if state == "SETTLED"]
    found.of_answers("reservation", answered.of("reservation", "reservation_id"), reserved)
    found.of_answers("settlement", answered.of("settlement", "reservation", "id"), settled)
    events = ask(url, "SELECT kind, reservation_id FROM governance_riskevent")
    wanted = [("RESERVED", pk) for pk in reserved] + [("SETTLED", pk) for pk in settled]
    found.of_parts("risk event", wanted, events)
    pending = sum(amount for _pk, state, amount, _loss in rows if state == "PENDING")
    for (open_risk,) in ask(
        url, "SELECT open_risk FROM governance_riskengine WHERE engine IN ('WHOLESALE', 'GLOBAL')"
    ):
        found.of_parts("open risk", [pending], [open_risk])
    used = (len(rows), sum(row[2] for row in rows), sum(row[3] or 0 for row in rows))
    totals = (
        "SELECT SUM(actions), SUM(exposure), SUM(realized_loss) FROM governance_riskledgerday GROUP BY engine"
    )
    for engine in ask(url, totals):
        found.of_parts("use in the ledger", [used], [engine])
