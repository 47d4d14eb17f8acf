"""Users, their work profiles, sessions, tokens and second factors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import AbstractUser, UserManager
from django.contrib.auth.validators import ASCIIUsernameValidator
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_totp.models import TOTPDevice
from knox.crypto import hash_token
from knox.models import AbstractAuthToken, AuthTokenManager
from knox.settings import CONSTANTS

from governance.accounts import totp_seeds as seeds
from governance.accounts.rules import check_profile, token_id
from governance.accounts.token_text import new_text
from governance.core.actors import ACTOR_LENGTH, CORRELATION_LENGTH, TOKEN_ID_LENGTH, Role, Written
from governance.core.append_only import AppendOnly
from governance.core.errors import Unavailable
from governance.core.key_ring import KeyCheck, key_number_constraint
from governance.core.moments import moment_in_words
from governance.core.places import validate_zone

ADMIN_ROLES = frozenset({Role.MANAGER, Role.AUDITOR})


OPERATOR = "operator"  # the actor when a password is set from the command line


class People(UserManager["User"]):
    """A user manager that ignores the case of usernames."""

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(username__iexact=username or "")

    def create_user(
        self, username: str, email: str | None = None, password: str | None = None, **fields: object
    ) -> User:
        with transaction.atomic(self.db):
            return _log_creation(super().create_user(username, email, password, **fields))

    def create_superuser(
        self, username: str, email: str | None = None, password: str | None = None, **fields: object
    ) -> User:
        with transaction.atomic(self.db):
            return _log_creation(super().create_superuser(username, email, password, **fields))


def _log_creation(user: User) -> User:
    """Log a user created by a command, and the password that it set."""
    user.log_from_command_line(AccountChange.Kind.CREATED, role=user.role)
    if user.has_usable_password():
        user.log_from_command_line(AccountChange.Kind.PASSWORD)
    return user


class User(AbstractUser):  # type: ignore[django-manager-missing]  # knox, untyped, relates to it
    """A user. Permissions follow from the role alone (see valhalla/roles.py)."""

    username = models.CharField(
        _("username"),
        max_length=150,
        unique=True,
        validators=[ASCIIUsernameValidator()],
        help_text=_("Letters, digits and @ . + - _ only; capitals make no difference."),
    )
    role = models.CharField(_("role"), max_length=8, choices=Role.choices, default=Role.VA)
    password_set_by = models.CharField(  # noqa: DJ001  # null: the person chose it
        _("password set by"), max_length=ACTOR_LENGTH, null=True, blank=True, editable=False
    )
    ends_sessions: str | None  # between two signals of governance/accounts/sessions.py
    chosen_by_themselves = False  # set by the services with which people set their own password

    objects = People()  # type: ignore[misc]  # the stubs call the base's a class variable

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        constraints = [
            models.UniqueConstraint(Lower("username"), name="user_username_any_case"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="user_role_known"),
        ]
        permissions = [
            ("manage_people", "Manage people, their shifts and tokens"),
            ("issue_own_token", "Issue tokens of one's own"),
        ]

    def save(self, *args: object, **kwargs: Any) -> None:
        self.is_staff = self.is_superuser or self.role in ADMIN_ROLES
        # the argument of set_password: set by other code, such as manage.py changepassword
        if getattr(self, "_password", None) is None or self.chosen_by_themselves:
            super().save(*args, **kwargs)
            return
        self.password_set_by = OPERATOR
        if kwargs.get("update_fields") is not None:
            kwargs["update_fields"] = {*kwargs["update_fields"], "password_set_by"}
        with transaction.atomic(kwargs.get("using")):
            super().save(*args, **kwargs)
            self.log_from_command_line(AccountChange.Kind.PASSWORD)

    def log_from_command_line(self, kind: AccountChange.Kind, role: str = "") -> None:
        """Log changes by Django's own commands, which record neither who runs them nor when."""
        from governance.accounts.account_log import by_command_line, record

        record(kind, self, by=by_command_line(), at=timezone.now(), role=role)


class RoleChange(models.Model):
    """A change of a person's role or active state: from what to what, by whom and why."""

    user = models.ForeignKey(User, models.CASCADE, related_name="role_changes", verbose_name=_("person"))
    role_before = models.CharField(_("role before"), max_length=8, choices=Role.choices)
    role = models.CharField(_("role"), max_length=8, choices=Role.choices)
    active_before = models.BooleanField(_("active before"))
    active = models.BooleanField(_("active"))
    changed_at = models.DateTimeField(_("changed"))
    changed_by = models.CharField(_("changed by"), max_length=ACTOR_LENGTH)
    reason = models.CharField(_("reason"), max_length=200)
    correlation_id = models.CharField(
        _("correlation id"), max_length=CORRELATION_LENGTH, blank=True, default=""
    )

    class Meta:
        verbose_name = _("role change")
        verbose_name_plural = _("role changes")
        ordering = ["-changed_at", "-id"]
        indexes = [models.Index(fields=["changed_at"], name="rolechange_age")]  # the retention job

    def __str__(self) -> str:
        return f"{self.user}: {moment_in_words(self.changed_at)}"


