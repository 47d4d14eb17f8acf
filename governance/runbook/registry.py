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
    """The severity of a finding: it blocks go-live, needs attention, or only informs."""

    BLOCKER = "BLOCKER", _("blocker")
    WARN = "WARN", _("warning")
    INFO = "INFO", _("information")


@dataclass(frozen=True, slots=True)
class Finding:
    """A check's finding: a sentence for a person, facts for a program; `severity` None is the check's own."""

    message: Any
    detail: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity | None = None


Answer = Finding | Sequence[Finding] | None
Ask = Callable[[datetime], Answer]


@dataclass(frozen=True, slots=True)
class Check:
    """A readiness check; `title` states the condition as it is without findings.

    `screen` is the admin URL where a finding can be fixed, with a filter query if useful; it is blank if only
    operators can fix it.
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

    It returns nothing if all is well, else one or more findings. If it raises, that is a blocker. Raises
    ValueError if another function has the id already.
    """

    def register(ask: Ask) -> Ask:
        known = _checks.get(id)
        if known is not None and known.ask is not ask:
            raise ValueError(f"there are two checks called {id}")
        _checks[id] = Check(id, severity, title, ask, screen)
        return ask

    return register


def registered() -> tuple[Check, ...]:
    """Return the checks: blockers first, otherwise in the order of registration."""
    order = list(Severity)
    return tuple(sorted(_checks.values(), key=lambda known: order.index(known.severity)))
