"""What packs and rooms say of their tables: what may be removed when, and where a person's data lie.

They register in ``AppConfig.ready()``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from django.apps import apps
from django.db import models
from django.db.models import Q, QuerySet

from governance.core.actors import By
from governance.retention.rules import Words

LEAD, BUYER = "LEAD", "BUYER"

# --- periods ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rule:
    """What may be removed as one subject: rows of `model` whose column `age` is older than the period.

    `days` is the period that holds until a manager changes it (None: for ever), `least_days` what no manager
    can go below. Rows stay for which the SQL condition `only_if` on the alias `t` is false. `part` names the
    table and key of rows that belong to a removed one and go with it. `why` says to managers what it is for.
    """

    subject: str
    model: str  # app.Model
    age: str
    days: int | None
    least_days: int
    label: Any
    why: Any
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
    """Whom to look for, by what was given: an id of the records' own, a phone in E.164, an address."""

    lead_id: str = ""
    buyer_id: str = ""
    phone: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """What a person left in one table: `rows` are deleted, or get the columns of `blank`, or are scrubbed."""

    what: Any
    rows: QuerySet[Any]
    blank: Mapping[str, Any] | None = None
    scrub: Callable[[QuerySet[Any]], int] | None = None
    found: Callable[[], int] | None = None  # counts, where the rows alone do not say

    @property
    def table(self) -> str:
        return str(self.rows.model._meta.db_table)

    def count(self) -> int:
        return self.found() if self.found is not None else self.rows.count()

    def erase(self) -> int:
        """Do it; returns how many rows were concerned."""
        if self.scrub is not None:
            return self.scrub(self.rows)
        if self.blank is not None:
            return self.rows.update(**self.blank)
        return self.rows.delete()[1].get(self.rows.model._meta.label, 0)


@dataclass(frozen=True, slots=True)
class Stay:
    """What stays of a person, and why it may."""

    what: Any
    count: int


@dataclass(frozen=True, slots=True)
class Person:
    """A record about a person as erasing sees it.

    `points` are the keyed hashes of everything she was reached by; `reached` those of them that are hers for
    sure, which are stopped when she asks to be erased. `reference` is her id in other systems.
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
    stays: tuple[Stay, ...] = ()


class Keeper(Protocol):
    """A pack's answers about its records of people."""

    kind: str

    @property
    def model(self) -> type[models.Model]:
        """The records' model."""

    def find(self, who: Who) -> list[int]:
        """Return the ids of the records that are meant, erased ones excepted."""

    def lock(self, ids: Collection[int]) -> None:
        """Hold records, and those that share a number or address with them, until the transaction ends."""

    def read(self, record_id: int) -> Person | None:
        """Return what is known of a record; None for one that is unknown or erased already."""

    def sharing(self, person: Person) -> list[str]:
        """Return what other records with a number or address of hers are called, at most ten."""

    def stop(self, person: Person, *, by: By, at: datetime) -> None:
        """Stop what runs for her."""

    def erase(self, person: Person, erasure: models.Model, *, by: By) -> int:
        """Blank the record itself; returns how many rows were concerned."""


_keepers: dict[str, Keeper] = {}
_tracers: list[Callable[[Person], Sequence[Trace]]] = []
_stayers: list[Callable[[Person], Sequence[Stay]]] = []


def register_keeper(keeper: Keeper) -> None:
    _keepers[keeper.kind] = keeper


def register_traces(tracer: Callable[[Person], Sequence[Trace]]) -> None:
    """Register who knows of traces of a person that another pack keeps."""
    if tracer not in _tracers:
        _tracers.append(tracer)


def register_stays(stayer: Callable[[Person], Sequence[Stay]]) -> None:
    """Register who knows of rows about a person that stay."""
    if stayer not in _stayers:
        _stayers.append(stayer)


def keepers() -> list[Keeper]:
    return list(_keepers.values())


def keeper_of(kind: str) -> Keeper:
    return _keepers[kind]


def traces_of(person: Person) -> list[Trace]:
    """Return all that a person left, whoever keeps it."""
    return [*person.traces, *(trace for tracer in _tracers for trace in tracer(person))]


def stays_of(person: Person) -> list[Stay]:
    return [*person.stays, *(stay for stayer in _stayers for stay in stayer(person))]


def mentioned(words: Words, *columns: str) -> Q:
    """Return the condition that a column may mention a person; what it finds is judged by `words` itself."""
    wanted = Q(pk__in=[])
    for column in columns:
        for hint in words.hints:
            wanted |= Q(**{f"{column}__icontains": hint})
    return wanted
