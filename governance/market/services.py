"""Services of market policies."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core import hooks
from governance.core.actors import Actor
from governance.core.compiled import CompiledQuery, Param
from governance.core.errors import Invalid, NotFound, Refused
from governance.core.places import ALL, Place
from governance.core.verbs import Execution, verb
from governance.core.versions import checked, revise
from governance.market.models import MarketPolicy, ScheduledChange
from governance.market.names import spelled
from governance.market.reading import policies_at
from governance.market.rules import read_rules
from governance.market.timeline import Change, PolicyRow, applied, in_force, pieces_at

log = logging.getLogger(__name__)

EDIT = "governance.edit_policies"
NOT_EDITING = gettext_lazy("Changing a market policy needs a manager, or a token with the policy scope.")
MOST_SCHEDULED = 20  # for one place
FURTHEST = timedelta(days=5 * 366)


def get_effective_policy(place: Place) -> MarketPolicy | None:
    """Return the policy that applies to a place: its own row, else its province's ALL, else None."""
    policy: MarketPolicy | None = MarketPolicy.objects.effective(place)
    return policy


@verb(Execution.OBSERVE_ONLY, right=EDIT, refusal=NOT_EDITING)
def upsert_policy(
    place: Place,
    *,
    by: Actor,
    at: datetime,
    enabled: bool | None = None,
    rules: Mapping[str, object] | None = None,
    timezone: str | None = None,
    reason: str = "",
    expected_version: int | None = None,
) -> MarketPolicy:
    """Create or change a place's policy; omitted values, also inside `rules`, stay as they are.

    Without a change there is no version. Raises Forbidden without the permission, Invalid for invalid rules
    or an invalid zone, Refused `stale_version` when `expected_version` is not the row's.
    """
    waiting = _begin(place.province, at)
    policy: MarketPolicy
    policy, changed = revise(
        MarketPolicy.objects.of(place),
        partial(_fresh, place),
        partial(_change, enabled=enabled, rules=rules, timezone=timezone),
        by=by,
        at=at,
        reason=reason,
        expected_version=expected_version,
        lock=partial(MarketPolicy.objects.lock, place),
    )
    if changed:
        _require_usable(place.province, waiting, at)
        hooks.on_gate_changed.ask(policy.province, by, at)
    return policy


@verb(Execution.OBSERVE_ONLY, right=EDIT, refusal=NOT_EDITING)
def schedule_change(
    place: Place,
    *,
    by: Actor,
    at: datetime,
    effective_from: datetime,
    enabled: bool | None = None,
    rules: Mapping[str, Any] | None = None,
    timezone: str | None = None,
    reason: str = "",
    expected_version: int | None = None,
) -> ScheduledChange | None:
    """Change a place's policy from an instant on; None if nothing would change.

    Only the differences from the policy that would be in force at that instant are stored; other values that
    change until then stay changed. Raises Forbidden without the permission, Invalid for an instant that is
    not in the next five years and for invalid values, Refused `stale_version` when `expected_version` is not
    the policy's present one, `already_scheduled` if another change takes effect at the same instant,
    `too_many_scheduled` above 20.
    """
    if not at < effective_from <= at + FURTHEST:
        raise Invalid({"effective_from": [_("Enter a time in the future, at most five years away.")]})
    waiting = _begin(place.province, at)
    present = MarketPolicy.objects.of(place).first()
    version = present.version if present else 0
    if expected_version is not None and expected_version != version:
        raise Refused(
            "stale_version",
            _(
                "This was changed in the meantime: it has version %(now)s, not %(expected)s. Read it "
                "again first."
            )
            % {"now": version, "expected": expected_version},
            extra={"version": version},
        )
    before = in_force(pieces_at(policies_at([place], at), place), effective_from)
    fresh = before is None or before.market_key != place.market_key
    unchanged = Change(0, place.province, place.market, place.market_key, effective_from, {})
    row = applied(before, unchanged)
    policy = MarketPolicy(
        province=row.province,
        market=row.market,
        enabled=row.enabled,
        timezone=row.timezone,
        rules=read_rules(row.rules).as_json(),
    )
    old = dict(policy.rules)
    _change(policy, enabled=enabled, rules=rules, timezone=timezone)
    checked(policy)
    changes: dict[str, Any] = {
        name: getattr(policy, name)
        for name in ("enabled", "timezone")
        if getattr(policy, name) != getattr(row, name)
    }
    new_rules = {name: value for name, value in policy.rules.items() if old.get(name) != value}
    if new_rules:
        changes["rules"] = new_rules
    if not changes and not fresh:
        return None
    own = [one for one in waiting if one.market_key == place.market_key]
    if any(one.effective_from == effective_from for one in own):
        raise Refused(
            "already_scheduled",
            _("Another change of this policy begins then. Cancel that one first, or choose another time."),
        )
    if len(own) >= MOST_SCHEDULED:
        raise Refused(
            "too_many_scheduled",
            _("%(most)s changes of this policy are scheduled already.") % {"most": MOST_SCHEDULED},
        )
    change = ScheduledChange(
        province=place.province, market=spelled(place).market, effective_from=effective_from, changes=changes,
        changed_by=by.working_name, reason=reason, correlation_id=by.correlation_id, created_at=at,
    )  # fmt: skip
    change.save()
    _require_usable(place.province, [*waiting, change], at)
    hooks.on_gate_changed.ask(place.province, by, at)
    return change


