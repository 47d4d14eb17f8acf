"""The registry of what may be removed when, and of where a person's data is.

Packs and packages register in ``AppConfig.ready()``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from django.apps import apps
from django.db import models
from django.db.models import Q, QuerySet

from governance.core.actors import Actor
from governance.retention.rules import Words

LEAD, BUYER = "LEAD", "BUYER"

# --- retention periods --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rule:
    """A retention rule: rows of `model` may be removed once their column `age` is older than the period.

    `days` is the period until a manager changes it (None: forever), `least_days` the minimum for managers.
    Rows stay for which the SQL condition `only_if` on the alias `t` is false. `part` names the table and key
    of rows that belong to a removed one and are deleted with it. `why` tells managers what it is for.
    """

    subject: str
    model: str  # app.Model
    age: str
    days: int | None
    least_days: int
    label: object
    why: object
    only_if: str = "true"
    part: tuple[str, str] | None = None

    @property
    def table(self) -> str:
        return str(apps.get_model(self.model)._meta.db_table)


_rules: dict[str, Rule] = {}


def register_rules(*rules: Rule) -> None:
    _rules.update({rule.subject: rule for rule in rules})


def rules() -> list[Rule]:
    return list(_rules.values())


def rule_of(subject: str) -> Rule | None:
    return _rules.get(subject)


# --- people -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Who:
    """Whom to look for: an id of the records' own, a phone number in E.164, or an address."""

    lead_id: str = ""
    buyer_id: str = ""
    phone: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """A person's traces in one table: `rows` are deleted, or get the columns of `blank`, or are scrubbed."""

    what: Any
    rows: QuerySet[Any]
    blank: Mapping[str, object] | None = None
    scrub: Callable[[QuerySet[Any]], int] | None = None
    found: Callable[[], int] | None = None  # counts, if the rows alone do not tell

    @property
    def table(self) -> str:
        return str(self.rows.model._meta.db_table)

    def count(self) -> int:
        return self.found() if self.found is not None else self.rows.count()

    def erase(self) -> int:
        """Erase them; return how many rows were affected."""
        if self.scrub is not None:
            return self.scrub(self.rows)
        if self.blank is not None:
            return self.rows.update(**self.blank)
        return self.rows.delete()[1].get(self.rows.model._meta.label, 0)


@dataclass(frozen=True, slots=True)
class Retained:
    """Data on a person that an erasure keeps, with the reason."""

    what: object
    count: int


@dataclass(frozen=True, slots=True)
class Person:
    """A record about a person as needed for erasing it.

    `points` are the keyed hashes of everything the person was reached by; `reached` are those that are
    certainly theirs, which are suppressed when they ask to be erased. `reference` is their id in other
    systems.
    """

    kind: str
    id: int
    label: str
    reference: str
    words: Words
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    reached: tuple[str, ...] = ()
    running: int = 0  # ladders
    traces: tuple[Trace, ...] = field(default=(), repr=False)
    stays: tuple[Retained, ...] = ()


class PersonRecords(Protocol):
    """A pack's functions on its records of people."""

    kind: str

    @property
    def model(self) -> type[models.Model]:
        """Return the records' model."""

    def find(self, who: Who) -> list[int]:
        """Return the ids of the matching records, except erased ones."""

    def lock(self, ids: Collection[int]) -> None:
        """Lock records, and those that share a number or address with them, until the transaction ends."""

    def read(self, record_id: int) -> Person | None:
        """Return a record's data; None if it is unknown or already erased."""

    def sharing(self, person: Person) -> list[str]:
        """Return the names of other records with one of the person's numbers or addresses, at most ten."""

    def stop(self, person: Person, *, by: Actor, at: datetime) -> None:
        """Stop everything in progress for the person."""

    def erase(self, person: Person, erasure: models.Model, *, by: Actor) -> int:
        """Blank the record itself; return how many rows were affected."""


_keepers: dict[str, PersonRecords] = {}
_tracers: list[Callable[[Person], Sequence[Trace]]] = []
_stayers: list[Callable[[Person], Sequence[Retained]]] = []


def register_keeper(keeper: PersonRecords) -> None:
    _keepers[keeper.kind] = keeper


def register_traces(tracer: Callable[[Person], Sequence[Trace]]) -> None:
    """Register a function that finds a person's traces in another package's tables."""
    if tracer not in _tracers:
        _tracers.append(tracer)


def register_stays(stayer: Callable[[Person], Sequence[Retained]]) -> None:
    """Register a function that finds the rows about a person that an erasure keeps."""
    if stayer not in _stayers:
        _stayers.append(stayer)


def keepers() -> list[PersonRecords]:
    return list(_keepers.values())


def keeper_of(kind: str) -> PersonRecords:
    return _keepers[kind]


def traces_of(person: Person) -> list[Trace]:
    """Return all traces of a person, in every package."""
    return [*person.traces, *(trace for tracer in _tracers for trace in tracer(person))]


def stays_of(person: Person) -> list[Retained]:
    return [*person.stays, *(stay for stayer in _stayers for stay in stayer(person))]


def mentioned(words: Words, *columns: str) -> Q:
    """Return the condition that a column may mention a person; `words` then checks the rows found."""
    wanted = Q(pk__in=[])
    for column in columns:
        for hint in words.hints:
            wanted |= Q(**{f"{column}__icontains": hint})
    return wanted
