"""Hooks: what lower layers ask of higher ones.

Packs register in ``AppConfig.ready()``. A hook runs inside the caller's transaction: if it raises, the caller
is rolled back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from django.core.exceptions import ImproperlyConfigured

from governance.core.actors import Actor
from governance.core.places import Place

if TYPE_CHECKING:
    from governance.core.verbs import Execution

P = ParamSpec("P")
R = TypeVar("R")


class Hook(Generic[P, R]):
    """A query or notice for other packages; `ask` calls each of them in the order of registration."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._answerers: list[Callable[P, R]] = []

    def register(self, answerer: Callable[P, R]) -> Callable[P, R]:
        if answerer not in self._answerers:
            self._answerers.append(answerer)
        return answerer

    def ask(self, *args: P.args, **kwargs: P.kwargs) -> list[R]:
        return [answerer(*args, **kwargs) for answerer in self._answerers]

    def first(self, *args: P.args, **kwargs: P.kwargs) -> R | None:
        """Return the first answer that is not None."""
        for answerer in self._answerers:
            answer = answerer(*args, **kwargs)
            if answer is not None:
                return answer
        return None


class Provider(Generic[P, R]):
    """A function that exactly one higher module provides; called like that function."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._function: Callable[P, R] | None = None

    def provide(self, function: Callable[P, R]) -> Callable[P, R]:
        """Register the function. Raises ImproperlyConfigured if another one was registered."""
        if self._function not in (None, function):
            raise ImproperlyConfigured(f"{self.name} is provided twice")
        self._function = function
        return function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if self._function is None:
            raise ImproperlyConfigured(f"nothing provides {self.name}")
        return self._function(*args, **kwargs)


@dataclass(frozen=True, slots=True)
class PointFacts:
    """A contact point as the gate sees it: `kind` is PHONE, EMAIL or LEAD, `digest` its keyed hash.

    LEAD is the lead as such: an opt-out of somebody without a number is stored under it. `area_code` is that
    of a telephone number of the North American plan, else blank; `others` are its hashes under the other
    contact keys: rows stored under them count as the point's own.
    """

    kind: str
    digest: str
    area_code: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeadFacts:
    """The facts about a lead that the gate needs; `zone` is blank if the lead has none of their own.

    `score` is a fraction 0 to 1 or None if unknown; `points` are those that may still be used.
    """

    lead_id: str
    province: str
    market: str
    city: str
    zone: str
    score: Decimal | None
    points: tuple[PointFacts, ...]


@dataclass(frozen=True, slots=True)
class Liquidity:
    """A market's liquidity as offers need it; both scores in points, 0 or more."""

    score: Decimal
    score_low: Decimal
    events: int


@dataclass(frozen=True, slots=True)
class StandingOffer:
    """A lead's newest offer: the amount that we may offer them (CAD), and its state for display."""

    recommended: Decimal
    state: str


@dataclass(frozen=True, slots=True)
class PolicyDraft:
    """A market policy as it would be; `rules` as stored.

    `since` is when it would take effect, or None for at once.
    """

    place: Place
    enabled: bool
    rules: Mapping[str, Any]
    timezone: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Moves:
    """The effect of a change on open tasks.

    `looked_at` counts the tasks judged, `moved` those that get another time, `held` those that become
    blocked, `returned` the blocked ones that get a time; `first_at` is the earliest time that is lost or
    gained; without `complete` there are more tasks than were judged.
    """

    looked_at: int = 0
    moved: int = 0
    held: int = 0
    returned: int = 0
    first_at: datetime | None = None
    complete: bool = True


@dataclass(frozen=True, slots=True)
class LawsWeek:
    """The legal hours of one channel on each weekday, Monday first, as (start, end) minutes."""

    channel: str
    days: tuple[tuple[tuple[int, int], ...], ...]
    citations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChecklistLine:
    """A condition for go-live; `title` states it as it is when `ok`.

    Otherwise `message` is the sentence for a person, `detail` the facts for a program, and `url` the screen
    on which to fix it, if there is one.
    """

    id: str
    title: str
    ok: bool
    message: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    url: str = ""


@dataclass(frozen=True, slots=True)
class Happened:
    """An entry in a lead's timeline: `kind` is a code for its display, `at` when it was or will be.

    `model` and `pk` identify the row with the details, `correlation_id` the call that wrote it.
    """

    at: datetime
    kind: str
    title: str
    text: str = ""
    who: str = ""
    correlation_id: str = ""
    model: str = ""
    pk: int = 0


