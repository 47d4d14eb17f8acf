"""A form field for a week, typed day by day, such as 9:00–12:00, 13:00–17:00, so that nobody types JSON."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from unfold.widgets import INPUT_CLASSES

from governance.core.hours import DAY_NAMES, DAYS, MOST_TYPED, read_day

Hours = tuple[tuple[int, int], ...]


def _wrong(part: str) -> str:
    return _("“%(part)s” is not valid. Example: 9:00–12:00, 13:00–20:00, or leave blank for never.") % {
        "part": part[:40]
    }


class WeekWidget(forms.Widget):
    """Seven inputs for hours."""

    template = "admin/governance/week.html"

    def value_from_datadict(self, data: Any, files: object, name: str) -> list[str]:
        return [str(data.get(f"{name}_{day}", ""))[:MOST_TYPED] for day in DAYS]

    def value_omitted_from_data(self, data: Any, files: object, name: str) -> bool:
        return all(f"{name}_{day}" not in data for day in DAYS)

    def id_for_label(self, id_: str) -> str:
        return f"{id_}_0"

    def render(self, name: str, value: Any, attrs: Any = None, renderer: object = None) -> Any:
        base = (attrs or {}).get("id") or f"id_{name}"
        days = []
        for day, text in enumerate(value or [""] * 7):
            shown = {"id": f"{base}_{day}", "field": f"{name}_{day}", "name": DAY_NAMES[day], "typed": text}
            try:
                shown["line"] = self.drawn(read_day(text), day)
            except ValueError as wrong:
                shown["wrong"] = _wrong(str(wrong))
            days.append(shown)
        context = {"id": base, "days": days, "classes": " ".join(INPUT_CLASSES), **self.more()}
        return render_to_string(self.template, context)

    def drawn(self, spans: Hours, day: int) -> str:
        """Return what is drawn next to a day's hours."""
        return ""

    def more(self) -> dict[str, object]:
        """Return the template's additional context."""
        return {}


class WeekField(forms.Field):
    """Seven days' hours, Monday first; the value is the result of `read_day` for each."""

    widget = WeekWidget

    def to_python(self, value: Any) -> list[Hours]:
        week: list[Hours] = []
        wrong: list[str] = []
        for day, text in enumerate(value or [""] * 7):
            try:
                week.append(read_day(text))
            except ValueError as part:
                wrong.append(f"{DAY_NAMES[day]}: {_wrong(str(part))}")
        if wrong:
            raise ValidationError(wrong)
        return week

    def has_changed(self, initial: Any, data: Any) -> bool:
        return list(initial or []) != list(data or [])
