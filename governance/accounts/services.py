"""Services of people: issue tokens, change roles, and set when people work."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.accounts.account_log import Kind, record
from governance.accounts.models import CALLS_PER_MINUTE, Absence, ApiToken, RoleChange, User, WorkProfile
from governance.accounts.querysets import managers
from governance.accounts.rules import POLICY, check_profile
from governance.core.actors import ACTOR_LENGTH, CORRELATION_LENGTH, Actor, Role
from governance.core.errors import Forbidden, Invalid, Refused, not_allowed
from governance.core.hours import Window
from governance.core.reasons import require_explanation
from governance.core.verbs import needs_right, require_right

log = logging.getLogger(__name__)

MAX_DAYS = 90
DEFAULT_ZONE = "America/Toronto"
LABEL_LENGTH = 80
REASON_LENGTH = 200
MANAGE = "governance.manage_people"
ISSUE_OWN = "governance.issue_own_token"
NOT_PLANNING = gettext_lazy("Only a manager plans when people work.")
MOST_AT_ONCE = 100
LONGEST_ABSENCE = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token. `text` is what the program sends; it is shown once and stored nowhere."""

    text: str = field(repr=False)
    token: ApiToken


@transaction.atomic
def issue_token(
    username: str,
    *,
    by: Actor,
    at: datetime,
    role: str = "",
    scopes: list[str] | tuple[str, ...] = (),
    days: int = MAX_DAYS,
    label: str = "",
    calls_per_minute: int = CALLS_PER_MINUTE,
) -> Issued:
    """Issue a token of `days` (1 to 90): to a service client, to oneself, or, for the operator, to anybody.

    For the operator the person is created with `role` if there is none of that name, without a password.
    Older tokens of the person stay valid until they expire: at a rotation the new one is deployed before the
    old one is revoked. Raises Invalid for a wrong name, role or number of days, Forbidden without the
    permission and `own_token` for another person's, Refused `unknown_person`, `other_role` if the person has
    another role, `inactive` if they may not sign in.
    """
    if not 1 <= days <= MAX_DAYS:
        raise Invalid({"days": [_("A token lasts 1 to %(most)d days.") % {"most": MAX_DAYS}]})
    if role and role not in Role.values:
        raise _no_role()
    user = User.objects.select_for_update().filter(username__iexact=username).first()
    _require_may_issue(user, scopes, by)
    if user is None:
        user = _new_person(username, role or Role.SERVICE)
        record(Kind.CREATED, user, by=by, at=at, role=user.role)
    elif role and role != user.role:
        names = {"name": user.username, "has": user.role.lower(), "asked": role.lower()}
        sentence = _("%(name)s has the role %(has)s, not %(asked)s; nothing was changed.")
        raise Refused("other_role", sentence % names)
    elif not user.is_active:
        raise Refused("inactive", _("%(name)s is no longer active.") % {"name": user.username})
    if len(label) > LABEL_LENGTH:
        raise Invalid({"label": [_("At most %(most)d characters.") % {"most": LABEL_LENGTH}]})
    token, text = ApiToken.objects.create(
        user=user,
        expiry=timedelta(days=days),
        label=label,
        scopes=sorted(set(scopes)),
        calls_per_minute=calls_per_minute,
        issuer_id=by.user_id,
        issued_by=by.username[:ACTOR_LENGTH],
    )
    told = {"scopes": token.scopes, "ends": str(token.expiry.date())}
    record(Kind.ISSUED, user, by=by, at=at, token=token.short_id, details=told)
    return Issued(text, token)


