"""People's sessions: start, record and end them, so that the next request is anonymous.

Ending a row deletes the session that Django stores in the database: it is stored nowhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy

from governance.accounts.devices import read_device
from governance.accounts.models import SignIn, User
from governance.accounts.services import MANAGE, MOST_AT_ONCE, REASON_LENGTH, require_reason
from governance.core.actors import Actor, Role
from governance.core.verbs import needs_right, require_right

log = logging.getLogger(__name__)

Ended = SignIn.Ended
NOT_OF_OTHERS = gettext_lazy("Only a manager ends somebody else’s sessions.")
IDLE = timedelta(minutes=30)
IDLE_ON_SHIFT = timedelta(hours=4)
AT_MOST = timedelta(hours=12)


def signed_in(at: datetime) -> QuerySet[SignIn]:
    """Return the open sessions, assuming that every VA is on shift."""
    works = Q(user__role=Role.VA, user__is_superuser=False, seen_at__gt=at - IDLE_ON_SHIFT)
    return SignIn.objects.filter(
        works | Q(seen_at__gt=at - IDLE), ended_at=None, started_at__gt=at - AT_MOST, user__is_active=True
    )


def begin(
    user_id: int, session_key: str, *, at: datetime, address: str | None, agent: str, once: bool = False
) -> SignIn:
    """Record that somebody signed in with this session; `once` if another request may do so meanwhile."""
    browser, system = read_device(agent)
    values: dict[str, Any] = {
        "user_id": user_id, "browser": browser, "system": system, "address": address, "started_at": at,
        "seen_at": at,
    }  # fmt: skip
    if once:
        return SignIn.objects.get_or_create(session_key=session_key, defaults=values)[0]
    return SignIn.objects.create(session_key=session_key, **values)


def see(sign_in: int, *, at: datetime, address: str | None) -> bool:
    """Record when and from where a session was last used; return False if it is over."""
    rows = SignIn.objects.filter(pk=sign_in, ended_at=None)
    return bool(rows.update(seen_at=at, address=address))


def move(sign_in: int, session_key: str, *, second_factor: bool) -> bool:
    """Follow a session to its new key; return False if it is over."""
    rows = SignIn.objects.filter(pk=sign_in, ended_at=None)
    return bool(rows.update(session_key=session_key, second_factor=second_factor))


@transaction.atomic
def end_sessions(ids: Sequence[int], *, by: Actor, at: datetime, reason: str = "") -> list[SignIn]:
    """End one's own sessions, or with a reason anybody's, and return those that were open until now.

    Raises Forbidden without the permission, Invalid if the reason for ending another person's is missing or
    too long; then none is ended.
    """
    rows = _locked(SignIn.objects.filter(pk__in=list(ids)[:MOST_AT_ONCE]))
    if any(row.user_id != by.user_id for row in rows):
        require_right(by, MANAGE, NOT_OF_OTHERS)
        require_reason(reason)
    return _end(rows, Ended.HAND, at=at, by=by, reason=reason.strip()[:REASON_LENGTH])


@transaction.atomic
@needs_right(MANAGE, refusal=NOT_OF_OTHERS)
def end_everything(user_ids: Sequence[int], *, by: Actor, at: datetime, reason: str) -> list[SignIn]:
    """End all sessions of people, with a reason. Raises Forbidden and Invalid as `end_sessions` does."""
    require_reason(reason)
    rows = _locked(SignIn.objects.filter(user__in=list(user_ids)[:MOST_AT_ONCE]))
    return _end(rows, Ended.HAND, at=at, by=by, reason=reason.strip())


@transaction.atomic
def end_others(kept: int, *, by: Actor, at: datetime) -> list[SignIn]:
    """End all of one's own sessions but one."""
    rows = _locked(SignIn.objects.filter(user=by.user_id).exclude(pk=kept))
    return _end(rows, Ended.HAND, at=at, by=by)


@transaction.atomic
def close(
    rows: QuerySet[SignIn], because: SignIn.Ended, *, at: datetime, by: Actor | None = None, reason: str = ""
) -> list[SignIn]:
    """End sessions as a consequence of another change, and return those that were open until now."""
    return _end(_locked(rows), because, at=at, by=by, reason=reason[:REASON_LENGTH])


def close_all_of(
    user: User, because: SignIn.Ended, *, at: datetime, by: Actor | None = None, reason: str = ""
) -> list[SignIn]:
    """End all sessions of a person, for example when their role changes."""
    return close(SignIn.objects.filter(user=user), because, at=at, by=by, reason=reason)


def close_left_behind(at: datetime) -> int:
    """End the sessions that nobody came back to, and return how many."""
    rows = SignIn.objects.filter(Q(seen_at__lte=at - IDLE_ON_SHIFT) | Q(started_at__lte=at - AT_MOST))
    return len(close(rows, Ended.AWAY, at=at))


def _locked(rows: QuerySet[SignIn]) -> list[SignIn]:
    return list(rows.filter(ended_at=None).order_by("pk").select_for_update(of=("self",)))


def _end(
    rows: list[SignIn], because: SignIn.Ended, *, at: datetime, by: Actor | None = None, reason: str = ""
) -> list[SignIn]:
    if not rows:
        return []
    Session.objects.filter(session_key__in=[row.session_key for row in rows]).delete()
    columns = {
        "session_key": "",
        "ended_at": at,
        "ended_because": because,
        "ended_by": by.working_name if by else "",
        "end_reason": reason,
    }
    SignIn.objects.filter(pk__in=[row.pk for row in rows]).update(**columns)
    for row in rows:
        log.info("session %s of person %s ended: %s", row.pk, row.user_id, because)
    return rows
