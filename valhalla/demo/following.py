"""The demo's ladders: started over the last month and worked at permitted times, some late, some never."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Q

from buyers.services import refresh_activity
from followups.models import ContactPoint, FollowUpTask, Lead
from followups.services import (
    Completion,
    LeadDetails,
    bring_back_held,
    claim_due,
    complete_task,
    create_ladder,
    escalate_overdue,
    free_expired_claims,
    realign_due,
    reassign_tasks,
    record_heard_consent,
    skip_task,
    snapshot_sla,
    snooze_task,
    start_task,
    stop_ladder,
)
from governance.contact.services import Gate, GateContext, Where, open_book, record_consent
from governance.core.actors import Actor, Role
from governance.core.channels import CHANNELS
from governance.core.errors import Refused
from governance.core.places import Place, Province
from valhalla.demo.people import Team
from valhalla.demo.timeline import Timeline

LADDERS, NEW_LEADS, DAYS = 150, 14, 30
REACH = timedelta(days=DAYS + 70)
FORMER = "ines"  # left the team: their tasks count as unowned
NOTES = ("", "", "asks for a call after work", "wants to see the numbers", "roof and furnace are old")

# What happens to the first ladders, so that every screen has something to show; the others are random.
SCRIPTS = (
    "REPLIED HANDOVER", "REACHED HANDOVER", "REACHED CALLBACK", "REPLIED CALLBACK", "REACHED NOT_NOW",
    "REPLIED NOT_NOW", "REACHED NOT_INTERESTED", "REACHED SOLD_OR_LISTED", "OPTED_OUT", "WRONG_NUMBER",
    "skip", "snooze", "stop", "happened", "overridden", "denied", "no_text", "no_text", "neglect", "neglect",
    "late",
)  # fmt: skip

OUTCOMES = {
    "SMS": (*["SENT"] * 26, *["REPLIED"] * 3, "WRONG_NUMBER"),
    "CALL": (*["NO_ANSWER"] * 12, *["LEFT_MESSAGE"] * 8, *["REACHED"] * 5, "WRONG_NUMBER"),
}
OPT_OUT_CHANCE = 0.012
NEXT = (
    "HANDOVER",
    "HANDOVER",
    "HANDOVER",
    "CALLBACK",
    "CALLBACK",
    "NOT_NOW",
    "NOT_INTERESTED",
    "SOLD_OR_LISTED",
)
# After how many allowed minutes a due task is completed.
DELAYS = ((1, 5), (2, 25), (2, 25), (5, 29), (10, 90), (31, 118), (130, 420))


class Followups:
    """The team working on ladders; each action is put on the timeline when the previous one is done."""

    def __init__(self, timeline: Timeline, team: Team) -> None:
        self.timeline, self.team, self.chance = timeline, team, timeline.chance
        self.scripts: dict[int, str] = {}
        self.neglected: set[int] = set()
        self.wheres: dict[int, Where] = {}
        places = {
            Place(province, market) for province, market in Lead.objects.values_list("province", "market")
        }
        places |= {Place(province) for province in Province.values}
        self.book = GateContext.load(places, timeline.days_ago(DAYS), reach=REACH)

    # --- ladders that start
    # -----------------------------------------------------------------------------------

    def plan(self) -> None:
        """Put the start of all ladders on the timeline, and what jobs and managers do."""
        leads = self.some_leads(LADDERS - NEW_LEADS)
        for number, lead in enumerate(leads):
            if number < len(SCRIPTS):
                self.scripts[lead.pk] = SCRIPTS[number]
                when = self.timeline.some_day(DAYS - 1, least=16)
            elif number % 12 == 0:
                when = self.timeline.days_ago(self.chance.uniform(0, DAYS))  # at any hour
            else:
                when = self.timeline.some_day(6 if number % 2 else DAYS)
            self.plan_beginning(lead, when)
        for number in range(1, NEW_LEADS + 1):
            # web forms arrive at any hour, the latest just now
            self.plan_web_form(
                number, self.timeline.days_ago(self.chance.uniform(0, 6) if number > 3 else 0.01 * number)
            )
        self.plan_jobs()

    def handed_over(self) -> list[int]:
        """Return the ids of the leads whose script hands them off to a closer."""
        return [lead for lead, script in self.scripts.items() if script.endswith("HANDOVER")]

    def some_leads(self, count: int) -> list[Lead]:
        """Return leads who may be contacted, from every province, no two with the same number."""
        good = Lead.objects.filter(
            Q(score=None) | Q(score__gte=Decimal("0.65")), points__kind="PHONE"
        ).distinct()
        numbers = dict(ContactPoint.objects.filter(kind="PHONE", order=0).values_list("lead_id", "digest"))
        by_province: dict[str, list[Lead]] = {}
        for lead in good.order_by("external_id"):
            by_province.setdefault(lead.province, []).append(lead)
        for leads in by_province.values():
            self.chance.shuffle(leads)
        taken: set[str] = set()
        chosen: list[Lead] = []
        while len(chosen) < count and any(by_province.values()):
            for province in sorted(by_province):
                # the large provinces have more leads than the small ones
                for _n in range(3 if len(by_province[province]) > 60 else 1):
                    lead = by_province[province].pop() if by_province[province] else None
                    if lead is not None and numbers.get(lead.pk) not in taken:
                        taken.add(numbers.get(lead.pk, ""))
                        chosen.append(lead)
        return chosen[:count]

    def plan_beginning(self, lead: Lead, when: datetime) -> None:
        owner = self.owner_for(lead)
        by = self.team.manager if self.chance.random() < 0.7 else self.team.program

        self.timeline.at(when, self.begin, lead.external_id, by=by, owner=owner)

    def begin(self, lead_id: str, **given: Any) -> None:
        try:
            made = create_ladder(lead_id, **given)
        except Refused:
            return  # a lead who opted out on a number that they share
        self.follow(made.tasks[0])

    def owner_for(self, lead: Lead) -> str:
        script = self.scripts.get(lead.pk, "")
        drawn = self.chance.random()
        if script in ("overridden", "neglect", "no_text") or drawn < 0.22:
            return ""
        if drawn < 0.26:
            return FORMER
        names = self.team.va_for(lead.province)
        return self.chance.choice(names).username if names else ""

    def plan_web_form(self, number: int, when: datetime) -> None:
        province, city = (("ON", "Toronto"), ("QC", "Montréal"), ("BC", "Surrey"), ("NS", "Halifax"))[
            number % 4
        ]
        details = LeadDetails(
            name=f"Web Visitor {number}",
            city=city,
            language="fr" if province == "QC" else "en",
            score=Decimal(self.chance.randrange(66, 99)) / 100,
            cost=Decimal(35),
            source="web form",
            phone=f"782-555-{number + 150:04}",
        )
        self.timeline.at(
            when,
            self.begin,
            f"WEB-{number:04}",
            by=self.team.program,
            province=province,
            market=city.upper(),
            details=details,
        )

    # --- work -----------------------------------------------------------------------------------------------

    def gate(self, task: FollowUpTask) -> Gate:
        where = self.wheres.get(task.lead_id)
        if where is None:
            lead = task.lead
            _book, where = open_book(lead.place, self.timeline.now, city=lead.city, zone=lead.zone)
            self.wheres[task.lead_id] = where
        return self.book.gate(where, task.channel)

    def follow(self, task: FollowUpTask | None) -> None:
        """Plan when somebody works a task: after a random number of minutes in which contact is allowed."""
        if task is None or task.due_at is None or task.lead_id in self.neglected:
            return
        if self.scripts.get(task.lead_id) == "neglect" and (task.step or 0) >= 2:
            self.neglected.add(task.lead_id)
            return
        if task.lead_id not in self.scripts and self.chance.random() < 0.04:
            self.neglected.add(task.lead_id)
            return
        low, high = self.chance.choice(DELAYS)
        if self.scripts.get(task.lead_id) == "late":
            low, high = 150, 400
        since = max(filter(None, (task.due_at, task.snoozed_until)))
        when = self.gate(task).hours.after_open_minutes(since, self.chance.randint(low, high))
        if when is not None:
            self.timeline.at(when + timedelta(seconds=self.chance.randrange(50)), self.work, task.pk)

    def work(self, task_id: int, at: datetime) -> None:
        task = FollowUpTask.objects.select_related("lead").get(pk=task_id)
        if task.status != FollowUpTask.Status.OPEN or not task.is_current or task.due_at is None:
            return
        if max(filter(None, (task.due_at, task.snoozed_until))) > at:
            self.follow(task)
            return
        by = self.worker(task)
        try:
            self.do(task, by, at)
        except Refused as refusal:
            then = refusal.extra.get("next_allowed_at")
            if then is not None:
                self.timeline.at(then + timedelta(minutes=3), self.work, task_id)

    def worker(self, task: FollowUpTask) -> Actor:
        if task.kind == FollowUpTask.Kind.HANDOVER or self.scripts.get(task.lead_id) == "overridden":
            return self.chance.choice(self.team.with_role(Role.CLOSER))
        owner = next((by for by in self.team.of.values() if by.key == task.owner_key), None)
        return owner or self.chance.choice(
            self.team.va_for(task.province) or self.team.with_role(Role.CLOSER)
        )

    def do(self, task: FollowUpTask, by: Actor, at: datetime) -> None:
        script = self.scripts.get(task.lead_id, "")
        if script and task.kind == FollowUpTask.Kind.LADDER and self.do_script(script, task, by, at):
            return
        drawn = self.chance.random()
        if not script and drawn < 0.03:
            reason = self.chance.choice(
                ("The number is a fax", "He asked by mail not to be called today", "Duplicate lead")
            )
            self.follow(skip_task(task.pk, by=by, at=at, reason=reason)[1])
        elif not script and drawn < 0.06:
            self.snooze(task, by, at, timedelta(hours=self.chance.randint(3, 60)))
        else:
            self.finish(task, by, at, self.outcome(task))

    def outcome(self, task: FollowUpTask) -> str:
        if task.kind == FollowUpTask.Kind.HANDOVER:
            return self.chance.choice(("REACHED", "REACHED", "NO_ANSWER"))
        if task.lead_id not in self.scripts and self.chance.random() < OPT_OUT_CHANCE:
            return "OPTED_OUT"
        return self.chance.choice(OUTCOMES.get(task.channel, (CHANNELS[task.channel].default_outcome,)))

    def finish(self, task: FollowUpTask, by: Actor, at: datetime, outcome: str, what: str = "") -> None:
        """Complete a task, often after starting it through a button or the dialer."""
        completion = self.completion(task, at, outcome, what)
        if task.channel == "CALL" and self.chance.random() < 0.6:
            source = self.chance.choice((FollowUpTask.Source.DIALER, FollowUpTask.Source.PAGE_BUTTON))
            token = start_task(task.pk, by=by, at=at, source=source)["claim_token"]
            completion = self.completion(task, at, outcome, what, claim_token=token)
            talked = timedelta(seconds=self.chance.randrange(20, 900))
            self.timeline.at(at + talked, self.complete, task.pk, completion, by)
            return
        self.complete(task.pk, completion, by, at)

    def complete(self, task_id: int, completion: Completion, by: Actor, at: datetime) -> None:
        try:
            self.follow(complete_task(task_id, completion, by=by, at=at).next_task)
        except Refused:
            return  # the ladder was stopped, or the person opted out elsewhere, in the meantime

    def completion(
        self, task: FollowUpTask, at: datetime, outcome: str, what: str = "", claim_token: str = ""
    ) -> Completion:
        following, when = "", None
        if outcome in ("REACHED", "REPLIED"):
            following = what or self.chance.choice(NEXT)
            if task.kind == FollowUpTask.Kind.HANDOVER:
                following = self.chance.choice(("CALLBACK", "NOT_NOW", "NOT_INTERESTED"))
        if following == "CALLBACK":
            when = at + timedelta(hours=self.chance.randint(2, 100))
        elif following == "NOT_NOW":
            when = at + timedelta(days=self.chance.randint(30, 200))
        note = self.chance.choice(NOTES)
        return Completion(outcome=outcome, next=following, next_at=when, note=note, claim_token=claim_token)

    def snooze(self, task: FollowUpTask, by: Actor, at: datetime, how_long: timedelta) -> None:
        self.follow(snooze_task(task.pk, by=by, at=at, until=at + how_long))

    # --- scripted leads
    # -----------------------------------------------------------------------------------------

    def do_script(self, script: str, task: FollowUpTask, by: Actor, at: datetime) -> bool:
        """Do what the script of a ladder says once its step has come; return True if it did."""
        step = task.step or 0
        words = script.split()
        if len(words) == 2:  # an outcome and the next step: a reply to a text, a call that reached the lead
            wanted = "SMS" if words[0] == "REPLIED" else "CALL"
            if task.channel == wanted and step >= 2:
                if script == "REACHED HANDOVER":
                    self.agree_to_texts(task, by, at)
                self.finish(task, by, at, words[0], words[1])
                return True
        elif script in ("OPTED_OUT", "WRONG_NUMBER") and step == 3:
            self.finish(task, by, at, script)
            return True
        elif script == "skip" and step == 2:
            self.follow(skip_task(task.pk, by=by, at=at, reason="The number is a fax")[1])
            return True
        elif script == "snooze" and step == 4 and task.snoozed_until is None:
            self.snooze(task, by, at, timedelta(days=13))
            return True
        elif script == "stop" and step == 3 and task.ladder_id:
            stop_ladder(task.ladder_id, by=self.team.manager, at=at, reason="Bought by another company")
            return True
        elif script == "no_text" and step == 2:
            self.withdraw_texts(task, at)
        elif script in ("happened", "overridden", "denied") and step == 4:
            self.at_the_wrong_hour(script, task, by, at)
            return True
        if script in ("late", "neglect", "no_text", "snooze", "stop", "skip") or step <= 4:
            self.finish(task, by, at, "SENT" if task.channel == "SMS" else "NO_ANSWER")
            return True
        return False

    def agree_to_texts(self, task: FollowUpTask, by: Actor, at: datetime) -> None:
        """Record a lead's consent to texts, given on the phone."""
        record_heard_consent(
            task.pk,
            by=by,
            at=at,
            channel="SMS",
            wording="May be texted about an offer for the house",
            evidence="RECORDING",
            reference=f"call {task.pk}",
        )

    def withdraw_texts(self, task: FollowUpTask, at: datetime) -> None:
        """Record that a lead wants no more texts: calls continue, texts are blocked."""
        point = task.contact_point
        if point is not None:
            record_consent(
                point.digest,
                "SMS",
                "WITHDRAWN",
                by=self.team.manager,
                at=at,
                obtained_at=at,
                how="said on the phone",
            )

    def at_the_wrong_hour(self, script: str, task: FollowUpTask, by: Actor, at: datetime) -> None:
        """Call in the evening: our hours forbid it, the law does not (until 21:30, further east too)."""
        local = at.astimezone(ZoneInfo(task.zone))
        evening = local.replace(hour=20, minute=2 + self.chance.randrange(20), second=0)
        while evening <= local or evening.weekday() > 4:
            evening += timedelta(days=1)

        self.timeline.at(evening.astimezone(UTC), self.call_late, script, task, by)

    def call_late(self, script: str, task: FollowUpTask, by: Actor, at: datetime) -> None:
        if script == "denied":
            try:
                start_task(task.pk, by=by, at=at)
            except Refused as refusal:
                then = refusal.extra.get("next_allowed_at")
                if then is not None:
                    self.timeline.at(then + timedelta(minutes=2), self.finish, task, by, outcome="NO_ANSWER")
            return
        how = Completion(outcome="REACHED", next="CALLBACK", next_at=at + timedelta(days=2), happened=True)
        if script == "overridden":
            how = Completion(outcome="NO_ANSWER", override_reason="Asked for a call after eight")
        self.complete(task.pk, how, by, at)

    # --- jobs, and the last minutes -------------------------------------------------------------------------

    def plan_jobs(self) -> None:
        """Run the jobs as beat would have: overdue tasks hourly, the day's metrics nightly."""
        hour = self.timeline.days_ago(DAYS).replace(minute=5, second=0, microsecond=0)
        while hour < self.timeline.now:
            self.timeline.at(hour, escalate_overdue)
            if hour.hour == 6:
                self.timeline.at(hour, self.nightly)
            hour += timedelta(hours=2 if hour.hour % 2 == 0 else 1)

    def nightly(self, at: datetime) -> None:
        free_expired_claims(at)
        bring_back_held(at)
        snapshot_sla(at)

    def plan_last_days(self) -> None:
        """Reassign the tasks of the person who left; snooze and claim some of what is due now."""
        self.timeline.at(self.timeline.days_ago(1.5), self.hand_over)
        self.timeline.at(self.timeline.now - timedelta(minutes=6), self.put_aside)
        for name in ("benoit", "amara", "casey"):
            self.timeline.at(
                self.timeline.now - timedelta(minutes=4), claim_due, by=self.team.of[name], limit=3
            )
        # last night's run is enough: each run counts all of the 90 days before it
        by = Actor.system("buyers.refresh_activity")
        self.timeline.at(self.timeline.days_ago(0.5), refresh_activity, by=by)

    def hand_over(self, at: datetime) -> None:
        mine = FollowUpTask.objects.filter(owner_key=FORMER, status=FollowUpTask.Status.OPEN, is_current=True)
        ids = list(mine.order_by("pk").values_list("pk", flat=True)[:2])
        if ids:
            reassign_tasks(ids, "elena", by=self.team.manager, at=at, reason="Ines left the team")

    def put_aside(self, at: datetime) -> None:
        """Snooze one of the unowned tasks, so that there is one whenever the demo is created."""
        task = FollowUpTask.objects.due(at).filter(owner_key="", snoozed_until=None).first()
        if task is not None:
            snooze_task(task.pk, by=self.team.of["benoit"], at=at, until=at + timedelta(days=3))


def realign(at: datetime) -> None:
    """Recompute due times after policies changed, as the job would."""
    while realign_due(at):
        pass
