"""A task's card: everything for display, and the consequences of each outcome."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, assert_never

from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from followups import wording
from followups.forms import TYPED, CompleteForm, ConsentForm, SkipForm, SnoozeForm
from followups.models import ContactPoint, FollowUpTask, Lead
from followups.rules import CALLBACK, HANDOVER, NOT_INTERESTED, NOT_NOW, SOLD_OR_LISTED, STOPPING
from followups.rules.completion import START_LASTS
from followups.services.closers import Closers, closers_for
from followups.services.completing import complete_task
from followups.services.consents import record_heard_consent
from followups.services.corrections import may_be_corrected
from followups.services.planning import LONGEST_SNOOZE
from followups.services.previewing import after_step, lawful_times
from followups.services.reading import TaskView
from followups.services.sharing import leads_with_number
from governance.contact.rules import OVERRIDABLE
from governance.contact.services import suppress
from governance.core import hooks
from governance.core.actors import Actor, owner_key
from governance.core.channels import CALL, CHANNELS
from governance.core.errors import Refused
from governance.core.moments import local
from governance.core.places import ALL, Province, fold

RIGHTS = (
    "claim_task", "start_task", "complete_task", "plan_task", "work_any_task", "view_all", "correct_task",
    "lookup", "record_inbound", "reassign",
)  # fmt: skip
Outcome = FollowUpTask.Outcome
OPT_OUT_KEY = "x"


def may(by: Actor) -> dict[str, bool]:
    return {right: by.may(f"followups.{right}") for right in RIGHTS}


def language(code: str | None) -> str:
    return str(Lead.Language(code).label) if code in Lead.Language.values else _("language unknown")


def where(province: str, market: str, city: str) -> str:
    """Return where the lead lives: city and market if they are known, and the province."""
    parts = [city, market.title() if market != ALL and fold(market) != fold(city) else ""]
    return ", ".join([part for part in parts if part] + [str(Province(province).label)])


def name_of(lead: Lead) -> str:
    return lead.name or lead.external_id


def contact(look: TaskView, by: Actor, at: datetime, stopped: str) -> dict[str, Any]:
    """Return the part of a card that updates itself: the local time, the gate, the task's owner.

    `stopped` says why nobody may be contacted at all.
    """
    task, zone = look.task, look.zone
    claimed = bool(task.claimed_by) and task.claim_until is not None and task.claim_until > at
    held = claimed and owner_key(task.claimed_by) == by.key
    workable = look.workable and look.first is None and (held or not claimed)
    started = task.started_at if look.workable and owner_key(task.started_by) == by.key else None
    begin_by = started + START_LASTS if started else None
    may_begin = begin_by is not None and at < begin_by
    closes = look.desk.gate(task.channel).hours.closes_at(at) if look.verdict.ok else None
    script = script_of(look)
    point = task.contact_point
    link = ""
    if point and look.verdict.ok:
        link = wording.point_link(task.channel, point.value, script["text"])
    return {
        "task": task,
        "stopped": stopped,
        "may": may(by),
        "zone_name": wording.zone_name(zone),
        "clock": wording.moment(at, zone),
        "allowed": look.verdict.ok,
        "sentence": wording.gate_sentence(look.verdict.reason, zone, look.next_allowed_at),
        "closes": wording.clock(closes, zone) if closes else "",
        "closes_in": wording.duration(int((closes - at).total_seconds() // 60)) if closes else "",
        "closes_at": int(closes.timestamp()) if closes else "",
        "closes_soon": closes is not None and closes - at <= timedelta(minutes=60),
        "due": wording.moment(task.due_at, zone) if task.due_at else "",
        "late": wording.overdue(int(look.desk.gate(task.channel).hours.open_minutes(task.due_at, at)))
        if task.due_at and task.due_at <= at
        else "",
        "call_by": wording.moment(task.deadline_at, zone)
        if task.deadline_at and task.status == FollowUpTask.Status.OPEN
        else "",
        "snoozed": wording.moment(task.snoozed_until, zone)
        if task.snoozed_until and task.snoozed_until > at
        else "",
        "held_why": wording.gate_sentence(task.held_reason, zone, None) if task.held_reason else "",
        "claimed_by": task.claimed_by if claimed else "",
        "claim_until": wording.clock(task.claim_until, zone) if claimed and task.claim_until else "",
        "held": held,
        "releasable": held or (claimed and by.may("followups.work_any_task")),
        "workable": workable,
        "planable": look.workable and (held or not claimed),
        "first": look.first,
        "may_work": look.may_work,
        "started": wording.clock(started, zone) if started else "",
        "begin_by": wording.clock(begin_by, zone) if begin_by else "",
        "may_begin": may_begin,
        "window_closed": started is not None and look.verdict.reason in wording.OF_THE_CLOCK,
        "start_label": CHANNELS[task.channel].start,
        "point": wording.point_text(point.value) if point else "",
        "link": link,
        "script": script,
        "written": CHANNELS[task.channel].written,
        "open": task.status == FollowUpTask.Status.OPEN,
    }


def card(
    look: TaskView,
    by: Actor,
    at: datetime,
    *,
    stopped: str = "",
    refusal: Refused | None = None,
    complete: CompleteForm | None = None,
    snooze: SnoozeForm | None = None,
    skip: SkipForm | None = None,
    ticked: Collection[int] = (),
    consent: ConsentForm | None = None,
    correcting: bool = False,
) -> dict[str, Any]:
    """Return the card's context; `forms` are those with errors, if any."""
    task, lead, zone = look.task, look.task.lead, look.zone
    shown: dict[str, Any] = {
        **contact(look, by, at, stopped),
        "lead": lead,
        "name": name_of(lead),
        "what": wording.task_name(task.kind, task.step, len(look.desk.steps)),
        "channel": CHANNELS[task.channel].name,
        "speaks": language(lead.language),
        "where": where(lead.province, lead.market, lead.city),
        "history": [past(other, look) for other in look.history],
        "points": [(wording.point_text(other.value), other) for other in look.desk.points],
        "properties": look.properties,
        "offer": hooks.standing_offer.first(lead.external_id),
        "may_opt_out": by.may(complete_task.right)
        and by.may(suppress.right)
        and look.may_work
        and lead.status != Lead.Status.DEAD,
        "refusal": refusal,
        "complete": complete or complete_form(None, look, by, at, happened=bool(stopped)),
        "snooze": snooze or SnoozeForm(zone=zone, at=at, auto_id="snooze_%s"),
        "skip": skip or SkipForm(zone=zone, at=at, auto_id="skip_%s"),
        "consent": (consent or ConsentForm(initial={"channel": "SMS"}, auto_id="consent_%s"))
        if by.may(record_heard_consent.right) and look.may_work and lead.erasure_id is None
        else None,
        "correcting": correcting,
        "correctable": may_be_corrected(task, by, at),
        "sharing": leads_with_number(task.contact_point, by=by, at=at),
        "ticked": ticked,
    }
    if shown["workable"]:
        shown["outcomes"] = outcomes(look, at)
        shown["later"] = later(look, by, at)
    if shown["planable"]:
        shown["aside"] = _quick(look, task.channel, at, within=LONGEST_SNOOZE)
    if shown["correctable"]:
        shown["instead"] = instead(task)
    reason = refusal.extra.get("reason") if refusal else ""
    denied = refusal is not None and refusal.code == "contact_denied"
    # while nobody may be contacted, anything recorded has already happened
    shown["all_the_same"] = denied or bool(stopped)
    shown["denied"] = denied
    shown["overridable"] = denied and reason in OVERRIDABLE | {"holiday"}
    return shown


