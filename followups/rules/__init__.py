"""The calculations of ladders: delays, gaps, due times, outcomes and the SLA."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from governance.contact.clock import add_local_days
from governance.core.channels import CHANNELS

SHORT_GAP = timedelta(minutes=30)
LONG_GAP = timedelta(hours=2)
LONG_GAP_FROM = timedelta(hours=12)
MAX_STEPS = 30
MAX_DELAY_DAYS = 365

ADVANCING = frozenset({"SENT", "NO_ANSWER", "LEFT_MESSAGE"})
STOPPING = frozenset({"REACHED", "REPLIED"})
# What the person did, or what turned out: recorded whatever the gate, go-live and sequence say.
HAPPENED = frozenset({"REPLIED", "WRONG_NUMBER", "OPTED_OUT"})

CALLBACK, HANDOVER, NOT_NOW = "CALLBACK", "HANDOVER", "NOT_NOW"
NOT_INTERESTED, SOLD_OR_LISTED = "NOT_INTERESTED", "SOLD_OR_LISTED"
NEXT = (CALLBACK, HANDOVER, NOT_NOW, NOT_INTERESTED, SOLD_OR_LISTED)
LEAD_STATUS_AFTER = {
    CALLBACK: "WORKING",
    HANDOVER: "HANDED_OVER",
    NOT_NOW: "NOT_NOW",
    NOT_INTERESTED: "DEAD",
    SOLD_OR_LISTED: "DEAD",
}


# A person who says that they want to sell. A clause must say it from its first word on: anything doubtful (a
# question, an "if", a "not", somebody else's wish, an offer to sell us something) does not count.
_GREETING = (
    r"(?:(?:hi|hello|hey|yes|yeah|yep|yup|ok|okay|sure|actually|and|so|well|thanks|thank you|good"
    r" (?:morning|day|afternoon|evening)|oui|bonjour|bonsoir|allô|allo|salut|et|bien|merci|there)\b\W*)*"
)
_SELLER = (
    r"(?:(?:i|we|he|she|they|(?:my|his|her) (?:wife|husband|partner|spouse) and (?:i|he|she)"
    r"|(?:the )?(?:owners?|sellers?|homeowners?|clients?|callers?|leads?))\b\s*)?"
)
_AUX = (
    r"(?:(?:'m|'d|'ve|'re|'s|am|are|is|would|have|has|really|definitely|still|now|also|just|both|all|finally"
    r"|seriously|very|do)\b\s*)*"
)
_WANTS = (
    r"(?:wants?|wanna|would like|'d like|would love|'d love|like|looking|ready|willing|interested|thinking"
    r"|consider(?:s|ing)?|plan(?:s|ning)?|hop(?:e|es|ing)|needs?|decided|open)"
)
_SELL = (
    r"(?:sell|selling)\b(?!\s+(?:you|u|us|me|them|him|her)\b"
    r"(?!\s+(?:my|our|the|this|that|it|his|her|their|a (?:house|home|property|condo|duplex))\b))"
)
_VENDEUR = (
    r"(?:(?:je|nous|on|elles?|ils?|ma (?:femme|conjointe|blonde) et moi|mon (?:mari|conjoint|chum) et moi"
    r"|(?:l[ea]s? )?(?:propriétaires?|vendeu(?:rs?|ses?)|clients?|clientes?))\b\s*|j')?"
)
_VEUT = (
    r"(?:(?:suis|sommes|est|sont|bien|vraiment|toujours|encore|aussi)\b\s*)*"
    r"(?:veux|veut|voulons|veulent|voudrais|voudrait|voudrions|voudraient|aimerais|aimerait|aimerions"
    r"|aimeraient|souhait(?:e|ons|ent)|pens(?:e|ons|ent)|song(?:e|eons|ent)|désir(?:e|ons|ent)"
    r"|cherch(?:e|ons|ent)|compt(?:e|ons|ent)|intéressée?s?|prête?s?)\b"
)
_VENDRE = (
    r"(?:\s+(?:à|de|bien|vraiment|aussi|toujours|maintenant|la|le|les|peut-être))*"
    r"\s+(?:vous\s+vendre\s+(?:ma|mon|mes|notre|nos|la|le|cette|sa|son|leur)|vendre)\b"
)
_SAYS_SO = re.compile(
    rf"\W*{_GREETING}(?:{_SELLER}{_AUX}{_WANTS}(?:\s+(?:in|about|of|to|on|now|very|soon|both))*\s+{_SELL}"
    rf"|{_VENDEUR}{_VEUT}{_VENDRE})",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"n't\b|\b(?:not|no|never|nor|cannot|dont|hardly|barely|maybe|perhaps|myself|ourselves|themselves"
    r"|ne|pas|jamais|non|aucune?|peut-être|moi-même|nous-mêmes)\b|\bn'",
    re.IGNORECASE,
)
_STOP = re.compile(
    r"\b(?:stop\w*|unsubscribe\w*|arr[êe]te?[rz]?|désabonn\w*|desabonn\w*|remove me|take me off"
    r"|leave (?:me|us) alone)\b",
    re.IGNORECASE,
)


def wants_to_sell(text: str) -> bool:
    """Return whether a message, or a note of one, says that the person wants to sell: an inquiry.

    Implied consent is based on it for six months (S.C. 2010, c. 23, s. 10(10)), so doubtful cases do not
    count.
    """
    text = text.replace("’", "'")[:4000]
    if _STOP.search(text):
        return False
    return any(_says_so(sentence) for sentence in re.findall(r"[^.!?\n;]+[.!?\n;]?", text))


def _says_so(sentence: str) -> bool:
    if _NOT.search(sentence):
        return False
    clauses = re.split(r"[,:]|\s-+\s|[–—]", sentence)
    if sentence.rstrip().endswith("?"):
        del clauses[-1]  # the question itself; what was said before it counts
    return any(_SAYS_SO.match(clause) for clause in clauses)


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a ladder, `minutes` elapsed or `days` of local wall time after the first one was due."""

    channel: str
    minutes: int = 0
    days: int = 0
    script_en: str = ""
    script_fr: str = ""

    @property
    def delay(self) -> timedelta:
        return timedelta(days=self.days, minutes=self.minutes)

    def after(self, first_due: datetime, zone: str) -> datetime:
        """Return the step's time in the cadence: minutes are elapsed time, days keep the local wall time."""
        at = add_local_days(first_due, self.days, zone) if self.days else first_due
        return at + timedelta(minutes=self.minutes)

    def as_json(self) -> dict[str, Any]:
        return {
            "channel": self.channel,
            "delay": {"days": self.days} if self.days else {"minutes": self.minutes},
            "script_en": self.script_en,
            "script_fr": self.script_fr,
        }


