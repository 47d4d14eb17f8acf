"""The risk guard's rows: caps, their use, reservations, throttles, and events."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _

from governance.core.actors import ACTOR_LENGTH, Written
from governance.core.append_only import AppendOnly
from governance.core.money import CentsField
from governance.core.versions import Versioned
from governance.risk import rules
from governance.risk.querysets import EngineQuerySet, ReservationQuerySet, ThrottleQuerySet

REASON_LENGTH = 500


def _amount(label: object, **options: object) -> CentsField:
    return CentsField(label, **{"default": 0, "validators": [MinValueValidator(0)], **options})


def _within(used: str, cap: str) -> models.Q:
    """Return the condition that a use is within the cap under which it was counted; 0 means no cap."""
    return models.Q(**{f"{used}__lte": models.F(cap)}) | models.Q(**{cap: 0})


def validate_engine(code: str) -> None:
    """Refuse a value that is not an engine's code."""
    if rules.read_engine(code) != code:
        raise ValidationError(_("Enter an engine in capitals, such as WHOLESALE."))


class RiskPolicy(Versioned):
    """The caps of one engine, or of GLOBAL for all engines together. Every earlier version is kept."""

    engine = models.CharField(
        _("engine"),
        max_length=rules.ENGINE_LENGTH,
        unique=True,
        validators=[validate_engine],
        help_text=_("What takes the risk, such as WHOLESALE; GLOBAL stands for all engines together."),
        error_messages={"unique": _("There is a risk policy for this engine already.")},
    )
    enabled = models.BooleanField(
        _("enabled"),
        default=False,
        help_text=_(
            "When off, every reservation of the engine is denied; when GLOBAL is off, all are denied."
        ),
    )
    max_daily_loss = _amount(
        _("loss a day"),
        help_text=_("CAD lost on reservations of the day, with all that is still open. 0: no cap."),
    )
    max_daily_exposure = _amount(
        _("exposure a day"), help_text=_("CAD reserved in a day and not released. 0: no cap.")
    )
    max_open_risk = _amount(
        _("open risk"), help_text=_("CAD reserved and not yet settled, of all days. 0: no cap.")
    )
    max_actions_per_day = models.PositiveIntegerField(
        _("actions a day"),
        default=0,
        validators=[MaxValueValidator(rules.ACTIONS_MAX)],
        help_text=_("Reservations made in a day. 0: no cap."),
    )

    class Meta:
        verbose_name = _("risk policy")
        verbose_name_plural = _("risk policies")
        ordering = ["engine"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(max_daily_loss__gte=0, max_daily_exposure__gte=0, max_open_risk__gte=0),
                name="risk_policy_caps",
                violation_error_message=_("Amounts are never below zero."),
            )
        ]
        permissions = [
            ("view_risk", "Read the risk ledger, its use, reservations and events"),
            ("reserve_risk", "Reserve risk, settle and release a reservation"),
            ("release_throttle", "Release a throttle"),
        ]

    def __str__(self) -> str:
        return self.engine

    @property
    def caps(self) -> rules.Caps:
        return rules.Caps(
            self.max_daily_loss, self.max_daily_exposure, self.max_open_risk, self.max_actions_per_day
        )


class RiskEngine(models.Model):
    """An engine's open risk, of all days. Every change of its risk locks this row first.

    `open_cap` is the cap at the last reservation: the database refuses more than that.
    """

    engine = models.CharField(_("engine"), max_length=rules.ENGINE_LENGTH, unique=True)
    open_risk = _amount(_("open risk"))
    open_cap = _amount(_("cap on open risk"))

    objects = EngineQuerySet.as_manager()

    class Meta:
        verbose_name = _("open risk")
        verbose_name_plural = _("open risks")
        ordering = ["engine"]
        constraints = [
            models.CheckConstraint(condition=models.Q(open_risk__gte=0), name="risk_engine_not_negative"),
            models.CheckConstraint(condition=_within("open_risk", "open_cap"), name="risk_engine_within_cap"),
        ]

    def __str__(self) -> str:
        return self.engine


class RiskLedgerDay(models.Model):
    """An engine's use in a UTC day, with the caps at its last reservation."""

    day = models.DateField(_("day"))
    engine = models.CharField(_("engine"), max_length=rules.ENGINE_LENGTH)
    realized_loss = _amount(_("realized loss"))
    exposure = _amount(_("exposure"))
    actions = models.PositiveIntegerField(_("actions"), default=0)
    loss_cap = _amount(_("cap on loss"))
    exposure_cap = _amount(_("cap on exposure"))
    actions_cap = models.PositiveIntegerField(_("cap on actions"), default=0)

    class Meta:
        verbose_name = _("risk ledger day")
        verbose_name_plural = _("risk ledger days")
        ordering = ["-day", "engine"]
        constraints = [
            models.UniqueConstraint(fields=["day", "engine"], name="risk_ledger_once_a_day"),
            models.CheckConstraint(
                condition=models.Q(realized_loss__gte=0, exposure__gte=0, actions__gte=0),
                name="risk_ledger_not_negative",
            ),
            models.CheckConstraint(condition=_within("realized_loss", "loss_cap"), name="risk_ledger_loss"),
            models.CheckConstraint(
                condition=_within("exposure", "exposure_cap"), name="risk_ledger_exposure"
            ),
            models.CheckConstraint(condition=_within("actions", "actions_cap"), name="risk_ledger_actions"),
        ]

    def __str__(self) -> str:
        return f"{self.engine} {self.day}"


