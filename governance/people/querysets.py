"""Questions about people."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Lower

from governance.actors import Role
from governance.people.models import Absence, ApiToken, User
from governance.prepared import Prepared, Slot


def active() -> QuerySet[Any]:
    """Return the active people, each with `key`, the name as owners are compared."""
    return User.objects.filter(is_active=True).annotate(key=Lower("username"))


@Prepared
def tokens_of() -> Any:
    """Return the tokens that begin with `key`, each with its person and what she works on."""
    return (
        ApiToken.objects.filter(token_key=Slot("key"))
        .select_related("user__work_profile")
        .only(
            *("digest", "expiry", "revoked_at", "last_used_at", "scopes", "calls_per_minute"),
            *("user__username", "user__role", "user__is_active", "user__is_superuser"),
            *(f"user__work_profile__{name}" for name in ("provinces", "channels", "languages")),
        )
    )


def at_work(at: datetime) -> QuerySet[Any]:
    """Return the active people who are not absent, each with `key`."""
    absent = Absence.objects.filter(user=OuterRef("pk"), starts_at__lte=at, ends_at__gt=at)
    return active().filter(~Exists(absent))


def managers() -> QuerySet[User]:
    """Return the active managers."""
    return User.objects.filter(is_active=True, role=Role.MANAGER).order_by("username")


def managers_mail() -> list[str]:
    """Return the e-mail addresses of the active managers who have one."""
    return list(managers().exclude(email="").values_list("email", flat=True))


def absences_from(at: datetime, most: int = 100) -> list[dict[str, Any]]:
    """Return the absences that last or are still to come, the first to begin first."""
    rows = Absence.objects.filter(ends_at__gt=at, user__is_active=True).order_by("starts_at", "pk")
    return [
        dict(row) for row in rows.values("pk", "user_id", "user__username", "starts_at", "ends_at")[:most]
    ]
