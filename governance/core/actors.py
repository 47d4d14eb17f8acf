"""Actors: every entry point passes one to every service as `by`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from django.db import models
from django.utils.translation import gettext_lazy as _

ACTOR_LENGTH = 150
CORRELATION_LENGTH = 64
TOKEN_ID_LENGTH = 16


class Role(models.TextChoices):
    """The five kinds of people (and programs) that use Valhalla."""

    VA = "VA", _("virtual assistant")
    CLOSER = "CLOSER", _("closer")
    MANAGER = "MANAGER", _("manager")
    AUDITOR = "AUDITOR", _("auditor")
    SERVICE = "SERVICE", _("service client")


@dataclass(frozen=True, slots=True)
class Actor:
    """The signed-in person or program, whom it acts for, and the call's correlation id.

    `rights` are permission names such as ``followups.stop_ladder``; a job (`system`) has every one. The work
    profile (`provinces`, `channels`, `languages`) restricts what is offered; empty means everything.
    `token_id` is that of the call's token; empty in a browser and in jobs.
    """

    username: str
    role: str
    rights: frozenset[str] = field(default_factory=frozenset, repr=False)
    user_id: int | None = None
    acting_for: str = ""
    correlation_id: str = ""
    token_id: str = ""
    is_system: bool = False
    provinces: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    @classmethod
    def system(cls, job: str, correlation_id: str = "") -> Self:
        """Return the actor of a job or command, named after it."""
        return cls(username=job, role="SYSTEM", correlation_id=correlation_id or job, is_system=True)

    def may(self, right: str) -> bool:
        return self.is_system or right in self.rights

    @property
    def key(self) -> str:
        """Return the name as owners and claims are compared: lower-case."""
        return owner_key(self.username)

    @property
    def working_name(self) -> str:
        """Return who does the work: the person whom a service client acts for, else the signed-in user."""
        return self.acting_for or self.username

    def written(self) -> dict[str, object]:
        """Return the columns of `Written` for a row that this actor writes."""
        return {
            "actor": self.username[:ACTOR_LENGTH],
            "acting_for": self.acting_for[:ACTOR_LENGTH],
            "correlation_id": self.correlation_id[:CORRELATION_LENGTH],
            "token_id": self.token_id or None,
        }


def owner_key(owner: str) -> str:
    """Return an owner's name as it is compared: trimmed, ignoring case."""
    return owner.strip().lower()


class Written(models.Model):
    """Who wrote a row, for whom, in which call and with which token (null: none or not stored yet)."""

    actor = models.CharField(_("actor"), max_length=ACTOR_LENGTH, blank=True, default="", editable=False)
    acting_for = models.CharField(
        _("acting for"), max_length=ACTOR_LENGTH, blank=True, default="", editable=False
    )
    correlation_id = models.CharField(
        _("correlation id"), max_length=CORRELATION_LENGTH, blank=True, default="", editable=False
    )
    token_id = models.CharField(  # noqa: DJ001  # a default makes SQLite rebuild append-only tables, without triggers
        _("token id"), max_length=TOKEN_ID_LENGTH, null=True, blank=True, editable=False
    )

    class Meta:
        abstract = True
