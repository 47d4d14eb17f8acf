"""The gate's data: legal hours, closures, time zones, suppressions, consents, and its decisions."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from governance.contact.digests import DIGEST_LENGTH, PRESS_LENGTH
from governance.core.actors import Written
from governance.core.append_only import AppendOnly
from governance.core.channels import CHANNEL_CHOICES, CODE_LENGTH, WRITTEN_CHOICES, channel_name
from governance.core.key_ring import KeyCheck, key_number_constraint
from governance.core.places import Province, fold_city, validate_zone
from governance.core.versions import Versioned

STATEMENT_LENGTH = 1000
CANADA = "CA"


class StatutoryHours(models.Model):
    """The hours in which the law allows a channel, from a date on, in one jurisdiction.

    For a local day the rows of a jurisdiction with the newest `valid_from` not after it apply; every
    jurisdiction that has rows for the channel must allow the minute.
    """

    jurisdiction = models.CharField(
        _("jurisdiction"), max_length=2, choices=[(CANADA, _("Canada")), *Province.choices], default=CANADA
    )
    channel = models.CharField(_("channel"), max_length=CODE_LENGTH, choices=CHANNEL_CHOICES)
    days = models.JSONField(_("days"), help_text=_("0 = Monday to 6 = Sunday."))
    start = models.CharField(_("start"), max_length=5)
    end = models.CharField(_("end"), max_length=5, help_text=_("Not included; 24:00 is midnight."))
    valid_from = models.DateField(_("valid from"))
    citation = models.CharField(_("citation"), max_length=200)

    history = HistoricalRecords()

    _change_reason: str  # read by simple_history, as is the date
    _history_date: datetime

    class Meta:
        verbose_name = _("statutory hours")
        verbose_name_plural = _("statutory hours")
        ordering = ["jurisdiction", "channel", "-valid_from", "start"]
        indexes = [models.Index(fields=["channel", "jurisdiction"], name="statutory_by_channel")]  # the gate

    def __str__(self) -> str:
        return f"{self.jurisdiction} {self.get_channel_display()} {self.start}–{self.end} ({self.valid_from})"

    def clean(self) -> None:
        from governance.core.hours import read_windows

        if not self.days or not self.start or not self.end:
            return  # the form reports that they are required
        (window,) = read_windows([{"days": self.days, "start": self.start, "end": self.end}])
        self.days = list(window.days)


class Closure(models.Model):
    """A day, or the rest of one, on which nobody is contacted, or a public holiday that is worked.

    A province's row overrides the one for all of Canada. A row with a citation is law and no override lifts
    it.
    """

    province = models.CharField(
        _("province"),
        max_length=2,
        choices=Province.choices,
        blank=True,
        default="",
        help_text=_("Blank: everywhere."),
    )
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
        help_text=_("The law behind the closure, if any."),
    )

    history = HistoricalRecords()

    _change_reason: str  # read by simple_history, as is the date
    _history_date: datetime

    class Meta:
        verbose_name = _("closure")
        verbose_name_plural = _("closures")
        ordering = ["-date", "province"]
        constraints = [
            models.UniqueConstraint(fields=["date", "province"], name="closure_once_per_day_and_province"),
            models.CheckConstraint(
                condition=models.Q(closed=True) | models.Q(closed_from=None),
                name="closure_open_days_have_no_time",
                violation_error_message=_("A working day has no closing time."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.date} {self.province or CANADA} {self.name}"


class CityZone(models.Model):
    """A city's time zone."""

    province = models.CharField(_("province"), max_length=2, choices=Province.choices)
    city = models.CharField(_("city"), max_length=80)
    city_key = models.CharField(max_length=200, editable=False)
    zone = models.CharField(_("time zone"), max_length=40, validators=[validate_zone])

    history = HistoricalRecords()

    _change_reason: str  # read by simple_history, as is the date
    _history_date: datetime

    class Meta:
        verbose_name = _("city’s time zone")
        verbose_name_plural = _("cities’ time zones")
        ordering = ["province", "city"]
        constraints = [
            models.UniqueConstraint(fields=["province", "city_key"], name="city_zone_once_per_city")
        ]

    def __str__(self) -> str:
        return f"{self.city}, {self.province}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.city_key = fold_city(self.city)[:200]
        super().save(*args, **kwargs)

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        self.city_key = fold_city(self.city)[:200]
        super().clean_fields(exclude=exclude)


