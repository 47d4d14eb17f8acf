"""Rehashing contact points with the current contact key; they hold their text, so this is possible.

All leads with one number find one another by its hash, so it changes on all of them at once; until then a new
lead with the number gets the stored hash.
"""

from __future__ import annotations

from collections.abc import Sequence

from followups.models import ContactPoint
from followups.services.locks import lock_leads, lock_numbers
from governance.contact import digests
from governance.core.compiled import update_rows
from governance.core.verbs import Execution, verb

BATCH = 100  # points: their leads are locked meanwhile, or SQLite’s write lock is held


def take_stored_digests(points: Sequence[ContactPoint]) -> None:
    """Give points that are about to be stored the hash under which their number or address is already stored.

    Costs one query while several keys are in use and none with one. Locks the numbers until the transaction
    ends.
    """
    if not points or not digests.several_keys():
        return
    every = {(point.kind, point.value): digests.every_digest(point.kind, point.value) for point in points}
    lock_numbers(hashes[0] for hashes in every.values())
    wanted = {one for hashes in every.values() for one in hashes}
    stored = set(ContactPoint.objects.filter(digest__in=wanted).order_by().values_list("digest", flat=True))
    for point in points:
        hashes = every[point.kind, point.value]
        point.digest = next((one for one in hashes if one in stored), hashes[0])


def move_points() -> int:
    """Give every contact point the current key's hash, in batches of 100; return how many had another.

    Other work continues meanwhile. Repeats until a whole pass finds none left, so that it can be interrupted
    and run again.
    """
    moved = 0
    while True:
        found = done = last = 0
        while True:
            rows = list(
                ContactPoint.objects.filter(pk__gt=last)
                .order_by("pk")
                .values_list("pk", "kind", "value", "digest")[:BATCH]
            )
            if not rows:
                break
            last = rows[-1][0]
            others = {
                (kind, value, known)
                for _pk, kind, value, known in rows
                if known != digests.digest(kind, value)
            }
            if others:
                found += len(others)
                done += _move(sorted(others))
        moved += done
        if not found:
            return moved


@verb(Execution.OBSERVE_ONLY)
def _move(found: Sequence[tuple[str, str, str]]) -> int:
    current = {(kind, value): digests.digest(kind, value) for kind, value, _known in found}
    former = {known for _kind, _value, known in found}
    for (kind, value), own in current.items():
        former.update(digests.other_digests(kind, value, own))
    holding = ContactPoint.objects.filter(digest__in=sorted(former)).order_by()
    locked = set(holding.values_list("lead_id", flat=True))
    lock_leads(locked)
    lock_numbers(current.values())
    points = list(holding)
    # a lead that got the number since is being worked on and not locked: its number waits for the next pass
    busy = {(point.kind, point.value) for point in points if point.lead_id not in locked}
    points = [point for point in points if (point.kind, point.value) not in busy]
    for point in points:
        point.digest = current[point.kind, point.value]
    return update_rows(points, ["digest"])