@verb(Execution.OBSERVE_ONLY, right=EDIT, refusal=NOT_EDITING)
def cancel_scheduled(change_id: int, *, by: Actor, at: datetime, reason: str) -> ScheduledChange:
    """Cancel a scheduled change before it takes effect. A repeat changes nothing.

    Raises Forbidden without the permission, NotFound for an unknown one, Invalid without a reason, Refused
    `already_in_force` for one that has taken effect.
    """
    if not reason.strip():
        raise Invalid({"reason": [_("Say why the change is cancelled.")]})
    found = ScheduledChange.objects.filter(pk=change_id).first()
    if found is None:
        raise NotFound(_("There is no such scheduled change."), code="scheduled_change_not_found")
    _lock(found.province)
    change: ScheduledChange = ScheduledChange.objects.select_for_update().get(pk=change_id)
    if change.cancelled_at is not None:
        return change
    if change.applied_at is not None or change.effective_from <= at:
        raise Refused(
            "already_in_force", _("This change is in force already. Change the policy itself instead.")
        )
    change.cancelled_at, change.cancelled_by, change.cancel_reason = at, by.working_name, reason.strip()
    change.save(update_fields=["cancelled_at", "cancelled_by", "cancel_reason"])
    others = ScheduledChange.objects.pending().filter(province=change.province)
    _require_usable(change.province, list(others), at)
    hooks.on_gate_changed.ask(change.province, by, at)
    return change


def apply_scheduled(at: datetime, *, limit: int = 200) -> int:
    """Apply scheduled changes that are in effect as versions of their policies; return how many.

    The gate uses them from their instant on, whether or not this has run. A province that fails does not
    block others; its failure is raised in the end.
    """
    due = ScheduledChange.objects.due(at).values_list("province", flat=True)[:limit]
    done, failure = 0, None
    for province in dict.fromkeys(due):
        try:
            done += _apply_due(province, at)
        except Exception as problem:
            log.exception("the scheduled changes of %s failed", province)
            failure = failure or problem
    if failure:
        raise failure
    return done


@verb(Execution.OBSERVE_ONLY)
def _apply_due(province: str, at: datetime) -> int:
    before = ScheduledChange.objects.due(at).filter(province=province).count()
    _begin(province, at)
    return before


def _lock(province: str) -> None:
    """Let one person at a time change a province's policies: all who do lock the row of ALL first."""
    MarketPolicy.objects.lock(Place(province))


def lock_provinces(provinces: Iterable[str]) -> None:
    """Lock provinces in one fixed order, for changing several in one transaction."""
    for province in sorted(set(provinces)):
        _lock(province)


