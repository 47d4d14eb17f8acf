"""Leads, their ladders, and the tasks of each ladder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Now, Substr
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from followups.querysets import LadderTemplateQuerySet, LeadQuerySet, TaskQuerySet
from followups.rules import DEFAULT_STEPS, NURTURE_STEPS, REST_DAYS, Step, read_steps
from followups.rules.lead_gate import PointState
from governance.contact import digests
from governance.contact.digests import PRESS_LENGTH
from governance.core.actors import ACTOR_LENGTH, CORRELATION_LENGTH, Written, owner_key
from governance.core.append_only import AppendOnly
from governance.core.channels import CHANNEL_CHOICES, CODE_LENGTH
from governance.core.hooks import PointFacts
from governance.core.places import ALL, PlaceModel, Province, fold_city, validate_zone
from governance.core.versions import Versioned

KEY_LENGTH = 200
IS_OPEN = Q(status="OPEN")
IN_QUEUE = Q(is_current=True, due_at__isnull=False)


class Changing(models.Model):
    """Rows with the time of their last change, `updated_at`, which no save can forget."""

    class Meta:
        abstract = True

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        names = None if update_fields is None else {*update_fields}
        if names is not None and "updated_at" not in names:
            names.add("updated_at")
            self.updated_at = timezone.now()
        super().save(*args, update_fields=names, **kwargs)


class Lead(Changing, Written, PlaceModel):
    """A person who may sell a house. Only this row and its contact points hold personal information."""

    class Status(models.TextChoices):
        NEW = "NEW", _("new")
        WORKING = "WORKING", _("working")
        NOT_NOW = "NOT_NOW", _("not now")
        HANDED_OVER = "HANDED_OVER", _("handed off")
        WON = "WON", _("won")
        DEAD = "DEAD", _("dead")

    class Language(models.TextChoices):
        EN = "en", _("English")
        FR = "fr", _("French")

    external_id = models.CharField(_("lead id"), max_length=64, unique=True)
    name = models.CharField(_("name"), max_length=200, blank=True, default="")
    city = models.CharField(_("city"), max_length=80, blank=True, default="")
    city_key = models.CharField(max_length=200, blank=True, default="", editable=False)
    market_city_key = models.CharField(max_length=200, blank=True, default="", editable=False)
    postal_code = models.CharField(_("postal code"), max_length=10, blank=True, default="")
    zone = models.CharField(
        _("time zone"),
        max_length=40,
        blank=True,
        default="",
        validators=[validate_zone],
        help_text=_("Only if it is certain; it overrides every other time zone."),
    )
    score = models.DecimalField(
        _("score"),
        max_digits=5,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
    )
    language = models.CharField(_("language"), max_length=2, choices=Language.choices, blank=True, default="")
    status = models.CharField(_("status"), max_length=11, choices=Status.choices, default=Status.NEW)
    follow_up_at = models.DateTimeField(_("follow up at"), null=True, blank=True)
    nurture_at = models.DateTimeField(_("nurture ladder starts"), null=True, blank=True, editable=False)
    unanswered_since = models.DateTimeField(_("unanswered since"), null=True, blank=True, editable=False)
    source = models.CharField(_("source"), max_length=80, blank=True, default="")
    cost = models.DecimalField(
        _("cost (CAD)"),
        max_digits=11,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
    )
    notes = models.TextField(_("notes"), blank=True, default="", max_length=20_000)
    extra = models.JSONField(_("what else the source sent"), default=dict, blank=True)
    created_at = models.DateTimeField(_("created"), editable=False)
    updated_at = models.DateTimeField(_("updated"), editable=False)
    erasure = models.ForeignKey(
        "governance.Erasure", models.PROTECT, null=True, blank=True, related_name="+", editable=False,
        verbose_name=_("erasure"), db_index=False,
    )  # fmt: skip

    objects = LeadQuerySet.as_manager()

    class Meta:
        verbose_name = _("lead")
        verbose_name_plural = _("leads")
        constraints = [
            models.CheckConstraint(
                condition=Q(score=None) | Q(score__gte=0, score__lte=1), name="lead_score_is_a_fraction"
            )
        ]
        indexes = [
            models.Index(fields=["correlation_id"], name="lead_trace"),  # trace of one call
            models.Index(fields=["created_at", "id"], name="lead_newest"),  # the collection
            models.Index(fields=["updated_at", "id"], name="lead_changed"),  # what a client does not have yet
            models.Index(fields=["province", "market_key"], name="lead_by_place"),  # rescheduling, filters
            models.Index(
                fields=["status"],
                name="lead_unsettled",
                condition=Q(status__in=["NEW", "WORKING", "HANDED_OVER"]),
            ),
            models.Index(  # the job that starts nurture ladders
                fields=["nurture_at"], name="lead_to_nurture", condition=Q(nurture_at__isnull=False)
            ),
            models.Index(  # next
                fields=["unanswered_since"],
                name="lead_unanswered",
                condition=Q(unanswered_since__isnull=False),
            ),
        ]
        permissions = [
            ("view_all", "See every lead and task"),
            ("create_ladder", "Create a ladder"),
            ("import_leads", "Import leads"),
            ("write_leads", "Create and change leads over the API"),
        ]

    def __str__(self) -> str:
        return f"{self.external_id} {self.name}".strip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.fold_keys()
        super().save(*args, **kwargs)

    def fold_keys(self) -> None:
        """Set the keys derived from city and market, for looking up their time zones."""
        # some scripts grow when they are folded; a truncated key matches no city, so every time zone must
        # allow it
        self.city_key = fold_city(self.city)[:KEY_LENGTH]
        self.market_city_key = "" if self.market == ALL else fold_city(self.market)[:KEY_LENGTH]


class ContactPoint(models.Model):
    """A phone (E.164) or e-mail address of a lead; `digest` finds it among suppressions."""

    class Kind(models.TextChoices):
        PHONE = "PHONE", _("phone")
        EMAIL = "EMAIL", _("e-mail")

    class Status(models.TextChoices):
        USABLE = "USABLE", _("usable")
        WRONG = "WRONG", _("wrong number")

    class Shared(models.TextChoices):
        AGENT = "AGENT", _("agent")
        PROPERTY_MANAGER = "PROPERTY_MANAGER", _("property manager")
        ESTATE = "ESTATE", _("estate")

    lead = models.ForeignKey(Lead, models.CASCADE, related_name="points", verbose_name=_("lead"))
    kind = models.CharField(_("kind"), max_length=5, choices=Kind.choices)
    value = models.CharField(_("number or address"), max_length=254)
    digest = models.CharField(max_length=64, editable=False)
    label = models.CharField(_("label"), max_length=40, blank=True, default="")
    whose = models.CharField(
        _("whose"), max_length=80, blank=True, default="", help_text=_("Blank: the lead’s own.")
    )
    order = models.PositiveSmallIntegerField(_("order"), default=0)
    status = models.CharField(_("status"), max_length=6, choices=Status.choices, default=Status.USABLE)
    shared_as = models.CharField(
        _("shared number"),
        max_length=16,
        choices=Shared.choices,
        blank=True,
        default="",
        db_default="",
        help_text=_("Blank: one person’s own number. Leads that share a number do not wait for each other."),
    )

    class Meta:
        verbose_name = _("contact point")
        verbose_name_plural = _("contact points")
        ordering = ["order", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["lead", "kind", "value"],
                name="point_once_per_lead",
                violation_error_message=_("The lead has this number or address already."),
            )
        ]
        indexes = [
            models.Index(fields=["digest"], name="point_by_digest"),  # opt-outs, look-ups
            models.Index(  # the area codes that are called
                Substr("value", 1, 5), name="point_by_area_code", condition=Q(kind="PHONE")
            ),
        ]

    def __str__(self) -> str:
        return self.value

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save with the hash by which other leads with the number or address find it."""
        if kwargs.get("update_fields") is None and digests.several_keys():
            from followups.services.rekeying import take_stored_digests

            take_stored_digests([self])
        super().save(*args, **kwargs)

    def clean(self) -> None:
        from followups.points import read_point

        self.value, self.digest = read_point(self.kind, self.value)

    @property
    def usable(self) -> bool:
        return self.status == self.Status.USABLE

    @property
    def state(self) -> PointState:
        """This point as the rules see it."""
        return PointState(self.pk, self.kind, self.digest, self.whose, self.usable)

    @property
    def other_digests(self) -> tuple[str, ...]:
        """Return its hashes under the other contact keys; nothing while there is one key."""
        return digests.other_digests(self.kind, self.value, self.digest)

    @property
    def facts(self) -> PointFacts:
        """Return this point as the gate sees it."""
        return PointFacts(self.kind, self.digest, digests.area_code(self.value), self.other_digests)


