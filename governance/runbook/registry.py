"""The registry of readiness checks: each pack registers its own in `AppConfig.ready()`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _


class Severity(models.TextChoices):
    """What a finding keeps from happening: go-live, a quiet night, nothing."""

    BLOCKER = "BLOCKER", _("blocker")
    WARN = "WARN", _("warning")
    INFO = "INFO", _("information")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: a sentence for a person, facts for a program; `severity` None: the check's own."""

    message: Any
    detail: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity | None = None


Answer = Finding | Sequence[Finding] | None
Ask = Callable[[datetime], Answer]


@dataclass(frozen=True, slots=True)
class Check:
    """A readiness check; `title` says what holds where it finds nothing.

    `screen` names the admin's address where a finding is put right, with a query where that narrows it; it is
    blank where only whoever runs the machine can.
    """

    id: str
    severity: Severity
    title: Any
    ask: Ask
    screen: str = ""

    @property
    def url(self) -> str:
        name, mark, query = self.screen.partition("?")
        return reverse(name) + mark + query if name else ""


_checks: dict[str, Check] = {}


def check(id: str, severity: Severity, title: Any, screen: str = "") -> Callable[[Ask], Ask]:
    """Register a function of the present instant as the check `id`.

    It returns nothing where all is well, else a finding or several. It may raise: that is a blocker. Raises
    ValueError where another function has the id already.
    """

    def register(ask: Ask) -> Ask:
        known = _checks.get(id)
        if known is not None and known.ask is not ask:
            raise ValueError(f"there are two checks called {id}")
        _checks[id] = Check(id, severity, title, ask, screen)
        return ask

    return register


def registered() -> tuple[Check, ...]:
    """Return the checks: what blocks first, otherwise in the order in which they were registered."""
    order = list(Severity)
    return tuple(sorted(_checks.values(), key=lambda known: order.index(known.severity)))