class RiskReservation(Written):
    """An amount that an engine may lose, until it is settled, released or expires: once, by its id.

    It counts in `day`, the UTC day on which it was created, whenever it ends.
    """

    class State(models.TextChoices):
        PENDING = "PENDING", _("pending")
        SETTLED = "SETTLED", _("settled")
        RELEASED = "RELEASED", _("released")
        EXPIRED = "EXPIRED", _("expired")

    engine = models.CharField(_("engine"), max_length=rules.ENGINE_LENGTH)
    amount = _amount(_("amount"))
    day = models.DateField(_("day"))
    purpose = models.CharField(_("purpose"), max_length=rules.CODE_LENGTH, blank=True, default="")
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.PENDING)
    realized_loss = _amount(_("realized loss"), null=True, blank=True, default=None)
    created_at = models.DateTimeField(_("reserved"))
    closed_at = models.DateTimeField(_("ended"), null=True, blank=True)
    closed_by = models.CharField(_("ended by"), max_length=ACTOR_LENGTH, blank=True, default="")
    close_code = models.CharField(
        _("reason for ending"), max_length=rules.CODE_LENGTH, blank=True, default=""
    )

    objects = ReservationQuerySet.as_manager()

    class Meta:
        verbose_name = _("risk reservation")
        verbose_name_plural = _("risk reservations")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(amount__gte=0), name="risk_reservation_amount"),
            models.CheckConstraint(
                condition=models.Q(state="PENDING", closed_at=None)
                | models.Q(state__in=["SETTLED", "RELEASED", "EXPIRED"], closed_at__isnull=False),
                name="risk_reservation_ends_once",
            ),
            models.CheckConstraint(
                condition=models.Q(  # an unknown check result, as of null <= amount, counts as passed
                    state="SETTLED",
                    realized_loss__isnull=False,
                    realized_loss__gte=0,
                    realized_loss__lte=models.F("amount"),
                )
                | (~models.Q(state="SETTLED") & models.Q(realized_loss=None)),
                name="risk_reservation_loss",
            ),
        ]
        indexes = [
            models.Index(fields=["created_at"], name="risk_pending", condition=models.Q(state="PENDING")),
            models.Index(fields=["day", "engine"], name="risk_of_day"),  # the recount
            models.Index(fields=["correlation_id"], name="risk_reservation_trace"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}: {number_format(self.amount, 2, force_grouping=True)} CAD"


class RiskThrottle(Written):
    """A tripwire throttles an engine: while the row is open, the engine's reservations are denied."""

    engine = models.CharField(_("engine"), max_length=rules.ENGINE_LENGTH)
    tripwire = models.CharField(_("tripwire"), max_length=rules.TRIPWIRE_LENGTH)
    since = models.DateTimeField(_("since"))
    released_at = models.DateTimeField(_("released"), null=True, blank=True)
    released_by = models.CharField(_("released by"), max_length=ACTOR_LENGTH, blank=True, default="")
    reason = models.TextField(_("reason"), blank=True, default="")

    objects = ThrottleQuerySet.as_manager()

    class Meta:
        verbose_name = _("throttle")
        verbose_name_plural = _("throttles")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(  # also finds current throttles
                fields=["engine", "tripwire"],
                name="risk_throttle_open_once",
                condition=models.Q(released_at=None),
            ),
            models.CheckConstraint(
                condition=models.Q(released_at=None) | models.Q(released_at__gte=models.F("since")),
                name="risk_throttle_span",
            ),
        ]
        indexes = [
            models.Index(fields=["engine", "since"], name="risk_throttle_spans"),  # weeks that do not count
        ]

    def __str__(self) -> str:
        return f"{self.engine}: {self.tripwire}"


class RiskEvent(Written, AppendOnly):
    """A reservation, denial, end or throttle, with the caps and the use that decided it."""

    class Kind(models.TextChoices):
        RESERVED = "RESERVED", _("reserved")
        DENIED = "DENIED", _("denied")
        SETTLED = "SETTLED", _("settled")
        RELEASED = "RELEASED", _("released")
        EXPIRED = "EXPIRED", _("expired")
        THROTTLED = "THROTTLED", _("throttled")
        THROTTLE_RELEASED = "THROTTLE_RELEASED", _("throttle released")

    kind = models.CharField(_("what happened"), max_length=17, choices=Kind.choices)
    engine = models.CharField(_("engine"), max_length=rules.ENGINE_LENGTH)
    amount = _amount(_("amount"), null=True, default=None)
    realized_loss = _amount(_("realized loss"), null=True, default=None)
    reservation = models.ForeignKey(
        RiskReservation, models.PROTECT, null=True, related_name="events", verbose_name=_("reservation")
    )
    code = models.CharField(_("code"), max_length=rules.CODE_LENGTH, blank=True, default="")
    purpose = models.CharField(_("purpose"), max_length=rules.CODE_LENGTH, blank=True, default="")
    tripwire = models.CharField(_("tripwire"), max_length=rules.TRIPWIRE_LENGTH, blank=True, default="")
    detail = models.JSONField(_("detail"), default=dict)
    created_at = models.DateTimeField(_("happened"))

    class Meta:
        verbose_name = _("risk event")
        verbose_name_plural = _("risk events")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="risk_event_newest"),  # the collection
            models.Index(fields=["engine", "-created_at"], name="risk_event_of_engine"),
            models.Index(fields=["kind", "-created_at", "-id"], name="risk_event_of_kind"),  # denials are few
            models.Index(fields=["correlation_id"], name="risk_event_trace"),  # trace of one call
        ]

    def __str__(self) -> str:
        return f"{self.engine}: {self.get_kind_display()}"