def _require_may_issue(user: User | None, scopes: Sequence[str], by: Actor) -> None:
    """Refuse tokens with which somebody could act as another person."""
    if by.is_system:
        return
    if user is not None and user.pk == by.user_id:
        if by.role == Role.SERVICE or not by.may(ISSUE_OWN):
            raise not_allowed(_("A manager issues the tokens of service clients."))
        if by.token_id:
            raise not_allowed(_("A token cannot issue tokens: sign in to do that."))
        if POLICY in scopes:
            raise Invalid({"scopes": [_("The scope “policy” is for service clients only.")]})
        return
    require_right(by, MANAGE, _("Only a manager issues tokens to service clients."))
    if user is None:
        raise Refused("unknown_person", _("There is no person with this username."))
    if user.role != Role.SERVICE or user.is_superuser:
        raise Forbidden(
            "own_token",
            _(
                "People issue their own tokens, on the page Your tokens. You can issue one to a service "
                "client."
            ),
        )


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
        raise Refused("name_taken", _("Somebody just took this name; try again.")) from taken
    show_role(user)
    return user


@transaction.atomic
def revoke_token(token: ApiToken, *, by: Actor, at: datetime, reason: str = "") -> bool:
    """Revoke a token at once and permanently; return False if it was revoked before.

    Raises Forbidden without the permission, which everybody has for their own tokens.
    """
    if by.user_id != token.user_id:
        require_right(by, MANAGE, _("Only a manager revokes somebody else’s token."))
    columns = {
        "revoked_at": at,
        "revoked_by": by.working_name,
        "revoke_reason": reason.strip()[:REASON_LENGTH],
    }
    ended = bool(ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(**columns))
    if ended:
        token.revoked_at = at
        record(Kind.REVOKED, token.user, by=by, at=at, token=token.short_id)
        log.info("%s revoked a token of person %s", by.username, token.user_id)
    return ended


@transaction.atomic
def set_role(user: User, role: str, *, by: Actor, at: datetime, reason: str) -> bool:
    """Give a person another role, which changes at once what they and their tokens may do.

    Returns False if they have it already. Raises Forbidden without the permission, for oneself, and for a
    superuser unless the operator or another superuser does it; Invalid for an unknown role or a reason of
    less than 10 characters; Refused `last_manager` for the last active manager.
    """
    if role not in Role.values:
        raise _no_role()
    return _set_access(user, {"role": role}, by=by, at=at, reason=reason)


@transaction.atomic
def set_active(user: User, active: bool, *, by: Actor, at: datetime, reason: str) -> bool:
    """Deactivate a person, who can then neither sign in nor use a token, or activate them again.

    Returns False if nothing changes. Raises what `set_role` raises, but lets people deactivate themselves.
    """
    return _set_access(user, {"is_active": active}, by=by, at=at, reason=reason)


@transaction.atomic
def make_manager(username: str, *, by: Actor, at: datetime, reason: str) -> bool:
    """Make a person an active manager, for operators, when nobody else can.

    Returns False if they are one already. Raises Refused `unknown_person`, and what `set_role` raises.
    """
    user = User.objects.filter(username__iexact=username).first()
    if user is None:
        raise Refused("unknown_person", _("There is no person with this username."))
    return _set_access(user, {"role": Role.MANAGER, "is_active": True}, by=by, at=at, reason=reason)


def _set_access(user: User, changes: Mapping[str, object], *, by: Actor, at: datetime, reason: str) -> bool:
    """Change role or active state, and log why. `user` itself is changed too, for the caller."""
    require_right(by, MANAGE, _("Only a manager changes roles and who is active."))
    # in one order, so that two who demote each other wait and then see who is left
    list(managers().select_for_update().order_by("pk").values_list("pk", flat=True))
    now = User.objects.select_for_update().get(pk=user.pk)
    if all(getattr(now, name) == value for name, value in changes.items()):
        return False
    if by.user_id == now.pk and changes.get("role", now.role) != now.role:
        raise Forbidden("own_role", _("Nobody changes their own role: another manager does."))
    guard_superuser(now, by, _("Only a superuser changes a superuser’s access."))
    why = require_explanation(reason, most=REASON_LENGTH)
    manages = now.is_active and now.role == Role.MANAGER
    stays = changes.get("is_active", now.is_active) and changes.get("role", now.role) == Role.MANAGER
    if manages and not stays and not managers().exclude(pk=now.pk).exists():
        raise Refused(
            "last_manager",
            _(
                "%(name)s is the last active manager: first give somebody else that role, so that people "
                "can still be managed."
            )
            % {"name": now.username},
        )
    change = RoleChange(
        user=now,
        role_before=now.role,
        active_before=now.is_active,
        changed_at=at,
        changed_by=by.working_name[:ACTOR_LENGTH],
        reason=why,
        correlation_id=by.correlation_id[:CORRELATION_LENGTH],
    )
    for name, value in changes.items():
        setattr(now, name, value)
        setattr(user, name, value)
    now.save(update_fields=["role", "is_active", "is_staff"])
    user.is_staff = now.is_staff
    show_role(now)
    change.role, change.active = now.role, now.is_active
    change.save(force_insert=True)
    if change.role_before != now.role:
        record(Kind.ROLE, now, by=by, at=at, role_before=change.role_before, role=now.role)
    if change.active_before != now.is_active:
        told = {"active_before": change.active_before, "active": now.is_active}
        kind = Kind.ON if now.is_active else Kind.OFF
        record(kind, now, by=by, at=at, role=now.role, details=told)
    log.info("%s gave %s the role %s, active: %s", by.username, now.username, now.role, now.is_active)
    return True


