"""Form fields for a ladder's steps: a row per step, drawn on a timeline."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import INPUT_CLASSES, SELECT_CLASSES

from followups.rules import MAX_STEPS, Step, read_steps
from followups.wording import duration
from governance.core.channels import CHANNEL_CHOICES, CHANNELS

UNITS = {
    "minutes": gettext_lazy("minutes"),
    "hours": gettext_lazy("hours"),
    "days": gettext_lazy("days"),
}
PARTS = ("channel", "amount", "unit", "script_en", "script_fr")
BLANK = {"channel": "", "amount": "", "unit": "minutes", "script_en": "", "script_fr": ""}
MOST_TYPED = 4000  # characters of a script; the rules allow fewer
EDGE = 4  # per cent of the line's width left free on either side


def when(step: Step) -> str:
    """Return how long after the first step was due a step comes, for display."""
    minutes = step.days * 1440 + step.minutes
    if not minutes:
        return _("at once")
    if not step.days and minutes % 60 == 0 and minutes < 1440:
        return _("after %(hours)s h") % {"hours": minutes // 60}
    return _("after %(time)s") % {"time": duration(minutes)}


def time_line(steps: Sequence[Step]) -> SafeString:
    """Draw steps on a logarithmic timeline: early hours wide, later days close together."""
    spans = [math.log1p(step.delay.total_seconds() / 60) for step in steps]
    longest = max(spans) or 1
    marks = [
        {
            "number": number,
            "x": f"{EDGE + (100 - 2 * EDGE) * span / longest:.2f}",
            "channel": step.channel,
            "told": f"{CHANNELS[step.channel].name}, {when(step)}",
        }
        for number, (step, span) in enumerate(zip(steps, spans, strict=True), start=1)
    ]
    return render_to_string("admin/followups/time_line.html", {"marks": marks})


def steps_in_words(steps: Sequence[Step]) -> SafeString:
    """Return steps below each other as text, with their scripts in both languages."""
    rows = [
        (number, CHANNELS[step.channel].name, when(step), said(step))
        for number, step in enumerate(steps, start=1)
    ]
    return format_html_join("", "<p>{}. {}, {}{}</p>", rows)


def said(step: Step) -> SafeString:
    scripts = [(script,) for script in (step.script_en, step.script_fr) if script]
    return format_html_join("", "<br>{}", scripts)


def typed_from(step: Mapping[str, Any]) -> dict[str, str]:
    """Return a stored step as the form's row shows it."""
    (unit, amount) = next(iter(step.get("delay", {"minutes": 0}).items()))
    if unit == "minutes" and amount and amount % 60 == 0:
        unit, amount = "hours", amount // 60
    scripts = {name: str(step.get(name, "")) for name in ("script_en", "script_fr")}
    return {"channel": str(step["channel"]), "amount": str(amount), "unit": unit, **scripts}


class StepsWidget(forms.Widget):
    """A row per step and blank ones for more; a row without a channel is not a step."""

    def value_from_datadict(self, data: Any, files: object, name: str) -> list[dict[str, str]]:
        rows = []
        for number in range(MAX_STEPS + 1):
            if f"{name}_{number}_channel" in data:
                row = {part: str(data.get(f"{name}_{number}_{part}", ""))[:MOST_TYPED] for part in PARTS}
                rows.append(row)
        return [row for row in rows if row["channel"]]

    def value_omitted_from_data(self, data: Any, files: object, name: str) -> bool:
        return f"{name}_0_channel" not in data

    def render(self, name: str, value: Any, attrs: Any = None, renderer: object = None) -> Any:
        typed = list(value or [])
        blank = [BLANK] * min(2, MAX_STEPS - len(typed))
        base = (attrs or {}).get("id") or f"id_{name}"
        context = {
            "id": base,
            "name": name,
            "rows": [*typed, *blank][:MAX_STEPS],
            "channels": CHANNEL_CHOICES,
            "units": list(UNITS.items()),
            "input_classes": " ".join(INPUT_CLASSES),
            "select_classes": " ".join(SELECT_CLASSES),
        }
        return render_to_string("admin/followups/steps.html", context)


class StepsField(forms.Field):
    """Steps as stored, in the order of their times."""

    widget = StepsWidget

    def prepare_value(self, value: object) -> object:
        if not isinstance(value, list):
            return []
        return [typed_from(row) if "delay" in row else row for row in value]

    def to_python(self, value: Any) -> list[dict[str, object]]:
        steps = [self._step(number, row) for number, row in enumerate(value or [], start=1)]
        kept = read_steps(sorted(steps, key=_minutes))
        return [step.as_json() for step in kept]

    def _step(self, number: int, row: Mapping[str, str]) -> dict[str, object]:
        amount = row["amount"].strip() or "0"
        if not re.fullmatch("[0-9]{1,6}", amount) or row["unit"] not in UNITS:
            raise ValidationError(
                _("Step %(number)s: write the time as a whole number of minutes, hours or days.")
                % {"number": number}
            )
        scripts = {name: row[name].replace("\r\n", "\n") for name in ("script_en", "script_fr")}
        if "\0" in "".join(scripts.values()):
            raise ValidationError(
                _("The script of step %(number)s contains a character that cannot be stored.")
                % {"number": number}
            )
        return {"channel": row["channel"], "delay": {row["unit"]: int(amount)}, **scripts}

    def has_changed(self, initial: object, data: object) -> bool:
        try:
            return bool(self.to_python(data) != initial)
        except ValidationError:
            return True


class OptionalStepsField(StepsField):
    """Optional steps; omitted they are None."""

    def to_python(self, value: object) -> Any:
        return super().to_python(value) if value else None


def _minutes(step: Mapping[str, Any]) -> int:
    (unit, amount) = next(iter(step["delay"].items()))
    return int(amount) * {"minutes": 1, "hours": 60, "days": 1440}[unit]