DEFAULT_STEPS = (
    Step("SMS"),
    Step("CALL", minutes=30),
    Step("SMS", minutes=180),
    Step("CALL", days=1),
    Step("SMS", days=3),
    Step("CALL", days=7),
)


# An unanswered lead rests for so many days, then a short ladder asks again; a template can differ.
REST_DAYS = 90
NURTURE_STEPS = (Step("SMS"), Step("CALL", days=2), Step("SMS", days=9))
ASK_AGAIN = timedelta(days=7)  # if contact is not allowed on the day


def _wrong(message: str, **values: object) -> ValidationError:
    return ValidationError(message % values, code="invalid_steps")


def _read_step(number: int, item: object) -> Step:
    if not isinstance(item, Mapping) or set(item) - {"channel", "delay", "script_en", "script_fr"}:
        raise _wrong(
            _("Step %(number)s must have channel, delay, script_en and script_fr only."), number=number
        )
    channel = item.get("channel")
    if not isinstance(channel, str) or channel not in CHANNELS:
        raise _wrong(
            _("Step %(number)s has an unknown channel; use %(known)s."),
            number=number,
            known=", ".join(CHANNELS),
        )
    delay = item.get("delay", {"minutes": 0})
    units = {"minutes": 1, "hours": 60, "days": 0}
    ok = isinstance(delay, Mapping) and len(delay) == 1 and set(delay) <= set(units)
    unit, amount = next(iter(delay.items())) if ok else ("", -1)
    if type(amount) is not int or amount < 0:
        raise _wrong(
            _('Step %(number)s needs a delay such as {"minutes": 30}, {"hours": 3} or {"days": 1}.'),
            number=number,
        )
    scripts = [item.get(name, "") for name in ("script_en", "script_fr")]
    if any(not isinstance(text, str) or len(text) > 2000 for text in scripts):
        raise _wrong(
            _("Step %(number)s has a script that is not a text of at most 2,000 characters."), number=number
        )
    if amount > MAX_DELAY_DAYS * {"minutes": 1440, "hours": 24, "days": 1}[unit]:
        raise _wrong(_("Step %(number)s comes more than a year after the first."), number=number)
    return Step(channel, amount * units[unit], amount if unit == "days" else 0, *scripts)


def read_steps(raw: object) -> tuple[Step, ...]:
    """Read a template's steps. Raises ValidationError naming the invalid step."""
    if not isinstance(raw, Sequence) or isinstance(raw, str) or not 1 <= len(raw) <= MAX_STEPS:
        raise _wrong(_("A ladder has 1 to %(most)s steps."), most=MAX_STEPS)
    steps = tuple(_read_step(number, item) for number, item in enumerate(raw, start=1))
    if steps[0].delay:
        raise _wrong(_("Step 1 has no delay: it is due when the ladder starts."))
    for number, (earlier, later) in enumerate(zip(steps, steps[1:], strict=False), start=2):
        if later.delay <= earlier.delay:
            raise _wrong(_("Step %(number)s must come later than the step before it."), number=number)
    return steps


def gap_before(steps: Sequence[Step], number: int) -> timedelta:
    """Return the minimum time between step `number` (from 1) and the previous one.

    30 minutes, or 2 hours if the cadence leaves 12 hours or more between them; never more than the cadence
    leaves.
    """
    if number <= 1:
        return timedelta()
    apart = steps[number - 1].delay - steps[number - 2].delay
    return min(LONG_GAP if apart >= LONG_GAP_FROM else SHORT_GAP, apart)


