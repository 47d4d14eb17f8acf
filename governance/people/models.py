"""People: the user, what kind of work she does and when, and the tokens of programs."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractUser, UserManager
from django.contrib.auth.validators import ASCIIUsernameValidator
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _
from knox.models import AbstractAuthToken

from governance.actors import ACTOR_LENGTH, Role
from governance.moments import moment_in_words
from governance.places import validate_zone

ADMIN_ROLES = frozenset({Role.MANAGER, Role.AUDITOR})


class People(UserManager["User"]):
    """Finds users by their name without regard to case."""

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(username__iexact=username or "")


class User(AbstractUser):  # type: ignore[django-manager-missing]  # knox, untyped, relates to it
    """Someone who signs in. The role alone says what she may do (see valhalla/roles.py)."""

    username = models.CharField(
        _("username"), max_length=150, unique=True, validators=[ASCIIUsernameValidator()],
        help_text=_("Letters, digits and @ . + - _ only; capitals make no difference."),
    )  # fmt: skip
    role = models.CharField(_("role"), max_length=8, choices=Role.choices, default=Role.VA)

    objects = People()  # type: ignore[misc]  # the stubs call the base's a class variable

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        constraints = [
            models.UniqueConstraint(Lower("username"), name="user_username_any_case"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="user_role_known"),
        ]
        permissions = [("manage_people", "Manage people, their shifts and tokens")]

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.is_staff = self.is_superuser or self.role in ADMIN_ROLES
        super().save(*args, **kwargs)


class ApiToken(AbstractAuthToken):  # type: ignore[misc]  # knox has no types
    """A program's key. Only its hash is stored; `scopes` are described in governance/people/rules.py."""

    label = models.CharField(_("label"), max_length=80, blank=True, default="")
    scopes = models.JSONField(_("scopes"), default=list, blank=True)
    calls_per_minute = models.PositiveIntegerField(
        _("calls per minute"), default=600,
        validators=[
            MinValueValidator(
                1, _("Write 1 or more: with 0 every call is refused. To stop a token, revoke it.")
            )
        ],
    )  # fmt: skip
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)
    revoked_by = models.CharField(
        _("revoked by"), max_length=ACTOR_LENGTH, blank=True, default="", editable=False
    )
    revoke_reason = models.CharField(
        _("reason for revoking"), max_length=200, blank=True, default="", editable=False
    )

    class Meta:
        verbose_name = _("token")
        verbose_name_plural = _("tokens")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(calls_per_minute__gte=1), name="token_lets_a_call_through"
            )
        ]

    def __str__(self) -> str:
        return f"{self.label or self.token_key} ({self.user})"


class WorkProfile(models.Model):
    """What a person works on and when. An empty list means everything."""

    user = models.OneToOneField(User, models.CASCADE, related_name="work_profile", verbose_name=_("person"))
    provinces = models.JSONField(_("provinces"), default=list, blank=True)
    channels = models.JSONField(_("channels"), default=list, blank=True)
    languages = models.JSONField(_("languages"), default=list, blank=True)
    zone = models.CharField(
        _("time zone"), max_length=40, default="America/Toronto", validators=[validate_zone]
    )
    shifts = models.JSONField(
        _("shifts"), default=list, blank=True,
        help_text=_(
            'Weekly, in the person\'s own zone: [{"days": [0,1,2,3,4], "start": "09:00", "end": "17:00"}]'
        ),
    )  # fmt: skip

    class Meta:
        verbose_name = _("work profile")
        verbose_name_plural = _("work profiles")

    def __str__(self) -> str:
        return str(self.user)

    def clean(self) -> None:
        from governance.people.rules import check_profile

        check_profile(self)


class Absence(models.Model):
    """A time during which a person's due tasks are offered to the others."""

    user = models.ForeignKey(User, models.CASCADE, related_name="absences", verbose_name=_("person"))
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    reason = models.CharField(
        _("reason"), max_length=200, blank=True, default="",
        help_text=_("Such as holidays or training. Nothing about anybody’s health."),
    )  # fmt: skip
    marked_by = models.CharField(
        _("marked by"), max_length=ACTOR_LENGTH, blank=True, default="", editable=False
    )

    class Meta:
        verbose_name = _("absence")
        verbose_name_plural = _("absences")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("starts_at")),
                name="absence_ends_after_start",
                violation_error_message=_("An absence ends after it begins."),
            )
        ]
        indexes = [models.Index(fields=["user", "ends_at"], name="absence_now")]  # the due queue

    def __str__(self) -> str:
        return f"{self.user}: {moment_in_words(self.starts_at)} – {moment_in_words(self.ends_at)}"


class SignIn(models.Model):
    """A session of a person, from her password to its end.

    `session_key` is the session's own while it lasts, so that ending the row ends the session; no screen
    shows it, and an ended row has none.
    """

    class Ended(models.TextChoices):
        LEFT = "LEFT", _("logged out")
        AWAY = "AWAY", _("away for too long")
        LONG = "LONG", _("12 hours after the login")
        HAND = "HAND", _("ended by hand")
        PASSWORD = "PASSWORD", _("her password changed")
        ROLE = "ROLE", _("her role changed")
        INACTIVE = "INACTIVE", _("no longer active")
        FACTOR = "FACTOR", _("second factor reset")

    user = models.ForeignKey(User, models.CASCADE, related_name="sign_ins", verbose_name=_("person"))
    session_key = models.CharField(max_length=40, blank=True, default="", editable=False)
    browser = models.CharField(_("browser"), max_length=40, blank=True, default="")
    system = models.CharField(_("system"), max_length=40, blank=True, default="")
    address = models.GenericIPAddressField(
        _("address"), null=True, blank=True, help_text=_("Where the session was last used from.")
    )
    second_factor = models.BooleanField(_("with a code"), default=False)
    started_at = models.DateTimeField(_("signed in"))
    seen_at = models.DateTimeField(_("last seen"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    ended_because = models.CharField(_("why it ended"), max_length=8, choices=Ended, blank=True, default="")
    ended_by = models.CharField(_("ended by"), max_length=ACTOR_LENGTH, blank=True, default="")
    end_reason = models.CharField(_("reason"), max_length=200, blank=True, default="")

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        constraints = [
            models.UniqueConstraint(
                fields=["session_key"], condition=~models.Q(session_key=""), name="signin_of_one_session"
            ),
            models.CheckConstraint(
                condition=models.Q(ended_at__isnull=False, session_key="")
                | models.Q(models.Q(ended_at__isnull=True), ~models.Q(session_key="")),
                name="signin_ended_has_no_key",
            ),
        ]
        indexes = [
            models.Index(fields=["-seen_at"], name="signin_newest"),  # the managers' list
            models.Index(fields=["ended_at"], name="signin_ended"),  # the retention job
        ]

    def __str__(self) -> str:
        return f"{self.user}: {moment_in_words(self.started_at)}"