class Suppression(Written, AppendOnly):
    """A row that suppresses contact with a point (phone or e-mail), or ends a suppression.

    The point is stored only as a keyed hash. A blank `channel` means every channel.
    """

    class Action(models.TextChoices):
        SUPPRESS = "SUPPRESS", _("suppression")
        LIFT = "LIFT", _("end the suppression")

    class Source(models.TextChoices):
        OPT_OUT = "OPT_OUT", _("the person opted out")
        INTERNAL_LIST = "INTERNAL_LIST", _("our do-not-contact list")
        NATIONAL_LIST = "NATIONAL_LIST", _("the national do-not-call list")
        MANAGER = "MANAGER", _("a manager")

    words: ClassVar[tuple[str, ...]] = ("reason",)

    point_digest = models.CharField(_("keyed hash"), max_length=DIGEST_LENGTH)
    channel = models.CharField(
        _("channel"), max_length=CODE_LENGTH, choices=CHANNEL_CHOICES, blank=True, default=""
    )
    action = models.CharField(_("action"), max_length=8, choices=Action.choices, default=Action.SUPPRESS)
    source = models.CharField(_("source"), max_length=13, choices=Source.choices)
    reason = models.CharField(_("reason"), max_length=200, blank=True, default="")
    press = models.CharField(  # noqa: DJ001  # a column with a default would rebuild a table that is written once
        _("recorded by key"),
        max_length=PRESS_LENGTH,
        null=True,
        blank=True,
        editable=False,
        help_text=_(
            "Identifies the key press that recorded this suppression; undoing it ends only this one."
        ),
    )
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
            ("undo_opt_out", "Take back an opt-out by key within ten minutes of pressing it"),
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()} {self.point_digest[:8]}… {self.get_channel_display() or '*'}"