def complete_form(
    data: object, look: TaskView | None, by: Actor, at: datetime, *, zone: str = "UTC", happened: bool = False
) -> CompleteForm:
    """Return the form of a card; without one it accepts every outcome, and reads times in `zone`."""
    return CompleteForm(
        data,
        initial={"happened": happened},
        zone=look.zone if look else zone,
        at=at,
        channel=look.task.channel if look else "",
        may_override=by.may("governance.override_gate"),
        auto_id="complete_%s",
    )


def script_of(look: TaskView) -> dict[str, str]:
    """Return the step's script in the lead's language, or else in the other one, filled in."""
    step = look.step
    wanted = look.task.lead.language or (get_language() or "en")[:2]
    by_language = {"en": step.script_en, "fr": step.script_fr} if step else {}
    for code in (wanted, *by_language):
        if by_language.get(code):
            return {"text": _filled_in(by_language[code], look), "language": code, "wanted": wanted}
    return {"text": "", "language": wanted, "wanted": wanted}


def _filled_in(text: str, look: TaskView) -> str:
    """Fill in the lead's facts for {name}, {first_name}, {city} and {address} in a script."""
    lead = look.task.lead
    address = look.properties[0].address if look.properties else ""
    facts = {
        "{name}": lead.name,
        "{first_name}": lead.name.split(" ")[0],
        "{city}": lead.city,
        "{address}": address,
    }
    for place, fact in facts.items():
        text = text.replace(place, fact)
    return text


