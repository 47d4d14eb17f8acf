"""Ladder templates as a spreadsheet: the steps in one cell, their scripts in two more."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from followups.models import LadderTemplate
from followups.rules import DEFAULT_STEPS, Step, read_steps
from followups.services import save_template
from governance.core.actors import Actor
from governance.core.admin.policies import (
    EMPTIED,
    TransfersPolicies,
    read_cells,
    read_place,
    read_yes,
    write_yes,
)
from governance.core.admin.transfer import Row
from governance.core.places import Place

SCRIPTS = ("script_en", "script_fr")
UNITS = {"m": "minutes", "h": "hours", "d": "days", "j": "days"}
STEP = re.compile(r"([A-Z]+)(?: \+?([0-9]{1,6}) ?([MHDJ])[A-Z]*)?", re.ASCII)
SECTION = re.compile(r"^\[([0-9]{1,2})\][ \t]*$", re.MULTILINE)


def _steps(text: str) -> list[dict[str, object]]:
    """Return the steps in a cell such as “SMS, CALL 30 min, SMS 3 h, CALL 1 day”."""
    found = []
    for part in filter(None, (" ".join(part.split()) for part in re.split(r"[,;\n]", text))):
        step = STEP.fullmatch(part.upper())
        if step is None:
            raise ValidationError(
                gettext("“%(part)s” is not valid. Example: SMS, CALL 30 min, SMS 3 h, CALL 1 day.")
                % {"part": part[:40]}
            )
        channel, amount, unit = step.groups()
        found.append({"channel": channel, "delay": {UNITS[(unit or "m").lower()]: int(amount or 0)}})
    return [step.as_json() for step in read_steps(found)]


def _written(step: Step) -> str:
    if step.days:
        return gettext("%(channel)s %(days)s d") % {"channel": step.channel, "days": step.days}
    if not step.minutes:
        return step.channel
    hours, minutes = divmod(step.minutes, 60)
    return f"{step.channel} {step.minutes} min" if minutes else f"{step.channel} {hours} h"


def _scripts(text: str) -> dict[int, str]:
    """Return the scripts in a cell by step: each below a line with its step’s number, such as [2]."""
    if text in EMPTIED:
        return {}
    before, *rest = SECTION.split(text.replace("\r\n", "\n"))
    numbers = [int(number) for number in rest[::2]]
    if before.strip() or len(set(numbers)) != len(numbers):
        raise ValidationError(
            gettext("Put each script below a line with its step number, such as [2]; use each number once.")
        )
    return dict(zip(numbers, (script.strip("\n") for script in rest[1::2]), strict=True))


READERS = {"enabled": read_yes, "steps": _steps, **dict.fromkeys(SCRIPTS, _scripts)}


class TransfersTemplates(TransfersPolicies):
    """Import and export for the ladder templates' admin class."""

    import_note = _(
        "A file is imported as a whole: if one row is wrong, nothing is imported. A dash as the "
        "province stands for everywhere else. Write steps as SMS, CALL 30 min, SMS 3 h, CALL 1 "
        "day, each with its time after the first. If the scripts cell is blank, each step keeps "
        "its script."
    )
    policy_columns: ClassVar[Any] = (
        ("enabled", _("enabled")),
        ("steps", _("steps")),
        ("script_en", _("Scripts in English")),
        ("script_fr", _("Scripts in French")),
    )

    def which(self, row: Row) -> Place:
        if row["province"] not in EMPTIED:
            return read_place(row)
        return Place("", read_place({**row, "province": "ON"}).market)

    def cells_of(self, template: LadderTemplate) -> dict[str, str]:
        steps = list(enumerate(read_steps(template.steps), start=1))
        return {
            "enabled": write_yes(template.enabled),
            "steps": ", ".join(_written(step) for _number, step in steps),
            **{
                name: "\n".join(f"[{n}]\n{getattr(step, name)}" for n, step in steps if getattr(step, name))
                for name in SCRIPTS
            },
        }

    def read(self, row: Row, which: Place) -> dict[str, Any]:
        found = read_cells(row, READERS)
        general = LadderTemplate.objects.effective(which)
        kept = read_steps(general.steps) if general else DEFAULT_STEPS
        steps = found.get("steps") or [step.as_json() for step in kept]
        for name in SCRIPTS:
            _put(steps, kept, name, found.get(name))
        return {"enabled": found.get("enabled", general.enabled if general else True), "steps": steps}

    def upsert(
        self, which: Place, changes: dict[str, Any], *, by: Actor, at: datetime, reason: str
    ) -> LadderTemplate:
        # the preview, which is rolled back, has no reason yet
        return save_template(which.province, which.market, by=by, at=at, reason=reason or "–", **changes)


def _put(steps: list[Any], kept: Sequence[Step], name: str, scripts: Mapping[int, str] | None) -> None:
    """Give steps their scripts, or those of existing steps with their number and channel.

    Raises ValidationError.
    """
    unknown = next((number for number in scripts or {} if not 1 <= number <= len(steps)), None)
    if unknown is not None:
        raise ValidationError({name: [gettext("There is no step %(number)s.") % {"number": unknown}]})
    for number, step in enumerate(steps, start=1):
        if scripts is not None:
            step[name] = scripts.get(number, "")
        elif number <= len(kept) and kept[number - 1].channel == step["channel"]:
            step[name] = getattr(kept[number - 1], name)