@CompiledQuery
def _waiting_in() -> QuerySet[ScheduledChange]:
    """Return the changes of a `province` that are not applied or cancelled."""
    rows = ScheduledChange.objects.pending().filter(province=Param("province"))
    return rows.order_by("effective_from", "id")


def _begin(province: str, at: datetime) -> list[ScheduledChange]:
    """Lock a province's policies and apply changes in effect there; return those scheduled for later."""
    _lock(province)
    rows: list[ScheduledChange] = _waiting_in(province=province)
    due = [row for row in rows if row.effective_from <= at]
    # at the same instant the change for all markets comes first, since a new market starts with it
    for change in sorted(due, key=lambda row: (row.effective_from, row.market_key != ALL, row.pk)):
        _apply(change, at)
    return [row for row in rows if row.effective_from > at]


def _apply(change: ScheduledChange, at: datetime) -> None:
    author = Actor.system(change.changed_by, change.correlation_id)
    place = Place(change.province, change.market)
    values = change.changes
    policy: MarketPolicy
    policy, _changed = revise(
        MarketPolicy.objects.of(place),
        partial(_fresh, place),
        partial(
            _change, enabled=values.get("enabled"), rules=values.get("rules"), timezone=values.get("timezone")
        ),
        by=author,
        at=change.effective_from,
        reason=change.reason,
    )
    change.applied_at, change.made_version = at, policy.version
    change.save(update_fields=["applied_at", "made_version"])
    hooks.on_gate_changed.ask(change.province, author, at)


def _require_usable(province: str, waiting: Sequence[ScheduledChange], at: datetime) -> None:
    """Refuse what would make a scheduled change invalid, such as a daily cap above that of 7 days."""
    if not waiting:
        return
    places = {Place(row.province, row.market) for row in waiting}
    for rows in policies_at(places, at).values():
        for row in rows:
            if row.scheduled:
                _require_usable_row(row)


def _require_usable_row(row: PolicyRow) -> None:
    try:
        read_rules(row.rules)
    except ValidationError as wrong:
        raise Invalid(
            {
                "rules": [
                    _("The change to %(market)s scheduled for %(at)s could no longer be applied: %(why)s")
                    % {
                        "market": row.market,
                        "at": date_format(localtime(row.since), "DATETIME_FORMAT"),
                        "why": " ".join(wrong.messages),
                    }
                ]
            }
        ) from wrong


def _fresh(place: Place, *, keep: bool = True) -> MarketPolicy:
    general = get_effective_policy(place)
    new = MarketPolicy(province=place.province, market=spelled(place, keep=keep).market)
    if general is not None:
        new.rules = dict(general.rules)
    return new


def _change(
    policy: MarketPolicy, *, enabled: bool | None, rules: Mapping[str, object] | None, timezone: str | None
) -> None:
    if enabled is not None:
        policy.enabled = enabled
    if rules is not None:
        policy.rules = {**policy.rules, **rules}
    if timezone is not None:
        policy.timezone = timezone


def simulate_policy(
    place: Place,
    *,
    at: datetime,
    effective_from: datetime | None = None,
    enabled: bool | None = None,
    rules: Mapping[str, Any] | None = None,
    timezone: str | None = None,
) -> hooks.Moves:
    """Return what the same change, at once or from an instant on, would do to open tasks; store nothing.

    Raises Invalid for invalid rules or an invalid zone.
    """
    start = effective_from or at
    row = in_force(pieces_at(policies_at([place], at), place), start)
    row = applied(row, Change(0, place.province, place.market, place.market_key, start, {}))
    policy = MarketPolicy(
        province=row.province,
        market=row.market,
        enabled=row.enabled,
        rules=dict(row.rules),
        timezone=row.timezone,
    )
    _change(policy, enabled=enabled, rules=rules, timezone=timezone)
    checked(policy)
    draft = hooks.PolicyDraft(place, policy.enabled, policy.rules, policy.timezone, effective_from)
    return hooks.policy_would_move.first(draft, at) or hooks.Moves()