class Property(models.Model):
    """The house that a lead may sell."""

    lead = models.ForeignKey(Lead, models.CASCADE, related_name="properties", verbose_name=_("lead"))
    address = models.CharField(_("address"), max_length=200, blank=True, default="")
    property_type = models.CharField(_("type"), max_length=20, blank=True, default="")
    size_sqft = models.PositiveIntegerField(_("size (sq ft)"), null=True, blank=True)
    beds = models.PositiveSmallIntegerField(_("beds"), null=True, blank=True)
    condition = models.CharField(_("condition"), max_length=80, blank=True, default="")
    asking_price = models.DecimalField(
        _("asking price (CAD)"),
        max_digits=11,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
    )
    motivation = models.CharField(_("motivation"), max_length=200, blank=True, default="")
    timeline = models.CharField(_("timeline"), max_length=80, blank=True, default="")

    class Meta:
        verbose_name = _("property")
        verbose_name_plural = _("properties")

    def __str__(self) -> str:
        return self.address or str(_("property"))


def default_steps() -> list[dict[str, object]]:
    return [step.as_json() for step in DEFAULT_STEPS]


class LadderTemplate(PlaceModel, Versioned):
    """The steps of a new ladder. A running ladder keeps those that it started with."""

    province = models.CharField(
        _("province"),
        max_length=2,
        choices=Province.choices,
        blank=True,
        default="",
        help_text=_("Blank: wherever a province has none of its own."),
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    steps = models.JSONField(_("steps"), default=default_steps)
    rest_days = models.PositiveSmallIntegerField(
        _("pause before nurture (days)"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(730)],
        help_text=_(
            "How long a lead who did not answer is left alone before a nurture ladder starts. "
            "Blank: 90 days. 0: never; the lead stays without a next step."
        ),
    )
    nurture_steps = models.JSONField(_("nurture steps"), null=True, blank=True)

    objects = LadderTemplateQuerySet.as_manager()

    class Meta:
        verbose_name = _("ladder template")
        verbose_name_plural = _("ladder templates")
        ordering = ["province", "market"]
        constraints = [
            models.UniqueConstraint(
                fields=["province", "market_key"],
                name="ladder_template_once_per_market",
                violation_error_message=_("There is a template for this province and market already."),
            )
        ]
        permissions = [("edit_templates", "Change ladder templates")]

    def __str__(self) -> str:
        return f"{self.province or '*'}/{self.market}"

    @property
    def rests(self) -> int:
        """Return how many days an unanswered lead rests; 0 if no nurture ladder follows."""
        return REST_DAYS if self.rest_days is None else self.rest_days

    @property
    def nurture(self) -> tuple[Step, ...]:
        """Return the steps of the nurture ladder."""
        return read_steps(self.nurture_steps) if self.nurture_steps else NURTURE_STEPS

    def clean(self) -> None:
        try:
            self.steps = [step.as_json() for step in read_steps(self.steps)]
        except ValidationError as wrong:
            raise ValidationError({"steps": wrong}) from wrong
        try:
            self.nurture_steps = [step.as_json() for step in self.nurture] if self.nurture_steps else None
        except ValidationError as wrong:
            raise ValidationError({"nurture_steps": wrong}) from wrong


class Ladder(Written):
    """One lead's ladder, with the steps of the template as they were when it started."""

    class Status(models.TextChoices):
        ACTIVE = "ACTIVE", _("active")
        COMPLETED = "COMPLETED", _("completed")
        STOPPED = "STOPPED", _("stopped")

    lead = models.ForeignKey(Lead, models.PROTECT, related_name="ladders", verbose_name=_("lead"))
    template = models.ForeignKey(LadderTemplate, models.PROTECT, related_name="+", verbose_name=_("template"))
    template_version = models.PositiveIntegerField(_("template version"))
    nurture = models.BooleanField(_("nurture ladder"), default=False, db_default=False)
    steps = models.JSONField(_("steps"))
    owner = models.CharField(_("owner"), max_length=ACTOR_LENGTH, blank=True, default="")
    started_at = models.DateTimeField(_("started"))
    status = models.CharField(_("status"), max_length=9, choices=Status.choices, default=Status.ACTIVE)
    stop_reason = models.CharField(_("why it ended"), max_length=200, blank=True, default="")
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    # its place among the ladders of one number; none: it started before ladders waited for each other
    queued_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("ladder")
        verbose_name_plural = _("ladders")
        constraints = [
            models.UniqueConstraint(
                fields=["lead"], name="ladder_one_active_per_lead", condition=Q(status="ACTIVE")
            )
        ]
        indexes = [
            models.Index(fields=["started_at", "id"], name="ladder_newest"),
            models.Index(fields=["correlation_id"], name="ladder_trace"),  # trace of one call
        ]
        permissions = [("stop_ladder", "Stop a ladder")]

    def __str__(self) -> str:
        return f"{self.pk}: {self.get_status_display()}"


class FollowUpTask(Changing, Written):
    """A task for a lead: a step of their ladder, a scheduled callback, or a handoff to a closer."""

    class Kind(models.TextChoices):
        LADDER = "LADDER", _("ladder")
        CALLBACK = "CALLBACK", _("callback")
        HANDOVER = "HANDOVER", _("handoff")

    class Status(models.TextChoices):
        OPEN = "OPEN", _("open")
        COMPLETED = "COMPLETED", _("completed")
        SKIPPED = "SKIPPED", _("skipped")
        CANCELLED = "CANCELLED", _("cancelled")

    class Outcome(models.TextChoices):
        SENT = "SENT", _("sent")
        NO_ANSWER = "NO_ANSWER", _("no answer")
        LEFT_MESSAGE = "LEFT_MESSAGE", _("left voicemail")
        REACHED = "REACHED", _("reached")
        REPLIED = "REPLIED", _("replied")
        WRONG_NUMBER = "WRONG_NUMBER", _("wrong number")
        OPTED_OUT = "OPTED_OUT", _("opted out")

    class Source(models.TextChoices):
        PAGE_BUTTON = "PAGE_BUTTON", _("page")
        DIALER = "DIALER", _("dialer")
        PROVIDER = "PROVIDER", _("provider")
        TYPED = "TYPED", _("entered")

    lead = models.ForeignKey(Lead, models.PROTECT, related_name="tasks", verbose_name=_("lead"))
    ladder = models.ForeignKey(  # found by its unique steps
        Ladder,
        models.PROTECT,
        related_name="tasks",
        null=True,
        blank=True,
        db_index=False,
        verbose_name=_("ladder"),
    )
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices, default=Kind.LADDER)
    step = models.PositiveSmallIntegerField(_("step"), null=True, blank=True)
    channel = models.CharField(_("channel"), max_length=CODE_LENGTH, choices=CHANNEL_CHOICES)
    province = models.CharField(_("province"), max_length=2, choices=Province.choices)
    market_key = models.CharField(_("market"), max_length=120)
    contact_point = models.ForeignKey(
        ContactPoint,
        models.SET_NULL,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("contact point"),
    )
    owner = models.CharField(_("owner"), max_length=ACTOR_LENGTH, blank=True, default="")
    owner_key = models.CharField(max_length=ACTOR_LENGTH, blank=True, default="", editable=False)

    scheduled_for = models.DateTimeField(_("scheduled for"))
    due_at = models.DateTimeField(_("due"), null=True, blank=True)
    zone = models.CharField(_("time zone"), max_length=40)
    held_reason = models.CharField(_("blocked because"), max_length=40, blank=True, default="")
    snoozed_until = models.DateTimeField(_("snoozed until"), null=True, blank=True)
    deadline_at = models.DateTimeField(
        _("deadline"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("A closer calls by then: 60 minutes of allowed contact after the handoff."),
    )
    alert_at = models.DateTimeField(null=True, blank=True, editable=False)
    alerted_at = models.DateTimeField(null=True, blank=True, editable=False)
    opened_at = models.DateTimeField(_("opened"), null=True, blank=True, editable=False)
    status = models.CharField(_("status"), max_length=9, choices=Status.choices, default=Status.OPEN)
    is_current = models.BooleanField(_("current"), default=False)
    closed_reason = models.CharField(_("why it was closed"), max_length=200, blank=True, default="")

    claimed_by = models.CharField(_("claimed by"), max_length=ACTOR_LENGTH, blank=True, default="")
    claim_token = models.CharField(max_length=32, blank=True, default="", editable=False)
    claimed_at = models.DateTimeField(_("claimed"), null=True, blank=True)
    claim_until = models.DateTimeField(_("claim ends"), null=True, blank=True)

    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    started_by = models.CharField(_("started by"), max_length=ACTOR_LENGTH, blank=True, default="")
    start_decision_id = models.BigIntegerField(null=True, blank=True, editable=False)
    outcome = models.CharField(_("outcome"), max_length=12, choices=Outcome.choices, blank=True, default="")
    next = models.CharField(_("next"), max_length=14, blank=True, default="")
    next_at = models.DateTimeField(_("next at"), null=True, blank=True)
    corrected_to = models.CharField(
        _("corrected to"), max_length=12, choices=Outcome.choices, blank=True, default=""
    )
    origin = models.ForeignKey(
        "self", models.SET_NULL, related_name="+", null=True, blank=True, editable=False, db_index=False,
        verbose_name=_("scheduled in"),
    )  # fmt: skip
    note = models.TextField(_("note"), blank=True, default="", max_length=4000)
    contacted_at = models.DateTimeField(_("contacted"), null=True, blank=True)
    contact_source = models.CharField(
        _("source of the contact time"), max_length=11, choices=Source.choices, blank=True, default=""
    )
    entered_late = models.BooleanField(_("entered late"), default=False)
    override_reason = models.CharField(_("override reason"), max_length=500, blank=True, default="")
    gate_allowed = models.BooleanField(_("allowed by the gate"), null=True, blank=True)
    completed_at = models.DateTimeField(_("completed"), null=True, blank=True)
    completed_by = models.CharField(_("completed by"), max_length=ACTOR_LENGTH, blank=True, default="")

    response_minutes = models.DecimalField(
        _("response (allowed minutes)"), max_digits=10, decimal_places=2, null=True, blank=True
    )
    response_wall_minutes = models.DecimalField(
        _("response (minutes)"), max_digits=10, decimal_places=2, null=True, blank=True
    )
    sla_5m_at = models.DateTimeField(null=True, blank=True, editable=False)
    sla_30m_at = models.DateTimeField(null=True, blank=True, editable=False)
    sla_2h_at = models.DateTimeField(_("late from"), null=True, blank=True, editable=False)
    sla_counted = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(_("created"), editable=False)
    # the database's default serves a release that does not know the column
    updated_at = models.DateTimeField(_("updated"), default=timezone.now, db_default=Now(), editable=False)

    city_zone: str  # added by TaskQuerySet.with_clocks
    market_zone: str
    newer_ladder: bool  # added by TaskQuerySet.of_lead_of

    objects = TaskQuerySet.as_manager()

    class Meta:
        verbose_name = _("follow-up task")
        verbose_name_plural = _("follow-up tasks")
        constraints = [
            models.UniqueConstraint(fields=["ladder", "step"], name="task_once_per_step"),
            models.UniqueConstraint(
                fields=["ladder"],
                name="task_one_current_per_ladder",
                condition=Q(is_current=True, kind="LADDER"),
            ),
            models.CheckConstraint(
                condition=Q(is_current=False) | Q(status="OPEN"), name="task_current_is_open"
            ),
            models.CheckConstraint(
                condition=~Q(status="COMPLETED") | Q(completed_at__isnull=False, outcome__gt=""),
                name="task_completed_has_outcome",
            ),
            models.CheckConstraint(
                condition=Q(due_at__isnull=False) | ~Q(status="OPEN") | Q(held_reason__gt=""),
                name="task_without_due_time_is_held",
            ),
        ]
        indexes = [
            models.Index(fields=["correlation_id"], name="task_trace"),  # trace of one call
            # the due queue, for everybody, for a province, for a channel and for an owner
            models.Index(fields=["due_at", "id"], name="task_due", condition=IN_QUEUE),
            models.Index(fields=["province", "due_at"], name="task_due_province", condition=IN_QUEUE),
            models.Index(fields=["channel", "due_at"], name="task_due_channel", condition=IN_QUEUE),
            models.Index(fields=["owner_key", "due_at"], name="task_due_owner", condition=IN_QUEUE),
            models.Index(  # next
                fields=["due_at", "id"], name="task_due_callback", condition=IN_QUEUE & Q(kind="CALLBACK")
            ),
            models.Index(  # next, claiming and the top of the list
                fields=["due_at", "id"], name="task_due_handover", condition=IN_QUEUE & Q(kind="HANDOVER")
            ),
            models.Index(  # notifying the managers
                fields=["alert_at"], name="task_unopened",
                condition=Q(kind="HANDOVER", status="OPEN", opened_at=None, alerted_at=None),
            ),
            models.Index(  # a person's day
                fields=["completed_at"], name="task_done_at", condition=Q(status="COMPLETED"),
                include=["completed_by", "outcome", "due_at", "sla_2h_at"],
            ),
            # sla: the newest completed and the newest open ones
            models.Index(
                F("due_at").desc(),
                name="task_sla_done", condition=Q(status="COMPLETED", due_at__isnull=False),
                include=["completed_at", "sla_5m_at", "sla_30m_at", "sla_2h_at", "response_minutes",
                         "response_wall_minutes", "owner_key", "province", "channel", "step"],
            ),
            models.Index(
                F("due_at").desc(), name="task_sla_open", condition=Q(status="OPEN", due_at__isnull=False),
                include=["sla_5m_at", "sla_30m_at", "sla_2h_at", "owner_key", "province", "channel", "step"],
            ),
            models.Index(  # escalation
                fields=["sla_2h_at"], name="task_late", condition=Q(status="OPEN", sla_counted=False)
            ),
            models.Index(fields=["id"], name="task_held", condition=Q(status="OPEN", due_at=None)),
            models.Index(  # ladders that wait for another one
                fields=["lead"], name="task_waiting", condition=Q(status="OPEN", held_reason="person_active")
            ),
            models.Index(fields=["claim_until"], name="task_claimed", condition=Q(claim_until__isnull=False)),
            models.Index(fields=["claim_token"], name="task_of_claim", condition=~Q(claim_token="")),
            # rescheduling a province, rescheduling everywhere, reassigning
            models.Index(
                fields=["province", "lead"], name="task_open_in", condition=IS_OPEN, include=["due_at"]
            ),
            models.Index(fields=["lead"], name="task_open_of", condition=IS_OPEN, include=["due_at"]),
            models.Index(fields=["owner_key", "id"], name="task_open_owner", condition=IS_OPEN),
            models.Index(  # a person's last tasks
                Lower("completed_by"), F("completed_at").desc(), F("id").desc(),
                name="task_done_by", condition=Q(status="COMPLETED"),
            ),
            models.Index(fields=["origin"], name="task_promised_in", condition=Q(origin__isnull=False)),
            models.Index(  # the frequency cap of the gate
                fields=["contact_point", "contacted_at"], name="task_contacts",
                condition=Q(status="COMPLETED", kind="LADDER"),
            ),
            models.Index(fields=["created_at", "id"], name="task_newest"),  # the collection
            models.Index(fields=["updated_at", "id"], name="task_changed"),  # what a client does not have yet
            models.Index(fields=["due_at", "id"], name="task_by_due"),  # the collection
        ]  # fmt: skip
        permissions = [
            ("claim_task", "Claim due tasks"),
            ("start_task", "Start a task"),
            ("complete_task", "Complete a task"),
            ("plan_task", "Snooze and skip tasks"),
            ("work_any_task", "Work on other people’s tasks"),
            ("reassign", "Reassign tasks"),
            ("correct_task", "Correct one’s own completed task"),
            ("correct_any_task", "Correct any completed task"),
            ("lookup", "Look leads up by number, address or id"),
            ("record_inbound", "Record that a lead called or wrote"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}: {self.get_channel_display()} {self.step or self.get_kind_display()}"

    @property
    def standing_outcome(self) -> str:
        """Return the outcome that counts: as corrected, else as recorded; blank while there is none."""
        return self.corrected_to or self.outcome

    @property
    def standing_outcome_display(self) -> str:
        return str(self.Outcome(self.standing_outcome).label) if self.standing_outcome else ""

    def set_owner(self, owner: str) -> None:
        self.owner = owner.strip()
        self.owner_key = owner_key(owner)


class TaskCorrection(Written):
    """A completed task's outcome before and after a correction; the task keeps its first outcome."""

    task = models.ForeignKey(FollowUpTask, models.PROTECT, related_name="corrections", verbose_name=_("task"))
    from_outcome = models.CharField(_("corrected from"), max_length=12, choices=FollowUpTask.Outcome.choices)
    to_outcome = models.CharField(_("corrected to"), max_length=12, choices=FollowUpTask.Outcome.choices)
    reason = models.CharField(_("reason"), max_length=200)
    at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("correction")
        verbose_name_plural = _("corrections")
        indexes = [
            models.Index(fields=["correlation_id"], name="correction_trace"),  # trace of one call
        ]

    def __str__(self) -> str:
        before, after = self.get_from_outcome_display() or "–", self.get_to_outcome_display() or "–"
        return f"{self.task_id}: {before} → {after}"


class OptOutPress(models.Model):
    """An opt-out that somebody recorded on a page with one key, and what it stopped, for its undo.

    `previous` is the task's previous outcome, blank if it had none; `stopped` holds digests, and the previous
    states of leads, ladders and tasks.
    """

    token = models.CharField(max_length=PRESS_LENGTH, unique=True)
    task = models.ForeignKey(FollowUpTask, models.PROTECT, related_name="+", verbose_name=_("task"))
    pressed_by = models.CharField(_("recorded by"), max_length=ACTOR_LENGTH)
    at = models.DateTimeField(_("at"))
    previous = models.CharField(max_length=12, choices=FollowUpTask.Outcome.choices, blank=True, default="")
    was_open = models.BooleanField(default=False)
    stopped = models.JSONField(default=dict)
    undone_at = models.DateTimeField(_("undone"), null=True, blank=True)

    class Meta:
        verbose_name = _("opt-out by key")
        verbose_name_plural = _("opt-outs by key")
        indexes = [models.Index(fields=["pressed_by", "at"], name="press_of_person")]  # what may be undone

    def __str__(self) -> str:
        return f"{self.task_id} {self.at:%Y-%m-%d %H:%M} UTC"


class InboundContact(Written):
    """An inbound contact of a lead; a blank `outcome` means that nobody has answered them yet."""

    lead = models.ForeignKey(Lead, models.PROTECT, related_name="inbound", verbose_name=_("lead"))
    channel = models.CharField(_("channel"), max_length=CODE_LENGTH, choices=CHANNEL_CHOICES)
    outcome = models.CharField(
        _("outcome"), max_length=12, choices=FollowUpTask.Outcome.choices, blank=True, default=""
    )
    next = models.CharField(_("next"), max_length=14, blank=True, default="")
    next_at = models.DateTimeField(_("next at"), null=True, blank=True)
    note = models.TextField(_("note"), blank=True, default="", max_length=4000)
    at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("inbound contact")
        verbose_name_plural = _("inbound contacts")
        indexes = [
            models.Index(fields=["-at", "-id"], name="inbound_newest"),
            models.Index(fields=["correlation_id"], name="inbound_trace"),  # trace of one call
            models.Index(fields=["actor", "at"], name="inbound_of_person"),  # the results of look-ups
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()} {self.at:%Y-%m-%d %H:%M} UTC"


class LookupEvent(Written, AppendOnly):
    """A look-up of a person, who is stored as a keyed hash."""

    kind = models.CharField(_("looked up by"), max_length=5)
    digest = models.CharField(_("keyed hash"), max_length=64)
    found = models.PositiveSmallIntegerField(_("leads found"))
    at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("look-up")
        verbose_name_plural = _("look-ups")
        indexes = [
            models.Index(fields=["-at", "-id"], name="lookup_newest"),
            models.Index(fields=["correlation_id"], name="lookup_trace"),  # trace of one call
            models.Index(fields=["actor", "at"], name="lookup_of_person"),  # recent counts
        ]
        permissions = [("review_lookups", "See who looked up many people")]

    def __str__(self) -> str:
        return f"{self.actor} {self.kind} {self.at:%Y-%m-%d %H:%M}"


class RealignRequest(models.Model):
    """A request to recompute due times somewhere; `cursor` is the last lead that was done."""

    province = models.CharField(_("province"), max_length=2, blank=True, default="")
    asked_by = models.CharField(_("asked by"), max_length=ACTOR_LENGTH, blank=True, default="")
    correlation_id = models.CharField(
        _("correlation id"), max_length=CORRELATION_LENGTH, blank=True, default=""
    )
    asked_at = models.DateTimeField(_("asked"))
    cursor = models.BigIntegerField(default=0)
    moved = models.PositiveIntegerField(_("tasks moved"), default=0)
    done_at = models.DateTimeField(_("done"), null=True, blank=True)

    class Meta:
        verbose_name = _("rescheduling request")
        verbose_name_plural = _("rescheduling requests")
        indexes = [models.Index(fields=["id"], name="realign_waiting", condition=Q(done_at=None))]

    def __str__(self) -> str:
        return f"{self.province or '*'} {self.asked_at:%Y-%m-%d %H:%M}"


class SlaSnapshot(models.Model):
    """A day's SLA for one group (`dimension` ALL, PROVINCE, CHANNEL, STEP or OWNER)."""

    day = models.DateField(_("day"))
    dimension = models.CharField(_("by"), max_length=10)
    value = models.CharField(_("group"), max_length=ACTOR_LENGTH, blank=True, default="")
    count = models.PositiveIntegerField(_("tasks"))
    within_5m = models.DecimalField(_("within 5 minutes"), max_digits=5, decimal_places=4, null=True)
    within_30m = models.DecimalField(_("within 30 minutes"), max_digits=5, decimal_places=4, null=True)
    within_2h = models.DecimalField(_("within 2 hours"), max_digits=5, decimal_places=4, null=True)
    median_minutes = models.DecimalField(_("median (minutes)"), max_digits=10, decimal_places=2, null=True)
    p90_minutes = models.DecimalField(
        _("90th percentile (minutes)"), max_digits=10, decimal_places=2, null=True
    )
    overdue_open = models.PositiveIntegerField(_("overdue and open"))

    class Meta:
        verbose_name = _("SLA of a day")
        verbose_name_plural = _("SLA by day")
        ordering = ["-day", "dimension", "value"]
        constraints = [
            models.UniqueConstraint(fields=["day", "dimension", "value"], name="sla_snapshot_once")
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.dimension} {self.value}"