# --- the consequences of each outcome -----------------------------------------------------------------------


def outcomes(look: TaskView, at: datetime) -> list[dict[str, object]]:
    """Return the outcomes of the task's channel, each with its key and its consequences."""
    return [
        {
            "name": name,
            "label": wording.OUTCOMES[name],
            "key": OPT_OUT_KEY if name == Outcome.OPTED_OUT else str(number),
            "follows": _follows(name, look, at),
            "asks": name in STOPPING,
        }
        for number, name in enumerate(CHANNELS[look.task.channel].outcomes, start=1)
    ]


def _follows(outcome: str, look: TaskView, at: datetime) -> str:
    task = look.task
    steps = [
        other
        for other in look.history
        if other.ladder_id == task.ladder_id
        and task.ladder_id
        and other.pk != task.pk
        and other.status == FollowUpTask.Status.OPEN
    ]
    match Outcome(outcome):
        case Outcome.SENT | Outcome.NO_ANSWER | Outcome.LEFT_MESSAGE:
            return wording.next_sentence(after_step(look, at))
        case Outcome.REACHED | Outcome.REPLIED:
            stops = ngettext("The remaining step stops.", "The remaining %(count)s steps stop.", len(steps))
            return stops % {"count": len(steps)} if steps else _("You will be asked what comes next.")
        case Outcome.WRONG_NUMBER:
            other = _other_point(look)
            if other is not None:
                return _("This one is retired; the follow-up continues with %(point)s.") % {
                    "point": wording.point_text(other.value)
                }
            return _("This one is retired; there is no other, so the steps that need one are skipped.")
        case Outcome.OPTED_OUT:
            return _("Every number and address of this person is blocked, on every lead that has it.")
        case unknown:
            assert_never(unknown)


def _other_point(look: TaskView) -> ContactPoint | None:
    used = look.task.contact_point
    usable = (p for p in look.desk.points if p.status == ContactPoint.Status.USABLE)
    return next((p for p in usable if used and p.kind == used.kind and p.pk != used.pk), None)


def later(look: TaskView, by: Actor, at: datetime) -> dict[str, object]:
    """Return the next steps after a lead was reached: permitted times for a callback, dates, and the rest."""
    today = local(at, look.zone).replace(hour=10, minute=0)
    dates = [
        (_("in 1 month"), today + timedelta(days=30)),
        (_("in 3 months"), today + timedelta(days=91)),
        (_("in 6 months"), today + timedelta(days=182)),
    ]
    closers = closers_for(look.task.lead, by=by, at=at, desk=lambda: look.desk)
    plain = plain_next(closers.on_shift)
    offered = offered_times(closers, look.zone, at)
    callbacks = _quick(look, CALL, at, within=timedelta(days=14))
    keys = iter(range(len(plain) + 1, 10))  # one digit each, while there are any left
    return {
        "plain": plain,
        "no_closer": not closers.on_shift,
        "closers": [(label, when, next(keys, "")) for label, when in offered],
        "callbacks": [(label, when, next(keys, "")) for label, when in callbacks],
        "dates": [(label, f"{day:{TYPED}}") for label, day in dates],
        "callback": wording.NEXT[CALLBACK],
        "not_now": wording.NEXT[NOT_NOW],
    }