@transaction.atomic
@needs_right(MANAGE, refusal=NOT_PLANNING)
def mark_away(
    user_ids: Sequence[int], first: date, last: date, *, by: Actor, at: datetime, reason: str
) -> list[Absence]:
    """Record that people are off from the first to the last day, both included, each in their own time zone.

    People who are off all that time already get no second absence, so that a repeat changes nothing. Raises
    Forbidden without the permission, Invalid for impossible days, without a reason, or without people.
    """
    people = _chosen(user_ids, reason)
    today = at.astimezone(ZoneInfo(DEFAULT_ZONE)).date()
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
@needs_right(MANAGE, refusal=NOT_PLANNING)
def set_shifts(
    user_ids: Sequence[int], windows: Sequence[Window], *, by: Actor, at: datetime, reason: str
) -> list[User]:
    """Give people the same weekly shifts, each in their own time zone, and return those whose shifts changed.

    Raises Forbidden without the permission, Invalid without a reason or without people.
    """
    shifts = [window.as_json() for window in windows]
    changed = []
    for user in _chosen(user_ids, reason):
        profile = getattr(user, "work_profile", None) or WorkProfile(user=user)
        if profile.pk and profile.shifts == shifts:
            continue
        profile.shifts = shifts
        check_profile(profile)
        profile.save()
        changed.append(user)
    log.info("%s gave %d people other shifts", by.username, len(changed))
    return changed


def guard_superuser(user: User, by: Actor, refusal: str) -> None:
    """Raise Forbidden, with `refusal`, for a superuser unless the operator or another superuser acts."""
    guarded = user.is_superuser and not by.is_system
    if guarded and not User.objects.filter(username=by.username, is_superuser=True).exists():
        raise not_allowed(refusal)


def require_reason(reason: str) -> None:
    """Raise Invalid unless there is a reason of at most 200 characters."""
    if not reason.strip():
        raise Invalid({"reason": [_("Say why this changes.")]})
    if len(reason.strip()) > REASON_LENGTH:
        raise Invalid({"reason": [_("At most %(most)d characters.") % {"most": REASON_LENGTH}]})


def _chosen(user_ids: Sequence[int], reason: str) -> list[User]:
    """Return the active people of these ids, locked. Raises Invalid."""
    require_reason(reason)
    rows = User.objects.filter(pk__in=list(user_ids)[:MOST_AT_ONCE], is_active=True).order_by("pk")
    found = list(rows.select_for_update(of=("self",)).select_related("work_profile"))
    if not found:
        raise Invalid({"people": [_("Choose people who are active.")]})
    return found


def show_role(user: User) -> None:
    """Put a person into the group of their role. Groups only show roles in admin; they give no permission."""
    user.groups.remove(*Group.objects.filter(name__in=set(Role.values) - {user.role}))
    user.groups.add(*Group.objects.filter(name=user.role))
