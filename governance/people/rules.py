"""What a person or token may do, and the hours a person works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from governance.actors import By, Role
from governance.hours import CHANNELS, read_windows
from governance.places import Province

if TYPE_CHECKING:
    from governance.people.models import WorkProfile

# A token with the scope `policy` may also change policies. The other scopes narrow: a token that has any of
# them reaches only these parts.
POLICY = "policy"
AREAS = {
    "governance": "/api/governance/",
    "followups": "/api/followups/",
    "buyers": "/api/buyers/",
    "offers": "/api/deals/",
}
SCOPES = (POLICY, *AREAS)
POLICY_RIGHTS = frozenset({"governance.edit_policies", "offers.edit_policies"})
LANGUAGES = ("en", "fr")


def rights_of(user: Any, token: Any = None) -> frozenset[str]:
    """Return the permissions that count for this request: the role's, and what a service's token adds."""
    rights = frozenset(user.get_all_permissions())
    if user.is_superuser or getattr(user, "role", "") != Role.SERVICE:
        return rights
    return rights | POLICY_RIGHTS if POLICY in getattr(token, "scopes", ()) else rights


def by_user(user: Any, token: Any = None, **more: Any) -> By:
    """Return the actor that a signed-in user is, with her rights and work profile."""
    profile = getattr(
        user, "work_profile", None
    )  # missing for most: RelatedObjectDoesNotExist is an AttributeError
    return By(
        username=user.get_username(),
        role=str(getattr(user, "role", "")),
        rights=rights_of(user, token),
        user_id=user.pk,
        provinces=tuple(profile.provinces) if profile else (),
        channels=tuple(profile.channels) if profile else (),
        languages=tuple(profile.languages) if profile else (),
        **more,
    )


def reaches(token: Any, path: str) -> bool:
    """Say whether a token's scopes let it call this path."""
    areas = [AREAS[scope] for scope in getattr(token, "scopes", ()) if scope in AREAS]
    return not areas or any(path.startswith(area) for area in areas)


def read_scopes(text: str) -> list[str]:
    """Return the scopes named in a comma-separated text. Raises ValidationError for an unknown one."""
    scopes = [part.strip().lower() for part in text.split(",") if part.strip()]
    for scope in scopes:
        if scope not in SCOPES:
            raise ValidationError(
                _("“%(scope)s” is no scope; use %(known)s.")
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
