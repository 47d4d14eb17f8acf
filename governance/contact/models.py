"""What the gate reads (the law's hours, closures, clocks, suppressions, consents) and what it keeps."""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from governance.actors import Written
from governance.append_only import AppendOnly
from governance.hours import CHANNEL_NAMES
from governance.places import Province, fold_city, validate_zone
from governance.versions import Versioned

CHANNEL_CHOICES = list(CHANNEL_NAMES.items())
DIGEST_LENGTH = 64
STATEMENT_LENGTH = 1000
CANADA = "CA"


class StatutoryHours(models.Model):
    """Hours in which the law lets a channel be used, from a date on, in one jurisdiction.

    For a local day the rows of a jurisdiction with the newest `valid_from` not after it hold; every
    jurisdiction that has rows for the channel must allow the minute.
    """

    jurisdiction = models.CharField(
        _("jurisdiction"), max_length=2, choices=[(CANADA, _("Canada")), *Province.choices], default=CANADA
    )
    channel = models.CharField(_("channel"), max_length=5, choices=CHANNEL_CHOICES)
    days = models.JSONField(_("days"), help_text=_("0 = Monday to 6 = Sunday."))
    start = models.CharField(_("start"), max_length=5)
    end = models.CharField(_("end"), max_length=5, help_text=_("Not included; 24:00 is midnight."))
    valid_from = models.DateField(_("valid from"))
    citation = models.CharField(_("citation"), max_length=200)

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("statutory hours")
        verbose_name_plural = _("statutory hours")
        ordering = ["jurisdiction", "channel", "-valid_from", "start"]
        indexes = [models.Index(fields=["channel", "jurisdiction"], name="statutory_by_channel")]  # the gate

    def __str__(self) -> str:
        return f"{self.jurisdiction} {self.get_channel_display()} {self.start}–{self.end} ({self.valid_from})"

    def clean(self) -> None:
        from governance.hours import read_windows

        if not self.days or not self.start or not self.end:
            return  # the form says that they are needed
        (window,) = read_windows([{"days": self.days, "start": self.start, "end": self.end}])
        self.days = list(window.days)