@dataclass(frozen=True, slots=True)
class Planned:
    """A step with its times; `due_at` is None if no instant within 60 days is allowed."""

    number: int
    step: Step
    scheduled_for: datetime
    due_at: datetime | None


FirstAllowed = Callable[[str, datetime], datetime | None]


def due_times(
    steps: Sequence[Step], start: datetime, zone: str, first_allowed: FirstAllowed
) -> list[Planned]:
    """Return every step's scheduled and due time for a ladder that starts at `start`.

    `first_allowed(channel, at)` returns the first instant at or after `at` that the gate allows, or None.
    """
    planned: list[Planned] = []
    first_due = first_allowed(steps[0].channel, start)
    earlier = first_due
    for number, step in enumerate(steps, start=1):
        if number == 1:
            planned.append(Planned(1, step, start, first_due))
            continue
        scheduled = step.after(first_due or start, zone)
        not_before = scheduled if earlier is None else max(scheduled, earlier + gap_before(steps, number))
        due = first_allowed(step.channel, not_before)
        planned.append(Planned(number, step, scheduled, due))
        earlier = due or earlier
    return planned


class Urgency(IntEnum):
    """The kinds of urgency, the most urgent first."""

    HANDOVER = 0
    CALLBACK = 1
    INBOUND = 2  # the lead called or wrote, and nobody has answered
    YOUNG = 3
    CLOSING = 4  # today's allowed hours end soon
    REST = 5


YOUNG = timedelta(hours=2)
YOUNG_STEPS = (1, 2)
CLOSES_SOON = timedelta(minutes=60)
CALLBACK_SOON = timedelta(minutes=10)


def urgency(
    at: datetime, *, id: int, kind: str, step: int | None, due_at: datetime, deadline_at: datetime | None,
    closes_at: datetime | None, score: Decimal | None, lead_since: datetime,
    unanswered_since: datetime | None,
) -> tuple[Urgency, datetime, Decimal, int]:  # fmt: skip
    """Return the sort key of tasks, the most urgent first: the list, Next and claims share this ranking.

    Within one kind the oldest comes first (handoffs by deadline), then the higher score. `closes_at` is when
    allowed contact ends, None if none is allowed now; `lead_since` is when the lead was created.
    `TaskQuerySet.of_urgency` has the kinds that the database can determine.
    """
    rank, since = Urgency.REST, due_at
    if kind == HANDOVER:
        rank, since = Urgency.HANDOVER, deadline_at or due_at
    elif kind == CALLBACK and due_at - at <= CALLBACK_SOON:
        rank = Urgency.CALLBACK
    elif unanswered_since is not None:
        rank = Urgency.INBOUND
    elif step in YOUNG_STEPS and at - lead_since < YOUNG:
        rank = Urgency.YOUNG
    elif closes_at is not None and closes_at - at <= CLOSES_SOON:
        rank = Urgency.CLOSING
    return rank, since, -(score or Decimal(0)), id


def percentile(ordered: Sequence[Decimal], fraction: Decimal) -> Decimal | None:
    """Return a percentile of ordered values by linear interpolation (Hyndman and Fan 1996, type 7)."""
    if not ordered:
        return None
    place = (len(ordered) - 1) * fraction
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return (ordered[low] + (ordered[high] - ordered[low]) * (place - low)).quantize(Decimal("0.01"))


@dataclass(frozen=True, slots=True)
class Answered:
    """A task as the SLA counts it; `limits` are the instants at 5 minutes, 30 minutes and 2 hours.

    `minutes` is None while the task is open.
    """

    due_at: datetime
    completed_at: datetime | None
    minutes: Decimal | None
    limits: tuple[datetime | None, datetime | None, datetime | None]


def sla(tasks: Iterable[Answered], at: datetime) -> dict[str, Any]:
    """Return counts and fractions of how tasks were answered.

    Within x = completed within x / (completed + open ones past x), so unfinished work never improves it.
    Fractions are None without any task.
    """
    counted = done = 0
    within = [0, 0, 0]
    late_open = [0, 0, 0]
    minutes: list[Decimal] = []
    for task in tasks:
        counted += 1
        if task.completed_at is None:
            for i, limit in enumerate(task.limits):
                late_open[i] += limit is not None and limit < at
            continue
        done += 1
        minutes.append(task.minutes or Decimal(0))
        for i, limit in enumerate(task.limits):
            within[i] += limit is None or task.completed_at <= limit
    minutes.sort()

    def fraction(i: int) -> Decimal | None:
        of = done + late_open[i]
        return (Decimal(within[i]) / of).quantize(Decimal("0.0001")) if of else None

    return {
        "count": counted,
        "within_30m": fraction(1),
        "within_2h": fraction(2),
        "within_5m": fraction(0),
        "median_minutes": percentile(minutes, Decimal("0.5")),
        "p90_minutes": percentile(minutes, Decimal("0.9")),
        "overdue_open": late_open[2],
    }
