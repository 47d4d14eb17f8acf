"""Queries on users."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Exists, Model, OuterRef, QuerySet
from django.db.models.functions import Lower

from governance.accounts.models import Absence, ApiToken, User
from governance.core.actors import Role
from governance.core.compiled import CompiledQuery, Param

MOST = 1000


def active() -> QuerySet[Any]:
    """Return the active people, each with `key`, the name as owners are compared."""
    return User.objects.filter(is_active=True).annotate(key=Lower("username"))


@CompiledQuery
def tokens_of() -> object:
    """Return the tokens that begin with `key`, each with its user and work profile."""
    return (
        ApiToken.objects.filter(token_key=Param("key"))
        .select_related("user__work_profile")
        .only(
            *("digest", "expiry", "revoked_at", "last_used_at", "scopes", "calls_per_minute", "issuer"),
            *("user__username", "user__role", "user__is_active", "user__is_superuser"),
            *(f"user__work_profile__{name}" for name in ("provinces", "channels", "languages")),
        )
    )


def service_clients() -> QuerySet[User]:
    """Return the active service clients, whose tokens managers issue."""
    return User.objects.filter(is_active=True, role=Role.SERVICE, is_superuser=False)


def own_tokens(user_id: int, at: datetime) -> QuerySet[ApiToken]:
    """Return a person's valid tokens, the newest first."""
    rows: QuerySet[ApiToken] = ApiToken.objects.filter(user=user_id, revoked_at=None, expiry__gt=at)
    return rows.order_by("-created", "-digest")


def at_work(at: datetime) -> QuerySet[Model]:
    """Return the active people who are not absent, each with `key`."""
    return active().filter(~Exists(_absent(at)))


def active_or_away(at: datetime) -> QuerySet[Any]:
    """Return the active people, each with `key`, and `away` if they are absent."""
    rows: QuerySet[Model] = active().annotate(away=Exists(_absent(at)))
    return rows


def _absent(at: datetime) -> QuerySet[Absence]:
    return Absence.objects.filter(user=OuterRef("pk"), starts_at__lte=at, ends_at__gt=at)


def managers() -> QuerySet[User]:
    """Return the active managers."""
    return User.objects.filter(is_active=True, role=Role.MANAGER).order_by("username")


def managers_mail() -> list[str]:
    """Return the e-mail addresses of the active managers who have one."""
    return list(managers().exclude(email="").values_list("email", flat=True))


def absences_from(at: datetime, most: int = 100) -> list[dict[str, Any]]:
    """Return current and future absences, the earliest first."""
    rows = Absence.objects.filter(ends_at__gt=at, user__is_active=True).order_by("starts_at", "pk")
    return [
        dict(row) for row in rows.values("pk", "user_id", "user__username", "starts_at", "ends_at")[:most]
    ]


def absences_of(user_ids: Sequence[int], since: datetime, until: datetime) -> list[tuple[Any, ...]]:
    """Return the absences between two instants: whose, from when and until when."""
    rows = Absence.objects.filter(user__in=list(user_ids), ends_at__gt=since, starts_at__lte=until)
    return list(rows.order_by("starts_at", "pk").values_list("user_id", "starts_at", "ends_at")[:MOST])
