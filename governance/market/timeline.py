"""A market policy over time: which of its versions, and which scheduled change, is in force at an instant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from governance.core.places import ALL, Place
from governance.market.rules import DEFAULT_RULES

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """A market policy as it is in force from `since` on; None: for as long as is known.

    `scheduled` are the ids of changes that take effect and are not yet a version of their own; `id` and
    `version` are then those of the version that they change.
    """

    id: int
    province: str
    market: str
    market_key: str
    enabled: bool
    rules: dict[str, Any]
    timezone: str
    version: int
    since: datetime | None = None
    scheduled: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """A scheduled change of one place; `values` may name enabled, timezone and single rules."""

    id: int
    province: str
    market: str
    market_key: str
    effective_from: datetime
    values: Mapping[str, Any]


# When a policy takes effect, and the policy; None: there is none.
Piece = tuple[datetime | None, PolicyRow | None]


def changed(row: PolicyRow, change: Change) -> PolicyRow:
    """Return the policy with a change applied; values that the change does not name stay."""
    values = change.values
    return replace(
        row,
        enabled=values.get("enabled", row.enabled),
        timezone=values.get("timezone", row.timezone),
        rules={**row.rules, **values.get("rules", {})},
        since=change.effective_from,
        scheduled=(*row.scheduled, change.id),
    )


def created(general: PolicyRow | None, change: Change) -> PolicyRow:
    """Return the policy that a change gives a market without one: it starts with its province's rules."""
    row = general or PolicyRow(
        0, change.province, ALL, ALL, True, DEFAULT_RULES.as_json(), "", 0, change.effective_from
    )
    own = replace(row, market=change.market, market_key=change.market_key, enabled=True, timezone="")
    return changed(own, change)


def applied(row: PolicyRow | None, change: Change) -> PolicyRow:
    """Return the policy of a change's place with it, or the new one based on what applied before."""
    own = row is not None and row.market_key == change.market_key
    return changed(row, change) if row is not None and own else created(row, change)


def timelines(versions: Iterable[PolicyRow], changes: Iterable[Change]) -> dict[Key, tuple[PolicyRow, ...]]:
    """Return each place's versions and scheduled changes in the order in which they take effect.

    `versions` are the present ones and earlier ones, as far as they were loaded; their `since` is when they
    were saved. A place whose first version was loaded has no policy of its own before it.
    """
    found: dict[Key, list[PolicyRow]] = {}
    whole: set[Key] = set()  # of which the first version was loaded
    for row in sorted(versions, key=lambda row: row.version):
        key = (row.province, row.market_key)
        own = found.setdefault(key, [])
        if row.version == 1:
            whole.add(key)
        while own and row.since is not None and own[-1].since is not None and own[-1].since >= row.since:
            own.pop()  # saved with an earlier clock by somebody who waited: the later version counts
        own.append(row if own or key in whole else replace(row, since=None))
    # at the same instant the change for all markets comes first, since a new market starts with it
    for change in sorted(changes, key=lambda one: (one.effective_from, one.market_key != ALL, one.id)):
        own = found.setdefault((change.province, change.market_key), [])
        general = in_force(pieces_of((), found.get((change.province, ALL), ())), change.effective_from)
        own.append(changed(own[-1], change) if own else created(general, change))
    return {key: tuple(rows) for key, rows in found.items()}


def pieces_of(own: Sequence[PolicyRow], general: Sequence[PolicyRow]) -> tuple[Piece, ...]:
    """Return the policies of a place, from its own timeline and ALL's; the first piece has no start."""
    rows = [*general] if not own else [*own]
    if own and general and own[0].since is not None:
        rows[:0] = [row for row in general if row.since is None or row.since < own[0].since]
    if not rows:
        return ((None, None),)
    if rows[0].scheduled:  # not yet in effect, and nothing is known of the time before
        return ((None, None), *((row.since, row) for row in rows))
    return ((None, rows[0]), *((row.since, row) for row in rows[1:]))


def pieces_at(policies: Mapping[Key, Sequence[PolicyRow]], place: Place) -> tuple[Piece, ...]:
    """Return the policies of a place, in order."""
    own = policies.get((place.province, place.market_key), ())
    return pieces_of(own, policies.get((place.province, ALL), ()) if place.market_key != ALL else ())


def in_force(pieces: Sequence[Piece], at: datetime) -> PolicyRow | None:
    """Return the policy that is in force at an instant."""
    return next(policy for since, policy in reversed(pieces) if since is None or since <= at)


def with_draft(rows: Sequence[PolicyRow], draft: PolicyRow) -> tuple[PolicyRow, ...]:
    """Return a place's timeline as it would be with a draft from its `since` on.

    Changes scheduled for later keep changing their values.
    """
    start = draft.since
    assert start is not None
    found = [*(row for row in rows if row.since is None or row.since < start), draft]
    last = next((row for row in reversed(rows) if row.since is None or row.since <= start), None)
    for row in rows:
        if row.since is None or row.since <= start:
            continue
        new = found[-1]
        if last is None:
            found.append(row)
        else:
            rules = {name: value for name, value in row.rules.items() if last.rules.get(name) != value}
            found.append(
                replace(
                    new,
                    enabled=new.enabled if row.enabled == last.enabled else row.enabled,
                    timezone=new.timezone if row.timezone == last.timezone else row.timezone,
                    rules={**new.rules, **rules},
                    since=row.since,
                )
            )
        last = row
    return tuple(found)
