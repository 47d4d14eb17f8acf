"""Work to be done later or only once: messages, idempotent answers, job slots, the scheduler's lease."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.core.actors import ACTOR_LENGTH, CORRELATION_LENGTH
from governance.core.versions import Versioned

MAX_ATTEMPTS = 5


PASSWORD_LINK = "password_link"
SECRET_KINDS = frozenset({PASSWORD_LINK})  # messages whose text no screen shows


class OutboxMessage(models.Model):
    """A message written in the transaction that caused it and sent afterwards by a job."""

    kind = models.CharField(_("kind"), max_length=40)
    to = models.CharField(_("recipient"), max_length=254)
    subject = models.CharField(_("subject"), max_length=200, blank=True, default="")
    body = models.TextField(_("body"), blank=True, default="")
    dedupe = models.CharField(_("once per"), max_length=200, unique=True)
    correlation_id = models.CharField(
        _("correlation id"), max_length=CORRELATION_LENGTH, default="", blank=True
    )
    created_at = models.DateTimeField(_("created"))
    not_before = models.DateTimeField(_("not before"))
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    last_error = models.CharField(_("last error"), max_length=200, blank=True, default="")
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    dead_at = models.DateTimeField(_("failed permanently"), null=True, blank=True)

    class Meta:
        verbose_name = _("outbox message")
        verbose_name_plural = _("outbox messages")
        indexes = [
            models.Index(fields=["correlation_id"], name="outbox_trace"),  # trace of one call
            models.Index(  # the sending job
                fields=["not_before"],
                name="outbox_waiting",
                condition=models.Q(sent_at=None, dead_at=None),
            ),
            # the retention job
            models.Index(
                fields=["sent_at", "id"], name="outbox_sent", condition=models.Q(sent_at__isnull=False)
            ),
            models.Index(
                fields=["dead_at", "id"], name="outbox_given_up", condition=models.Q(dead_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} → {self.to}"


class IdempotentAnswer(models.Model):
    """The stored answer to a POST with an Idempotency-Key; kept for 24 hours."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=128)
    request_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    body = models.TextField(default="", blank=True)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("idempotent answer")
        verbose_name_plural = _("idempotent answers")
        constraints = [
            models.UniqueConstraint(fields=["user", "key"], name="idempotent_once_per_user_and_key")
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotent_expiry")]  # the purge

    def __str__(self) -> str:
        return self.key


class JobSlot(models.Model):
    """One firing of a job: the row makes it happen once, however many schedulers run."""

    job = models.CharField(_("job"), max_length=80)
    slot = models.CharField(_("slot"), max_length=40)
    started_at = models.DateTimeField(_("started"))
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    result = models.JSONField(_("result"), null=True, blank=True)
    error = models.CharField(_("error"), max_length=200, blank=True, default="")
    # the database has the default too: workers of the previous release write rows without it
    by_hand = models.CharField(
        _("by hand"),
        max_length=ACTOR_LENGTH,
        blank=True,
        default="",
        db_default="",
        help_text=_("Who ran it by hand; blank for the scheduler."),
    )

    class Meta:
        verbose_name = _("job run")
        verbose_name_plural = _("job runs")
        constraints = [models.UniqueConstraint(fields=["job", "slot"], name="job_once_per_slot")]
        indexes = [models.Index(fields=["started_at"], name="job_slot_purge")]

    def __str__(self) -> str:
        return f"{self.job} {self.slot}"


class JobSwitch(Versioned):
    """A job's pause, with who, when and why; its first pause creates the row."""

    task = models.CharField(_("job"), max_length=200, unique=True)
    paused = models.BooleanField(_("paused"), default=False)

    class Meta:
        verbose_name = _("pause of a job")
        verbose_name_plural = _("pauses of jobs")
        permissions = [("manage_schedules", "Run jobs, pause them and let them go on")]

    def __str__(self) -> str:
        return self.task


class SchedulerLease(models.Model):
    """The scheduler process that may fire; another takes the row over once it has expired."""

    name = models.CharField(_("name"), max_length=40, unique=True)
    holder = models.CharField(_("holder"), max_length=80)
    expires_at = models.DateTimeField(_("expires at"))

    class Meta:
        verbose_name = _("scheduler lease")
        verbose_name_plural = _("scheduler leases")

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"


class Heartbeat(models.Model):
    """The scheduler's last heartbeat."""

    name = models.CharField(_("name"), max_length=40, unique=True)
    at = models.DateTimeField(_("last beat"))

    class Meta:
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")

    def __str__(self) -> str:
        return self.name
