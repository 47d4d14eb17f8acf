"""The rows of one file by lead, on disk: a lead that occurs on several rows is stored once.

Applied one after the other, the earlier rows of a file would undo the later ones each time the file is
imported. So the whole file is collected first, in a private SQLite file that is deleted afterwards, and a
file of any size needs little memory.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from followups.fields import FILE_VALUES, OF_PLACE, LeadValues
from governance.core.places import ALL, fold_city

T = TypeVar("T")

_EXTENSION = re.compile(r"ext\. [0-9]{1,7}")


@dataclass(frozen=True, slots=True)
class Given(LeadValues):
    """A file's data on a lead; blank and None mean unknown.

    `points` are (kind, value) as stored, `extensions` lines such as ``ext. 12`` that are added below the
    notes.
    """

    external_id: str
    province: str
    market: str = ALL
    extensions: tuple[str, ...] = ()
    points: tuple[tuple[str, str], ...] = ()
    extra: dict[str, str] = field(default_factory=dict)

    def then(self, later: Given) -> Given:
        """Return both rows merged: the later one's values if it has any, points and extensions of both.

        If the province changes, the earlier city and postal code are dropped.
        """
        values = {
            name: getattr(later, name)
            for name in FILE_VALUES
            if name != "city" and getattr(later, name) not in ("", None)
        }
        if later.city or later.province != self.province:
            values |= {"city": later.city, "market": later.market}
        if later.province != self.province:
            values |= {name: getattr(later, name) for name in OF_PLACE}
        return replace(
            self,
            **values,
            province=later.province,
            extensions=_all_of(self.extensions, later.extensions),
            points=_all_of(self.points, later.points),
            extra={**self.extra, **later.extra},
        )

    def as_json(self) -> bytes:
        return msgspec.json.encode(self)  # a number as it is written

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        return msgspec.json.decode(text, type=cls)


def _all_of(one: Sequence[T], other: Sequence[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def split_notes(notes: str) -> tuple[str, tuple[str, ...]]:
    """Return notes and the extensions on the last lines below them."""
    lines = notes.strip().split("\n")
    count = 0
    while count < len(lines) and _EXTENSION.fullmatch(lines[-1 - count]):
        count += 1
    cut = len(lines) - count
    return "\n".join(lines[:cut]).rstrip(), tuple(dict.fromkeys(lines[cut:]))


def notes_with(known: str, given: Given) -> str:
    """Return a lead's notes after an import: the file's replace the known ones, extensions are added.

    If the file has nothing new they are returned unchanged, to the last space.
    """
    text, extensions = split_notes(known)
    wanted = given.notes or text
    joined = _all_of(extensions, given.extensions)
    if (wanted, joined) == (text, extensions):
        return known
    return "\n".join(filter(None, (wanted, *joined)))


def same_city(one: str, other: str) -> bool:
    """Return whether two names are the same city in any spelling; an unknown city matches any."""
    return not one or not other or fold_city(one) == fold_city(other)


@dataclass(frozen=True, slots=True)
class Gathered:
    """A lead of the file, by its position of first occurrence, and its last line."""

    place: int
    line: int
    given: Given


class Gathering:
    """The leads of one file. Use as a context manager."""

    def __init__(self) -> None:
        # "" is a file that SQLite creates for this connection only (mode 0600) and removes at once.
        self._rows = sqlite3.connect("", isolation_level=None)
        self._rows.execute("PRAGMA journal_mode = OFF")
        self._rows.execute("BEGIN")
        self._rows.execute(
            "CREATE TABLE lead (place INTEGER PRIMARY KEY, external_id TEXT UNIQUE, line INTEGER, given BLOB,"
            " pk INTEGER, refusal TEXT NOT NULL DEFAULT '')"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()

    def add(self, line: int, given: Given) -> tuple[int, bool]:
        """Add a row. Return the lead's previous line (0: none), and whether this one has anything new."""
        added = self._rows.execute(
            "INSERT INTO lead (external_id, line, given) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (given.external_id, line, given.as_json()),
        )
        if added.rowcount:
            return 0, True
        place, before, known = self._rows.execute(
            "SELECT place, line, given FROM lead WHERE external_id = ?", (given.external_id,)
        ).fetchone()
        merged = Given.from_json(known).then(given).as_json()
        self._rows.execute("UPDATE lead SET line = ?, given = ? WHERE place = ?", (line, merged, place))
        return before, merged != known

    def __len__(self) -> int:
        return int(self._rows.execute("SELECT count(*) FROM lead").fetchone()[0])

    def batches(self, size: int) -> Iterator[list[Gathered]]:
        """Yield the leads in the order in which they first occur."""
        last = 0
        while rows := self._rows.execute(
            "SELECT place, line, given FROM lead WHERE place > ? ORDER BY place LIMIT ?", (last, size)
        ).fetchall():
            yield [Gathered(place, line, Given.from_json(given)) for place, line, given in rows]
            last = rows[-1][0]

    def remember(self, stored: Sequence[tuple[int, int]]) -> None:
        """Store the primary keys of stored leads: (primary key, place) each."""
        self._rows.executemany("UPDATE lead SET pk = ? WHERE place = ?", stored)

    def refuse(self, refusals: Sequence[tuple[str, int]]) -> None:
        """Store why leads start no ladder: (reason, primary key) each."""
        self._rows.executemany("UPDATE lead SET refusal = ? WHERE pk = ?", refusals)

    def stored(self, size: int, *, unrefused: bool = False) -> Iterator[list[tuple[int, int]]]:
        """Yield primary keys, each with the lead's last line; `unrefused` leaves out refused leads."""
        self._rows.execute("CREATE INDEX IF NOT EXISTS lead_pk ON lead (pk)")
        which = "AND refusal = ''" if unrefused else ""
        last = 0
        while rows := self._rows.execute(
            f"SELECT pk, line FROM lead WHERE pk > ? {which} ORDER BY pk LIMIT ?", (last, size)
        ).fetchall():
            yield rows
            last = rows[-1][0]