class AccountChange(Written, AppendOnly):
    """A change to the account of `person` by `actor`.

    These rows hold no free text: the reason for changing a role or revoking a token is stored with the change
    or token.
    """

    class Kind(models.TextChoices):
        CREATED = "CREATED", _("account created")
        ROLE = "ROLE", _("role changed")
        ON = "ON", _("switched on")
        OFF = "OFF", _("switched off")
        PASSWORD = "PASSWORD", _("password set")
        LINK = "LINK", _("password link created")
        ISSUED = "ISSUED", _("token issued")
        REVOKED = "REVOKED", _("token revoked")
        FACTOR = "FACTOR", _("second factor reset")
        KEY_ADDED = "KEYADDED", _("passkey added")
        KEY_GONE = "KEYGONE", _("passkey removed")

    kind = models.CharField(_("what happened"), max_length=8, choices=Kind.choices)
    person = models.CharField(_("person"), max_length=ACTOR_LENGTH)
    person_id = models.BigIntegerField(_("number of the person"))
    role_before = models.CharField(
        _("role before"), max_length=8, choices=Role.choices, blank=True, default=""
    )
    role = models.CharField(_("role"), max_length=8, choices=Role.choices, blank=True, default="")
    concerned_token = models.CharField(
        _("token concerned"), max_length=TOKEN_ID_LENGTH, blank=True, default=""
    )
    at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("account change")
        verbose_name_plural = _("account changes")
        indexes = [
            models.Index(fields=["-at", "-id"], name="account_newest"),  # the list; the retention job
            models.Index(fields=["person", "-at"], name="account_person"),  # the list's search
            models.Index(fields=["correlation_id"], name="account_trace"),  # trace of one call
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.person}, {moment_in_words(self.at)}"


CALLS_PER_MINUTE = 600
MOST_CALLS = 60_000  # per minute: a hundred times the default, which already takes more than one machine


class ApiTokenManager(AuthTokenManager):  # type: ignore[misc]  # knox has no types
    """Creates tokens in our own form."""

    def create(self, user: User, expiry: timedelta | None, **values: object) -> tuple[ApiToken, str]:
        """Return a new token that is valid for so long, and its text, which is stored nowhere."""
        text = new_text()
        token = self.model(
            user=user,
            digest=hash_token(text),
            token_key=text[: CONSTANTS.TOKEN_KEY_LENGTH],
            expiry=None if expiry is None else timezone.now() + expiry,
            **values,
        )
        token.save(force_insert=True)
        return token, text


class ApiToken(AbstractAuthToken):  # type: ignore[misc]  # knox has no types
    """A program's token. Only its hash is stored; governance/accounts/rules.py describes `scopes`."""

    objects = ApiTokenManager()

    label = models.CharField(_("label"), max_length=80, blank=True, default="")
    scopes = models.JSONField(_("scopes"), default=list, blank=True)
    calls_per_minute = models.PositiveIntegerField(
        _("calls per minute"),
        default=CALLS_PER_MINUTE,
        validators=[
            MinValueValidator(
                1, _("Enter 1 or more: with 0 every call is refused. To stop a token, revoke it.")
            ),
            MaxValueValidator(MOST_CALLS),
        ],
    )
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)
    issuer = models.ForeignKey(
        User,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="tokens_issued",
        verbose_name=_("issuer"),
    )
    issued_by = models.CharField(  # noqa: DJ001  # null: from before issuers were kept
        _("issued by"), max_length=ACTOR_LENGTH, null=True, blank=True, editable=False
    )
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
            ),
            models.CheckConstraint(
                condition=models.Q(calls_per_minute__lte=MOST_CALLS), name="token_has_a_ceiling"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label or self.token_key} ({self.user})"

    @property
    def short_id(self) -> str:
        """Return the token's id in events and on screens; nobody can sign in with it."""
        return token_id(self.digest)


class BackupCode(models.Model):
    """The hash of a code that replaces the authenticator app once; using it deletes the row."""

    device = models.ForeignKey("otp_static.StaticDevice", models.CASCADE, related_name="backup_codes")
    digest = models.CharField(max_length=100, editable=False)

    class Meta:
        verbose_name = _("backup code")
        verbose_name_plural = _("backup codes")

    def __str__(self) -> str:
        return str(self.pk)