def plain_next(closer_on_shift: bool) -> list[tuple[str, object]]:
    """Return the next steps without a time, each with its label; a closer may not be available."""
    hand_off = wording.HAND_OFF_NOW if closer_on_shift else wording.HAND_OFF_ANYWAY
    return [(HANDOVER, hand_off), *((kind, wording.NEXT[kind]) for kind in (NOT_INTERESTED, SOLD_OR_LISTED))]


def offered_times(closers: Closers, zone: str, at: datetime) -> list[tuple[str, str]]:
    """Return the closers' next free times in the lead's local time, and each as a form sends it."""
    today = local(at, zone).date()
    return [(wording.soon(when, zone, today), f"{local(when, zone):{TYPED}}") for when in closers.times]


def _quick(look: TaskView, channel: str, at: datetime, *, within: timedelta) -> list[tuple[str, str]]:
    """Return permitted times to choose with one click: for display, and as a form sends them."""
    today = local(at, look.zone).date()
    return [
        (wording.soon(when, look.zone, today), f"{local(when, look.zone):{TYPED}}")
        for when in lawful_times(look, channel, at, within=within)
    ]


def instead(task: FollowUpTask) -> list[dict[str, str]]:
    """Return what a completed task's outcome may be corrected to, each with its key."""
    standing = task.standing_outcome
    choices = []
    for name in CHANNELS[task.channel].outcomes:
        if name == standing:
            continue
        if name == Outcome.REACHED:
            choices += [
                (f"{name}:{kind}", f"{wording.OUTCOMES[name]} · {wording.NEXT[kind]}")
                for kind in (HANDOVER, NOT_INTERESTED, SOLD_OR_LISTED)
            ]
        else:
            choices.append((name, str(wording.OUTCOMES[name])))
    return [
        {"said": said, "label": label, "key": str(number)}
        for number, (said, label) in enumerate(choices, start=1)
    ]


# --- history ------------------------------------------------------------------------------------------------


def past(other: FollowUpTask, look: TaskView) -> dict[str, object]:
    """Return a task of the lead's history for display."""
    when = ""
    if done := other.contacted_at or other.completed_at:
        when = wording.moment(done, look.zone)
    elif other.status == FollowUpTask.Status.OPEN and other.due_at:
        when = _("due %(when)s") % {"when": wording.moment(other.due_at, look.zone)}
    same = other.ladder_id is not None and other.ladder_id == look.task.ladder_id
    held = wording.gate_sentence(other.held_reason, look.zone, None) if other.held_reason else ""
    outcome = other.standing_outcome_display
    if other.outcome and other.corrected_to not in ("", other.outcome):
        outcome = _("%(outcome)s, corrected to %(other)s") % {
            "outcome": other.get_outcome_display(),
            "other": outcome,
        }
    return {
        "task": other,
        "here": other.pk == look.task.pk,
        "what": wording.task_name(other.kind, other.step, len(look.desk.steps) if same else None),
        "channel": CHANNELS[other.channel].name,
        "when": when,
        "status": other.get_status_display(),
        "outcome": outcome,
        "why": held or _closed(other.closed_reason),
        "notes": wording.note_parts(other.note),
    }


def _closed(reason: str) -> str:
    """Return why a task was closed, with text for the codes of programs."""
    known: Mapping[str, str] = {
        **{name: str(label) for name, label in Outcome.choices},
        "suppressed": _("opted out"),
        "no_contact_point": _("no number or address for this channel"),
        "corrected": _("the outcome was corrected"),
        "replaced": _("scheduled again"),
    }
    return known.get(reason, reason)
