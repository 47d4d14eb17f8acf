"""Verbs of people: tokens for programs, and the role that says what somebody may do."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from governance.actors import By, Role
from governance.errors import Forbidden, Invalid, Refused
from governance.hours import Window
from governance.people.models import Absence, ApiToken, User, WorkProfile
from governance.people.rules import check_profile

log = logging.getLogger(__name__)

MAX_DAYS = 90
DEFAULT_ZONE = "America/Toronto"
LABEL_LENGTH = 80
REASON_LENGTH = 200
MANAGE = "governance.manage_people"
MOST_AT_ONCE = 100
LONGEST_ABSENCE = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token. `text` is what the program sends; it is shown once and stored nowhere."""

    text: str = field(repr=False)
    token: ApiToken
    made_person: bool


@transaction.atomic
def issue_token(
    username: str,
    *,
    role: str = "",
    scopes: list[str] | tuple[str, ...] = (),
    days: int = MAX_DAYS,
    label: str = "",
) -> Issued:
    """Make a token of `days` (1 to 90) for a person, who is made with `role` if there is none of that name.

    Older tokens of the person live on to their own end: at a rotation the new one is put in place before the
    old one is revoked. A person made here has no password. Raises Invalid for a wrong name, role or number
    of days, Refused `other_role` where the person has another role, `inactive` where she may not sign in.
    """
    if not 1 <= days <= MAX_DAYS:
        raise Invalid({"days": [_("A token lasts 1 to %(most)d days.") % {"most": MAX_DAYS}]})
    if role and role not in Role.values:
        raise _no_role()
    user = User.objects.filter(username__iexact=username).first()
    made = user is None
    if user is None:
        user = _new_person(username, role or Role.SERVICE)
    elif role and role != user.role:
        names = {"name": user.username, "has": user.role.lower(), "asked": role.lower()}
        sentence = _("%(name)s has the role %(has)s, not %(asked)s; nothing was changed.")
        raise Refused("other_role", sentence % names)
    elif not user.is_active:
        raise Refused("inactive", _("%(name)s is no longer active.") % {"name": user.username})
    if len(label) > LABEL_LENGTH:
        raise Invalid({"label": [_("At most %(most)d characters.") % {"most": LABEL_LENGTH}]})
    token, text = ApiToken.objects.create(
        user=user, expiry=timedelta(days=days), label=label, scopes=sorted(set(scopes))
    )
    return Issued(text, token, made)


def _no_role() -> Invalid:
    return Invalid({"role": [_("A role is one of %(known)s.") % {"known": ", ".join(Role.values).lower()}]})


def _new_person(username: str, role: str) -> User:
    user = User(username=username, role=role)
    user.set_unusable_password()
    try:
        user.full_clean()
        with transaction.atomic():
            user.save(force_insert=True)
    except ValidationError as wrong:
        raise Invalid(wrong.message_dict) from wrong
    except IntegrityError as taken:
        raise Refused("name_taken", _("Somebody took this name just now; try again.")) from taken
    show_role(user)
    return user


def revoke_token(token: ApiToken, *, by: By, at: datetime, reason: str = "") -> bool:
    """End a token at once and for good; False where it was revoked before."""
    columns = {
        "revoked_at": at,
        "revoked_by": by.working_name,
        "revoke_reason": reason.strip()[:REASON_LENGTH],
    }
    ended = bool(ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(**columns))
    if ended:
        token.revoked_at = at
        log.info("%s revoked a token of person %s", by.username, token.user_id)
    return ended


@transaction.atomic
def set_role(user: User, role: str, *, by: By) -> bool:
    """Give a person another role, which changes at once what she and her tokens may do.

    False where she has it already. Raises Invalid for an unknown role.
    """
    if role not in Role.values:
        raise _no_role()
    if user.role == role:
        return False
    user.role = role
    user.save(update_fields=["role", "is_staff"])
    show_role(user)
    log.info("%s gave %s the role %s", by.username, user.username, role)
    return True


@transaction.atomic
def mark_away(
    user_ids: Sequence[int], first: date, last: date, *, by: By, at: datetime, reason: str
) -> list[Absence]:
    """Mark people away from the first to the last day, both included, each in her own time zone.

    Who is away all that time already gets no second absence, so that a repeat changes nothing. Raises
    Forbidden without the right, Invalid for days that cannot be, without a reason, or for nobody.
    """
    people = _chosen(user_ids, by, reason)
    today = at.date()
    if last < first:
        raise Invalid({"last": [_("The last day is before the first.")]})
    if last - first > LONGEST_ABSENCE:
        raise Invalid({"last": [_("An absence lasts a year at most.")]})
    if abs(first - today) > LONGEST_ABSENCE:
        raise Invalid({"first": [_("An absence begins within a year from today.")]})
    made = []
    for user in people:
        profile = getattr(user, "work_profile", None)
        zone = ZoneInfo(profile.zone if profile else DEFAULT_ZONE)
        starts = datetime.combine(first, time(), zone)
        ends = datetime.combine(last + timedelta(days=1), time(), zone)
        if Absence.objects.filter(user=user, starts_at__lte=starts, ends_at__gte=ends).exists():
            continue
        made.append(
            Absence.objects.create(
                user=user, starts_at=starts, ends_at=ends, reason=reason.strip(), marked_by=by.working_name
            )
        )
    log.info("%s marked %d people away", by.username, len(made))
    return made


@transaction.atomic
def set_shifts(
    user_ids: Sequence[int], windows: Sequence[Window], *, by: By, at: datetime, reason: str
) -> list[User]:
    """Give people the same weekly shifts, each in her own time zone, and return those to whom that was new.

    Raises Forbidden without the right, Invalid without a reason or for nobody.
    """
    shifts = [window.as_json() for window in windows]
    changed = []
    for user in _chosen(user_ids, by, reason):
        profile = getattr(user, "work_profile", None) or WorkProfile(user=user)
        if profile.pk and profile.shifts == shifts:
            continue
        profile.shifts = shifts
        check_profile(profile)
        profile.save()
        changed.append(user)
    log.info("%s gave %d people other shifts", by.username, len(changed))
    return changed


def require_reason(reason: str) -> None:
    """Raise Invalid unless somebody said, in at most 200 characters, why."""
    if not reason.strip():
        raise Invalid({"reason": [_("Say why this changes.")]})
    if len(reason.strip()) > REASON_LENGTH:
        raise Invalid({"reason": [_("At most %(most)d characters.") % {"most": REASON_LENGTH}]})


def _chosen(user_ids: Sequence[int], by: By, reason: str) -> list[User]:
    """Return the active people of these ids, locked. Raises Forbidden and Invalid."""
    if not by.may(MANAGE):
        raise Forbidden("not_allowed", _("Only a manager plans when people work."))
    require_reason(reason)
    rows = User.objects.filter(pk__in=list(user_ids)[:MOST_AT_ONCE], is_active=True).order_by("pk")
    found = list(rows.select_for_update(of=("self",)).select_related("work_profile"))
    if not found:
        raise Invalid({"people": [_("Choose people who are active.")]})
    return found


def show_role(user: User) -> None:
    """Put a person into her role's group. Groups only show roles in admin; they give no right."""
    user.groups.remove(*Group.objects.filter(name__in=set(Role.values) - {user.role}))
    user.groups.add(*Group.objects.filter(name=user.role))