# --- what core's verbs and entry points need of governance, provided in GovernanceConfig.ready() ------------

# (execution class): admit a verb of this class, inside its transaction; raises Unavailable if go-live
# or the kill switch stops it
admit: Provider[[Execution], None] = Provider("admit")
# (user, token, correlation_id=…): the actor, with their permissions and work profile
actor_of: Provider[..., Actor] = Provider("actor_of")
# (role, or None for a superuser): the permissions of a role
rights_of_role: Provider[[str | None], frozenset[str]] = Provider("rights_of_role")
# (user, token, path): the permissions for a call of this path; none if it is outside the token's scopes
rights_at: Provider[[object, object, str], frozenset[str]] = Provider("rights_at")
# (user_id, key, request, at, handle): run `handle` once per user and key; see outbox.services.answer_once
answer_once: Provider[..., tuple[int, str, bool]] = Provider("answer_once")
# (user_id, requests by key, at, handle): the same for many keys, in the caller's transaction
answer_each_once: Provider[..., Mapping[str, tuple[int, str, bool] | Exception]] = Provider(
    "answer_each_once"
)
# (domain, metric, by, at, success, detail): write a KPI event; see kpi.services.emit_kpi
emit_kpi: Provider[..., object] = Provider("emit_kpi")

# --- what lower layers ask of higher ones -------------------------------------------------------------------

# The columns in which rows about a point are read together, and the values of `what` for the pack's own rows.
PERSONAL_COLUMNS = ("table", "id", "point_digest", "channel", "what", "at", "ends", "of_press")
CONTACT_MADE, CAME_IN = "MADE", "IN"

# (what happened, who did it, names and codes of it): the security log's line, once it is committed
security_event: Hook[[str, Actor, Mapping[str, object]], None] = Hook("security_event")
# (the request): whether it comes from an address that many people share
is_office: Hook[[Any], bool] = Hook("is_office")
lead_facts: Hook[[str], LeadFacts | None] = Hook("lead_facts")
# (digests of the points, channel or "" for all, actor, when): stop whatever contacts them
on_suppressed: Hook[[Sequence[str], str, Actor, datetime], None] = Hook("on_suppressed")
# (list of digests, since): querysets with the columns above of counting contacts and of inbound ones
contacts_of: Hook[[object, object], Sequence[object]] = Hook("contacts_of")
# (area codes): those outside of the list to which open tasks would make a call
called_area_codes: Hook[[Sequence[str]], Sequence[str]] = Hook("called_area_codes")
# (province or "" for all, actor, when): due times there must be recomputed
on_gate_changed: Hook[[str, Actor, datetime], None] = Hook("on_gate_changed")
# (the policy as it would be, when): what saving it would move, writing nothing
policy_would_move: Hook[[PolicyDraft, datetime], Moves] = Hook("policy_would_move")
# (provinces and names of cities): the spelling of the known ones
city_names: Hook[[Collection[tuple[str, str]]], Mapping[tuple[str, str], str]] = Hook("city_names")
# (provinces, local day): the legal hours in force there, by province
laws_week: Hook[[Sequence[str], date], Mapping[str, Sequence[LawsWeek]]] = Hook("laws_week")
liquidity_of: Hook[[Place, str], Liquidity | None] = Hook("liquidity_of")
# (lead id): their current offer, or else the last one
standing_offer: Hook[[str], StandingOffer | None] = Hook("standing_offer")
# e-mail addresses of the people who must be notified of failures
told_of_trouble: Hook[[], Sequence[str]] = Hook("told_of_trouble")
# (when): metrics of the operations board by name, computed by a job since nobody should wait for them
figures: Hook[[datetime], Mapping[str, object]] = Hook("figures")
# (when): conditions for go-live, line by line; a line that is not ok is a blocker
checklist: Hook[[datetime], Sequence[ChecklistLine]] = Hook("checklist")
# (owners' keys): how many open tasks each has, counted to a hundred and one
open_work: Hook[[Sequence[str]], Mapping[str, int]] = Hook("open_work")
# (lead id): the lead's past and planned entries of a package; bounded, in any order
timeline_of: Hook[[str], Sequence[Happened]] = Hook("timeline_of")