class SecondFactorKey(KeyCheck):
    """A fingerprint of each key that encrypts the seeds of authenticator apps."""

    class Meta:
        verbose_name = _("second factor key")
        verbose_name_plural = _("second factor keys")
        default_permissions = ()
        constraints = [key_number_constraint("second_factor_key_number")]

    @classmethod
    def problem(cls) -> str:
        """Return a sentence if the key is missing or not the database's; blank if all is well."""
        found = seeds.RING.problem(seeds.fingerprints, cls.remembered())
        if found and seeds.RING.read_file_again():
            found = seeds.RING.problem(seeds.fingerprints, cls.remembered())
        return found

    @classmethod
    def require(cls) -> None:
        """Raise Unavailable `second_factor_key` unless the keys are those that the database remembers."""
        if problem := cls.problem():
            raise Unavailable("second_factor_key", problem)

    @classmethod
    def hold(cls, sealed: str) -> None:
        """Keep the key of a seed that is about to be stored from being dropped until the transaction ends.

        Raises Unavailable `second_factor_key` if it is not the database's, or was dropped.
        """
        cls.require()
        held = cls._base_manager.select_for_update().filter(dropped_at=None).order_by("pk")
        if not any(sealed.startswith(seeds.mark_of(key.pk)) for key in held):
            sentence = _("The second factor key was changed a moment ago; try again.")
            raise Unavailable("second_factor_key", sentence)


class Authenticator(TOTPDevice):  # type: ignore[misc]  # django-otp has no types
    """The authenticator app that produces somebody's codes; `key` holds its encrypted seed."""

    key: str
    user_id: int
    objects: models.Manager[Authenticator]

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = _("authenticator application")
        verbose_name_plural = _("authenticator applications")

    @property
    def bin_key(self) -> bytes:
        """Return the seed. Raises Unavailable if it cannot be read, or its key is not the database's."""
        seed = seeds.open_or_none(self.key, self.user_id)
        if seed is None and seeds.RING.read_file_again():
            seed = seeds.open_or_none(self.key, self.user_id)
        if seed is None or not seeds.is_sealed(self.key):
            SecondFactorKey.require()
        if seed is None:
            raise seeds.unreadable()
        return seed

    def save(self, *args: object, **kwargs: object) -> None:
        """Store the device with its seed encrypted. Raises Unavailable if the key is not the database's."""
        plain = not seeds.is_sealed(self.key)
        if not (plain or self._state.adding):
            super().save(*args, **kwargs)
            return
        if plain:
            self.key = seeds.seal(self.bin_key, self.user_id)
        with transaction.atomic():
            SecondFactorKey.hold(self.key)
            super().save(*args, **kwargs)


class WorkProfile(models.Model):
    """A person's provinces, channels, languages and shifts. An empty list means everything."""

    user = models.OneToOneField(User, models.CASCADE, related_name="work_profile", verbose_name=_("person"))
    provinces = models.JSONField(_("provinces"), default=list, blank=True)
    channels = models.JSONField(_("channels"), default=list, blank=True)
    languages = models.JSONField(_("languages"), default=list, blank=True)
    zone = models.CharField(
        _("time zone"), max_length=40, default="America/Toronto", validators=[validate_zone]
    )
    shifts = models.JSONField(
        _("shifts"),
        default=list,
        blank=True,
        help_text=_(
            'Weekly, in the person\'s own zone: [{"days": [0,1,2,3,4], "start": "09:00", "end": "17:00"}]'
        ),
    )

    class Meta:
        verbose_name = _("work profile")
        verbose_name_plural = _("work profiles")

    def __str__(self) -> str:
        return str(self.user)

    def clean(self) -> None:
        check_profile(self)


class Absence(models.Model):
    """A time during which a person's due tasks are offered to others."""

    user = models.ForeignKey(User, models.CASCADE, related_name="absences", verbose_name=_("person"))
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    reason = models.CharField(
        _("reason"),
        max_length=200,
        blank=True,
        default="",
        help_text=_("Such as holidays or training. Nothing about anybody’s health."),
    )
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
    """A person's session, from the password to its end.

    `session_key` is the session's own while it lasts, so that ending the row ends the session; no screen
    shows it, and an ended row has none.
    """

    class Ended(models.TextChoices):
        LEFT = "LEFT", _("signed out")
        AWAY = "AWAY", _("idle for too long")
        LONG = "LONG", _("12 hours after sign-in")
        HAND = "HAND", _("ended by hand")
        PASSWORD = "PASSWORD", _("password changed")
        ROLE = "ROLE", _("role changed")
        INACTIVE = "INACTIVE", _("no longer active")
        FACTOR = "FACTOR", _("second factor reset")

    user = models.ForeignKey(User, models.CASCADE, related_name="sign_ins", verbose_name=_("person"))
    session_key = models.CharField(max_length=40, blank=True, default="", editable=False)
    browser = models.CharField(_("browser"), max_length=40, blank=True, default="")
    system = models.CharField(_("system"), max_length=40, blank=True, default="")
    address = models.GenericIPAddressField(
        _("address"), null=True, blank=True, help_text=_("Where the session was last used from.")
    )
    second_factor = models.BooleanField(_("with a second factor"), default=False)
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
