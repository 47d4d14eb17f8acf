"""Permissions of people and tokens, and working hours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from governance.core import hooks
from governance.core.actors import TOKEN_ID_LENGTH, Actor, Role
from governance.core.channels import CHANNELS
from governance.core.hours import read_windows
from governance.core.places import Province

if TYPE_CHECKING:
    from governance.accounts.models import WorkProfile

# A token with the scope `policy` may also change policies; `personal` shows an MCP client names and numbers
# (docs/mcp.md), which REST answers anyway. The other scopes restrict: a token that has any of them reaches
# only these parts, and with `:read` it only reads there.
POLICY = "policy"
PERSONAL = "personal"
AREAS = {
    "governance": "/api/governance/",
    "followups": "/api/followups/",
    "buyers": "/api/buyers/",
    "offers": "/api/deals/",
}
READ = ":read"
SCOPES = (POLICY, PERSONAL, *(scope for area in AREAS for scope in (area, area + READ)))
LOOK_UP = "followups.lookup"  # the one permission to read whose name does not begin with view
POLICY_RIGHTS = frozenset({"governance.edit_policies", "offers.edit_policies"})
LANGUAGES = ("en", "fr")


def rights_of_person(user: Any) -> frozenset[str]:
    """Return the permissions that follow from a person's role; none for the anonymous and the inactive."""
    if not user.is_active or user.is_anonymous:
        return frozenset()
    return hooks.rights_of_role(None if user.is_superuser else user.role)


def rights_of(user: Any, token: object = None) -> frozenset[str]:
    """Return the permissions for this request: the role's, and those that a service client's token adds."""
    rights = rights_of_person(user)
    if user.is_superuser or getattr(user, "role", "") != Role.SERVICE:
        return rights
    return rights | POLICY_RIGHTS if POLICY in getattr(token, "scopes", ()) else rights


def by_user(user: Any, token: Any = None, **more: Any) -> Actor:
    """Return the actor of a signed-in user, with their permissions and work profile."""
    profile = getattr(
        user, "work_profile", None
    )  # missing for most: RelatedObjectDoesNotExist is an AttributeError
    return Actor(
        username=user.get_username(),
        role=str(getattr(user, "role", "")),
        rights=rights_of(user, token),
        user_id=user.pk,
        token_id=token_id(getattr(token, "digest", "")),
        provinces=tuple(profile.provinces) if profile else (),
        channels=tuple(profile.channels) if profile else (),
        languages=tuple(profile.languages) if profile else (),
        **more,
    )


def token_id(digest: str) -> str:
    """Return a token's id in events and on screens: the beginning of its hash."""
    return digest[:TOKEN_ID_LENGTH]


def rights_at(user: object, token: object, path: str) -> frozenset[str]:
    """Return the permissions for a request of this path: none if it is outside the token's scopes."""
    rights = rights_of(user, token)
    parts = [scope for scope in getattr(token, "scopes", ()) if scope.removesuffix(READ) in AREAS]
    reaching = [scope for scope in parts if path.startswith(AREAS[scope.removesuffix(READ)])]
    if any(not scope.endswith(READ) for scope in reaching) or not parts:
        return rights
    return frozenset(filter(_reads, rights)) if reaching else frozenset()


def _reads(right: str) -> bool:
    return right == LOOK_UP or right.partition(".")[2].startswith("view_")


def read_scopes(text: str) -> list[str]:
    """Return the scopes named in a comma-separated text. Raises ValidationError for an unknown one."""
    scopes = [part.strip().lower() for part in text.split(",") if part.strip()]
    for scope in scopes:
        if scope not in SCOPES:
            raise ValidationError(
                _("“%(scope)s” is not a scope; use %(known)s.")
                % {"scope": scope[:40], "known": ", ".join(SCOPES)}
            )
    return sorted(set(scopes))


def check_profile(profile: WorkProfile) -> None:
    """Refuse a work profile with unknown provinces, channels, languages or shifts."""
    for field, known in (("provinces", Province.values), ("channels", CHANNELS), ("languages", LANGUAGES)):
        chosen = getattr(profile, field)
        if not isinstance(chosen, list) or any(item not in known for item in chosen):
            raise ValidationError({field: _("A list with any of %(known)s.") % {"known": ", ".join(known)}})
    try:
        read_windows(profile.shifts)
    except ValidationError as wrong:
        raise ValidationError({"shifts": wrong}) from wrong


def on_shift(profile: Any, at: datetime) -> bool:
    """Return whether an instant is in a work profile's shifts; without shifts, always True."""
    if profile is None or not profile.shifts:
        return True
    local = at.astimezone(ZoneInfo(profile.zone))
    minute = local.hour * 60 + local.minute
    return any(
        local.weekday() in window.days and window.start <= minute < window.end
        for window in read_windows(profile.shifts)
    )


def shifts_between(profile: Any, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield a work profile's shifts between two instants, in UTC, in order; without any, the whole time."""
    if profile is None or not profile.shifts:
        yield since, until
        return
    zone = ZoneInfo(profile.zone)
    windows = sorted(read_windows(profile.shifts), key=lambda window: window.start)
    day, last = since.astimezone(zone).date(), until.astimezone(zone).date()
    while day <= last:
        midnight = datetime.combine(day, time())
        for window in windows:
            if day.weekday() not in window.days:
                continue
            start, end = (
                (midnight + timedelta(minutes=minute)).replace(tzinfo=zone).astimezone(UTC)
                for minute in (window.start, window.end)
            )
            if end > since and start < until:
                yield max(start, since), min(end, until)
        day += timedelta(days=1)
