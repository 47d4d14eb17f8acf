"""The same person under two lead ids: the later ladder waits for the one running for their number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from followups.rules.lead_gate import Point, SomePoint
from governance.core.channels import CHANNELS
from governance.core.places import fold


@dataclass(frozen=True, slots=True)
class Holder:
    """An active ladder of a lead with a number or address; `ladder_id` is 0 while it is not stored."""

    digest: str
    lead_id: int
    name: str
    ladder_id: int
    queued_at: datetime | None

    def before(self, other: Holder) -> bool:
        """Return whether this ladder comes first; one from before ladders queued always does."""
        if self.queued_at is None or other.queued_at is None:
            return self.queued_at is None and other.queued_at is not None
        return (self.queued_at, self.ladder_id) < (other.queued_at, other.ladder_id)

    def may_be(self, other: Holder) -> bool:
        """Return whether both leads may be one person: the same folded name, or one has none."""
        mine, theirs = fold(self.name), fold(other.name)
        return not mine or not theirs or mine == theirs


@dataclass(frozen=True, slots=True)
class Holders:
    """The active ladders for some numbers, and which of the numbers are marked as shared."""

    by_digest: Mapping[str, Sequence[Holder]]
    shared: frozenset[str]

    def others(self, lead_id: int, points: Iterable[Point]) -> list[Holder]:
        """Return the active ladders of other leads with one of these usable points."""
        own = dict.fromkeys(point.digest for point in points if point.usable)
        return [
            holder for digest in own for holder in self.by_digest.get(digest, ()) if holder.lead_id != lead_id
        ]

    def ahead(self, mine: Holder, points: Iterable[Point]) -> list[Holder]:
        """Return the ladders that a ladder waits for, first come first served."""
        rivals = [
            holder
            for holder in self.others(mine.lead_id, points)
            if holder.digest not in self.shared and holder.before(mine) and holder.may_be(mine)
        ]
        return sorted(
            rivals, key=lambda holder: (holder.queued_at is not None, holder.queued_at, holder.ladder_id)
        )

    def queue_end(self, at: datetime, numbers: Iterable[str]) -> datetime:
        """Return the queue position of a ladder that starts or resumes: after every active one.

        The clocks of two machines may differ, so the instant alone does not determine the order.
        """
        held = (holder for digest in numbers for holder in self.by_digest.get(digest, ()))
        before = [holder.queued_at for holder in held if holder.queued_at is not None]
        return max([at, *(queued + timedelta(microseconds=1) for queued in before)])

    def having(self, new: Holder, points: Iterable[Point]) -> Holders:
        """Return the active ladders for the numbers once one has started for a lead with these points."""
        own = {point.digest for point in points if point.usable}
        more = {
            digest: (*self.by_digest.get(digest, ()), replace(new, digest=digest)) for digest in sorted(own)
        }
        return replace(self, by_digest={**self.by_digest, **more})


def first_free(
    points: Iterable[SomePoint], channel: str, taken: frozenset[str]
) -> tuple[SomePoint | None, bool]:
    """Return the first usable point of a channel that is not taken, else the first; and whether it waits."""
    kind = CHANNELS[channel].kind
    usable = [point for point in points if point.kind == kind and point.usable]
    free = next((point for point in usable if point.digest not in taken), None)
    return (free or (usable[0] if usable else None)), bool(usable) and free is None