class Consent(Written, AppendOnly):
    """A consent, or its withdrawal, as required by Canada's anti-spam law (S.C. 2010, c. 23, s. 6 and 10)."""

    class Kind(models.TextChoices):
        EXPRESS = "EXPRESS", _("express")
        INQUIRY = "INQUIRY", _("implied by an inquiry")
        BUSINESS = "BUSINESS", _("implied by a business relationship")
        WITHDRAWN = "WITHDRAWN", _("withdrawn")

    words: ClassVar[tuple[str, ...]] = ("obtained_how", "evidence")

    point_digest = models.CharField(_("keyed hash"), max_length=DIGEST_LENGTH)
    channel = models.CharField(_("channel"), max_length=CODE_LENGTH, choices=CHANNEL_CHOICES)
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
        permissions = [
            ("record_consent", "Record a consent or its withdrawal"),
            ("record_heard_consent", "Record an express consent that a lead gave"),
            ("record_inquiry", "Record that a lead inquired of us"),
            ("record_sent_consent", "Record an express consent that a source sends with its evidence"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.get_channel_display()} {self.point_digest[:8]}…"


class ConsentStatement(Versioned):
    """A manager's statement on how consent for a channel is obtained; every earlier statement is kept.

    Canada's anti-spam law (S.C. 2010, c. 23, s. 13) puts the burden of proving consent on the sender.
    """

    channel = models.CharField(
        _("channel"),
        max_length=CODE_LENGTH,
        choices=WRITTEN_CHOICES,
        unique=True,
        error_messages={"unique": _("There is a statement for this channel already.")},
    )
    how = models.TextField(
        _("how consent is obtained"),
        max_length=STATEMENT_LENGTH,
        help_text=_(
            "In words a regulator can follow: where people agree, what they are told, where the proof "
            "is kept. If nobody is contacted this way, say so."
        ),
    )

    class Meta:
        verbose_name = _("statement on consent")
        verbose_name_plural = _("statements on consent")
        ordering = ["channel"]

    def __str__(self) -> str:
        return self.get_channel_display()


class DoNotCallImport(Written, AppendOnly):
    """An import of the national do-not-call list: its day, how many numbers, how many were new."""

    list_date = models.DateField(_("list dated"))
    file_digest = models.CharField(_("file’s digest"), max_length=DIGEST_LENGTH)
    numbers = models.PositiveIntegerField(_("numbers"))
    added = models.PositiveIntegerField(_("new"))
    unreadable = models.PositiveIntegerField(_("unreadable lines"))
    area_codes = models.JSONField(
        _("area codes"),
        null=True,
        blank=True,
        help_text=_("The area codes that the list covers; blank for imports from before they were recorded."),
    )
    at = models.DateTimeField(_("imported"))

    class Meta:
        verbose_name = _("import of the do-not-call list")
        verbose_name_plural = _("imports of the do-not-call list")
        ordering = ["-at", "-id"]
        permissions = [("import_do_not_call", "Import the national do-not-call list")]

    def __str__(self) -> str:
        return f"{self.list_date}"


def validate_area_code(value: str) -> None:
    """Refuse a value that is not an area code of the North American plan."""
    if re.fullmatch(r"[2-9][0-9]{2}", value, re.ASCII) is None:
        raise ValidationError(_("An area code has three digits, such as 416."))


class AreaCodeList(models.Model):
    """The newest national do-not-call list of an area code; the imports have the earlier ones.

    `previous_date` is the list before it, used to judge a call that is recorded late.
    """

    area_code = models.CharField(_("area code"), max_length=3, primary_key=True)
    list_date = models.DateField(_("list dated"))
    since = models.DateTimeField(_("imported"))
    previous_date = models.DateField(_("previous list dated"), null=True, blank=True)
    source = models.ForeignKey(DoNotCallImport, models.PROTECT, related_name="+", verbose_name=_("import"))

    class Meta:
        verbose_name = _("do-not-call list of an area code")
        verbose_name_plural = _("do-not-call lists by area code")
        ordering = ["list_date", "area_code"]
        indexes = [models.Index(fields=["list_date"], name="area_list_oldest")]  # board and runbook

    def __str__(self) -> str:
        return self.area_code


class AreaCodeStatement(Versioned):
    """A manager's statement that only exempt numbers of an area code are called; every version is kept.

    Numbers are exempt if their holders gave express consent to calls there, or if there was a business
    relationship in the last 18 months or an inquiry in the last 6.
    """

    area_code = models.CharField(
        _("area code"),
        max_length=3,
        unique=True,
        validators=[validate_area_code],
        error_messages={"unique": _("There is a statement for this area code already.")},
    )
    only_exempt = models.BooleanField(
        _("only exempt numbers are called"),
        default=True,
        help_text=_(
            "Exempt: express consent to calls at that number, a business relationship in the "
            "last 18 months, an inquiry in the last 6 months. Clear it when the statement no "
            "longer applies."
        ),
    )

    class Meta:
        verbose_name = _("statement on an area code")
        verbose_name_plural = _("statements on area codes")
        ordering = ["area_code"]
        permissions = [("state_exempt_calls", "State that only exempt numbers of an area code are called")]

    def __str__(self) -> str:
        return self.area_code


class ContactDecision(Written, AppendOnly):
    """The gate's decision when somebody contacted a lead or was refused, with the versions that it used."""

    class Door(models.TextChoices):
        START = "START", _("start")
        COMPLETE = "COMPLETE", _("complete")
        SEND = "SEND", _("send")

    door = models.CharField(_("checked at"), max_length=8, choices=Door.choices)
    lead_id = models.CharField(_("lead"), max_length=64, blank=True, default="")
    task_id = models.BigIntegerField(_("task"), null=True)
    phone_digest = models.CharField(max_length=DIGEST_LENGTH, blank=True, default="")
    email_digest = models.CharField(max_length=DIGEST_LENGTH, blank=True, default="")
    province = models.CharField(_("province"), max_length=2)
    market = models.CharField(_("market"), max_length=40)
    channel = models.CharField(_("channel"), max_length=5)
    at = models.DateTimeField(_("evaluated for"))
    zones = models.JSONField(_("zones"))
    local_times = models.JSONField(_("local times"))
    ok = models.BooleanField(_("allowed"))
    reason = models.CharField(_("reason"), max_length=40)
    overridden = models.BooleanField(_("overridden"), default=False)
    happened = models.BooleanField(_("took place anyway"), default=False)
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
            models.Index(fields=["created_at", "id"], name="decision_newest"),  # the collection
            models.Index(fields=["correlation_id"], name="decision_trace"),  # trace of one call
        ]
        permissions = [("override_gate", "Override our own rules of the contact gate")]

    def __str__(self) -> str:
        return f"{self.lead_id} {channel_name(self.channel)} {self.at:%Y-%m-%d %H:%M} UTC"


class HashKeyCheck(KeyCheck):
    """A fingerprint of each key that hashes contact points."""

    moved_at = models.DateTimeField(
        _("contact points moved to it"),
        null=True,
        blank=True,
        help_text=_("Blank: a rotation is not finished; run manage.py rotate_contact_key again."),
    )

    class Meta:
        verbose_name = _("check of the hash key")
        verbose_name_plural = _("checks of the hash key")
        constraints = [key_number_constraint("hash_key_number")]
