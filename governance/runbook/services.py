"""The runbook's status: it runs every check, even if some raise."""

from __future__ import annotations

import json
import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from governance.core.hooks import ChecklistLine
from governance.runbook.registry import Check, Finding, Severity, registered

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """A finding for display; `url` is the screen on which to fix it, blank if there is none."""

    id: str
    severity: str
    message: str
    detail: dict[str, Any] = field(default_factory=dict)
    url: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"id": self.id, "severity": self.severity, "message": self.message, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Asked:
    """A check with its findings; none if all is well."""

    id: str
    title: str
    severity: str
    found: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """The runbook's status at one instant."""

    generated_at: datetime
    asked: tuple[Asked, ...]

    def _found(self, severity: Severity) -> list[Found]:
        return [one for asked in self.asked for one in asked.found if one.severity == severity]

    @property
    def blockers(self) -> list[Found]:
        return self._found(Severity.BLOCKER)

    @property
    def warnings(self) -> list[Found]:
        return self._found(Severity.WARN)

    @property
    def info(self) -> list[Found]:
        return self._found(Severity.INFO)

    @property
    def in_order(self) -> list[Asked]:
        """Return the checks that found nothing."""
        return [asked for asked in self.asked if not asked.found]

    @property
    def ok_to_enable_go_live(self) -> bool:
        return not self.blockers

    @property
    def light(self) -> str:
        """Return BLOCKER, WARN or INFO: the most serious finding."""
        return Severity.BLOCKER if self.blockers else Severity.WARN if self.warnings else Severity.INFO

    def as_json(self) -> dict[str, Any]:
        return {
            "generated_at": self.generated_at,
            "blockers": [one.as_json() for one in self.blockers],
            "warnings": [one.as_json() for one in self.warnings],
            "info": [one.as_json() for one in self.info],
            "ok_to_enable_go_live": self.ok_to_enable_go_live,
        }


def status(at: datetime) -> Status:
    """Run every check and return the findings. A check that raises is a blocker; this never raises."""
    return Status(at, tuple(_ask(known, at) for known in registered()))


def _ask(known: Check, at: datetime) -> Asked:
    try:
        with _apart():
            found = tuple(_told(known, one) for one in _findings(known.ask(at)))
    except Exception as problem:  # any error: what cannot be checked is not known to be in order
        log.exception("the check %s could not be carried out", known.id)
        kind = type(problem).__name__
        sentence = _("This could not be checked (%(problem)s); the log says more.") % {"problem": kind}
        found = (Found(known.id, Severity.BLOCKER, sentence, {"error": kind}),)
    return Asked(known.id, _title(known), known.severity, found)


def _apart() -> AbstractContextManager[object]:
    """Keep a check's database error from the surrounding transaction; without one nothing is needed."""
    return transaction.atomic() if connection.in_atomic_block else nullcontext()


def _findings(answer: Any) -> list[Finding]:
    if answer is None:
        return []
    findings = [answer] if isinstance(answer, Finding) else list(answer)
    if not all(isinstance(one, Finding) for one in findings):
        raise TypeError("a check answers findings or nothing")
    return findings


def _told(known: Check, one: Finding) -> Found:
    severity = Severity(one.severity or known.severity)
    detail = json.loads(json.dumps(dict(one.detail), default=str))
    return Found(known.id, severity.value, str(one.message), detail, known.url)


def _title(known: Check) -> str:
    try:
        return str(known.title)
    except Exception:  # a title is no reason to show nothing
        return known.id


def checklist(at: datetime) -> list[ChecklistLine]:
    """Answer the hook `checklist`: every check that can block go-live, and every one that does."""
    lines = []
    for asked in status(at).asked:
        blockers = [one for one in asked.found if one.severity == Severity.BLOCKER]
        lines += [
            ChecklistLine(one.id, asked.title, False, one.message, one.detail, one.url) for one in blockers
        ]
        if asked.severity == Severity.BLOCKER and not blockers:
            lines.append(ChecklistLine(asked.id, asked.title, True))
    return lines


def board_figures(at: datetime) -> dict[str, object]:
    """Answer the hook `figures`: how many blockers and warnings there are, for the board."""
    runbook = status(at)
    return {"runbook": {"blockers": len(runbook.blockers), "warnings": len(runbook.warnings)}}


def markdown(runbook: Status) -> str:
    """Return the runbook as Markdown, for people."""
    blocked = _("Go-live stays off until its blockers are gone.")
    verdict = _("Nothing keeps go-live off.") if runbook.ok_to_enable_go_live else blocked
    when = _("As of %(when)s UTC.") % {"when": f"{runbook.generated_at:%Y-%m-%d %H:%M}"}
    lines = ["# " + _("Runbook"), "", verdict, "", when, ""]
    in_order = [f"- {_plain(asked.title)}" for asked in runbook.in_order]
    for heading, items in (
        (_("What keeps go-live off"), _items(runbook.blockers)),
        (_("To review"), _items(runbook.warnings)),
        (_("Good to know"), _items(runbook.info)),
        (_("In order"), in_order),
    ):
        if items:
            lines += [f"## {heading}", "", *items, ""]
    return "\n".join(lines)


def _items(found: list[Found]) -> list[str]:
    return [f"- **{one.id}**: {_plain(one.message)}" for one in found]


def _plain(text: str) -> str:
    """Return a text on one line without Markdown syntax."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#|" else sign for sign in " ".join(text.split()))