class Closure(models.Model):
    """A day, or the rest of one, on which nobody is contacted, or a public holiday that is worked.

    A province's row beats the one for all of Canada. A row with a citation is law and no override lifts it.
    """

    province = models.CharField(
        _("province"), max_length=2, choices=Province.choices, blank=True, default="",
        help_text=_("Blank: everywhere."),
    )  # fmt: skip
    date = models.DateField(_("date"))
    closed = models.BooleanField(
        _("closed"), default=True, help_text=_("Off: a public holiday on this date counts as a working day.")
    )
    closed_from = models.TimeField(
        _("closed from"), null=True, blank=True, help_text=_("Local time; blank: the whole day.")
    )
    name = models.CharField(_("name"), max_length=100)
    citation = models.CharField(
        _("citation"),
        max_length=200,
        blank=True,
        default="",
        help_text=_("The law that closes the day, if one does."),
    )

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("closure")
        verbose_name_plural = _("closures")
        ordering = ["-date", "province"]
        constraints = [
            models.UniqueConstraint(fields=["date", "province"], name="closure_once_per_day_and_province"),
            models.CheckConstraint(
                condition=models.Q(closed=True) | models.Q(closed_from=None),
                name="closure_open_days_have_no_time",
                violation_error_message=_("A day that is worked has no closing time."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.date} {self.province or CANADA} {self.name}"


class CityZone(models.Model):
    """The clock that a city keeps."""

    province = models.CharField(_("province"), max_length=2, choices=Province.choices)
    city = models.CharField(_("city"), max_length=80)
    city_key = models.CharField(max_length=200, editable=False)
    zone = models.CharField(_("time zone"), max_length=40, validators=[validate_zone])

    history = HistoricalRecords()

    class Meta:
        verbose_name = _("city’s time zone")
        verbose_name_plural = _("cities’ time zones")
        ordering = ["province", "city"]
        constraints = [
            models.UniqueConstraint(fields=["province", "city_key"], name="city_zone_once_per_city")
        ]

    def __str__(self) -> str:
        return f"{self.city}, {self.province}"

    def save(self, *args: object, **kwargs: object) -> None:
        self.city_key = fold_city(self.city)[:200]
        super().save(*args, **kwargs)  # type: ignore[arg-type]

    def clean_fields(self, exclude: object = None) -> None:
        self.city_key = fold_city(self.city)[:200]
        super().clean_fields(exclude=exclude)  # type: ignore[arg-type]


class Suppression(Written, AppendOnly):
    """A row that stops contact with a point (phone or e-mail), or ends such a stop.

    The point is kept as a keyed hash only. `channel` blank: every channel.
    """

    class Action(models.TextChoices):
        SUPPRESS = "SUPPRESS", _("stop")
        LIFT = "LIFT", _("end the stop")

    class Source(models.TextChoices):
        OPT_OUT = "OPT_OUT", _("the person opted out")
        INTERNAL_LIST = "INTERNAL_LIST", _("our do-not-call list")
        NATIONAL_LIST = "NATIONAL_LIST", _("the national do-not-call list")
        MANAGER = "MANAGER", _("a manager")

    words: ClassVar[tuple[str, ...]] = ("reason",)

    point_digest = models.CharField(_("keyed hash"), max_length=DIGEST_LENGTH)
    channel = models.CharField(_("channel"), max_length=5, choices=CHANNEL_CHOICES, blank=True, default="")
    action = models.CharField(_("action"), max_length=8, choices=Action.choices, default=Action.SUPPRESS)
    source = models.CharField(_("source"), max_length=13, choices=Source.choices)
    reason = models.CharField(_("reason"), max_length=200, blank=True, default="")
    at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("suppression")
        verbose_name_plural = _("suppressions")
        indexes = [
            models.Index(fields=["point_digest", "at"], name="suppression_of_point"),  # the gate
            models.Index(fields=["correlation_id"], name="suppression_trace"),  # trace of one call
        ]
        permissions = [
            ("suppress", "Record an opt-out or suppression"),
            ("lift_suppression", "End a suppression"),
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()} {self.point_digest[:8]}… {self.get_channel_display() or '*'}"


class Consent(Written, AppendOnly):
    """A consent, or its withdrawal, as Canada's anti-spam law (S.C. 2010, c. 23, s. 6 and 10) asks for it."""

    class Kind(models.TextChoices):
        EXPRESS = "EXPRESS", _("express")
        INQUIRY = "INQUIRY", _("implied by an inquiry")
        BUSINESS = "BUSINESS", _("implied by a business relationship")
        WITHDRAWN = "WITHDRAWN", _("withdrawn")

    words: ClassVar[tuple[str, ...]] = ("obtained_how", "evidence")

    point_digest = models.CharField(_("keyed hash"), max_length=DIGEST_LENGTH)
    channel = models.CharField(_("channel"), max_length=5, choices=CHANNEL_CHOICES)
    kind = models.CharField(_("kind"), max_length=9, choices=Kind.choices)
    obtained_how = models.CharField(_("obtained how"), max_length=100)
    evidence = models.CharField(_("evidence"), max_length=200, blank=True, default="")
    at = models.DateTimeField(_("obtained"))
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("consent")
        verbose_name_plural = _("consents")
        indexes = [
            models.Index(fields=["correlation_id"], name="consent_trace"),  # trace of one call
            models.Index(fields=["point_digest", "channel", "at"], name="consent_of_point"),
        ]  # the gate
        permissions = [("record_consent", "Record a consent or its withdrawal")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.get_channel_display()} {self.point_digest[:8]}…"


class ConsentStatement(Versioned):
    """How consent for a channel is obtained, as a manager stated it; every earlier statement is kept.

    Canada's anti-spam law (S.C. 2010, c. 23, s. 13) puts the burden of proving consent on the sender.
    """

    class Channel(models.TextChoices):
        SMS = "SMS", _("text message")
        EMAIL = "EMAIL", _("e-mail")

    channel = models.CharField(
        _("channel"), max_length=5, choices=Channel.choices, unique=True,
        error_messages={"unique": _("There is a statement for this channel already.")},
    )  # fmt: skip
    how = models.TextField(
        _("how consent is obtained"), max_length=STATEMENT_LENGTH,
        help_text=_(
            "In words a regulator can follow: where people agree, what they are told, where the proof "
            "is kept. If nobody is contacted this way, say so."
        ),
    )  # fmt: skip

    class Meta:
        verbose_name = _("statement on consent")
        verbose_name_plural = _("statements on consent")
        ordering = ["channel"]

    def __str__(self) -> str:
        return self.get_channel_display()


class DoNotCallImport(Written, AppendOnly):
    """The national do-not-call list was read in: as of which day, how many numbers, how many were new."""

    list_date = models.DateField(_("list of"))
    file_digest = models.CharField(_("file’s digest"), max_length=DIGEST_LENGTH)
    numbers = models.PositiveIntegerField(_("numbers"))
    added = models.PositiveIntegerField(_("new"))
    unreadable = models.PositiveIntegerField(_("unreadable lines"))
    at = models.DateTimeField(_("imported"))

    class Meta:
        verbose_name = _("import of the do-not-call list")
        verbose_name_plural = _("imports of the do-not-call list")
        ordering = ["-at", "-id"]
        permissions = [("import_do_not_call", "Import the national do-not-call list")]

    def __str__(self) -> str:
        return f"{self.list_date}"


class ContactDecision(Written, AppendOnly):
    """What the gate answered where someone contacted, or was refused to, with the versions that it used."""

    class Door(models.TextChoices):
        START = "START", _("start")
        COMPLETE = "COMPLETE", _("complete")
        SEND = "SEND", _("send")

    door = models.CharField(_("asked at"), max_length=8, choices=Door.choices)
    lead_id = models.CharField(_("lead"), max_length=64, blank=True, default="")
    task_id = models.BigIntegerField(_("task"), null=True)
    phone_digest = models.CharField(max_length=DIGEST_LENGTH, blank=True, default="")
    email_digest = models.CharField(max_length=DIGEST_LENGTH, blank=True, default="")
    province = models.CharField(_("province"), max_length=2)
    market = models.CharField(_("market"), max_length=40)
    channel = models.CharField(_("channel"), max_length=5)
    at = models.DateTimeField(_("judged instant"))
    zones = models.JSONField(_("zones"))
    local_times = models.JSONField(_("local times"))
    ok = models.BooleanField(_("allowed"))
    reason = models.CharField(_("reason"), max_length=40)
    overridden = models.BooleanField(_("overridden"), default=False)
    happened = models.BooleanField(_("took place all the same"), default=False)
    lead_score = models.DecimalField(_("score"), max_digits=5, decimal_places=4, null=True)
    policy_id = models.BigIntegerField(null=True)
    policy_version = models.PositiveIntegerField(null=True)
    basis = models.JSONField(_("versions used"), default=dict)
    created_at = models.DateTimeField(_("created"))

    class Meta:
        verbose_name = _("contact decision")
        verbose_name_plural = _("contact decisions")
        indexes = [
            models.Index(fields=["lead_id", "-created_at"], name="decision_of_lead"),  # a person's file
            models.Index(fields=["-created_at", "-id"], name="decision_newest"),  # the collection
            models.Index(fields=["correlation_id"], name="decision_trace"),  # trace of one call
        ]
        permissions = [("override_gate", "Override our own rules of the contact gate")]

    def __str__(self) -> str:
        return f"{self.lead_id} {CHANNEL_NAMES.get(self.channel, self.channel)} {self.at:%Y-%m-%d %H:%M} UTC"


class HashKeyCheck(models.Model):
    """A fingerprint of the key that hashes contact points, so that a changed key is noticed at the start."""

    fingerprint = models.CharField(_("fingerprint"), max_length=DIGEST_LENGTH)

    class Meta:
        verbose_name = _("check of the hash key")
        verbose_name_plural = _("checks of the hash key")
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="hash_key_one_row")]

    def __str__(self) -> str:
        return self.fingerprint[:8]

    def clean(self) -> None:
        raise ValidationError("This row is written by the program alone.")
