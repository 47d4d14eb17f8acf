"""Display of stored data: amounts, shares, local times, and JSON as a list of facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from decimal import Decimal
from operator import attrgetter
from typing import Any

from django.contrib import admin
from django.utils.formats import date_format, number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext

from governance.core.moments import local
from governance.core.numbers import percent

NOTHING = "–"
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,10})?")
Words = Mapping[str, object]


def amount(value: Decimal | float | None) -> str:
    """Return an amount in the reader's locale; cents only if there are some."""
    if value is None:
        return NOTHING
    return number_format(value, 0 if value == int(value) else 2, force_grouping=True)


def number(value: Any, places: int | None = None) -> str:
    """Return a number in the reader's locale."""
    return NOTHING if value is None else number_format(value, places, force_grouping=True)


def column(
    description: Any,
    value: str | Callable[[Any], Any],
    *,
    ordering: Any = None,
    boolean: bool | None = None,
    words: Words | None = None,
    nothing: Any = None,
) -> Callable[[Any, Any], Any]:
    """Return a column of a list or form: a row's attribute or method, or `value` called with the row.

    An attribute may be reached through others, such as “lead.external_id”. `words` maps stored values to
    labels; `nothing` replaces an empty value.
    """
    read: Callable[[Any], Any] = attrgetter(value) if isinstance(value, str) else value

    @admin.display(description=description, ordering=ordering, boolean=boolean)
    def shown(_screen: Any, row: Any) -> Any:
        found = read(row)
        found = found() if callable(found) else found
        found = found if words is None else str(words.get(found, found))
        return str(nothing) if nothing is not None and found in (None, "") else found

    return shown


def in_cad(name: str, label: object, of: str = "") -> Callable[[object, object], object]:
    """Return a column that shows the amount `name`, of the row itself or of its attribute `of`."""
    read = attrgetter(f"{of}.{name}" if of else name)
    ordering = f"{of}__{name}" if of else name
    return column(format_lazy("{}, CAD", label), lambda row: amount(read(row)), ordering=ordering)


def as_share(name: str, label: object, places: int = 2) -> Callable[[object, object], object]:
    """Return a column that shows the fraction `name` in per cent."""
    return column(
        label,
        lambda row: NOTHING if getattr(row, name) is None else percent(getattr(row, name), places),
        ordering=name,
    )


def there(at: Any, zone: str) -> str:
    """Return an instant in a time zone: “Nov. 24, 2026 13:19 PST”."""
    return date_format(local(at, zone), "DATETIME_FORMAT")


class _Every:
    """Contains every key."""

    def __contains__(self, key: object) -> bool:
        return True


EVERY = _Every()


def facts(
    value: object, words: Words, *, quantities: Container[str] = frozenset(), is_quantity: bool = False
) -> str | SafeString:
    """Return JSON for display, its keys labelled by `words`: a list of facts, or a table of rows.

    Keys without a label in `words` are shown as stored. Numbers under the keys in `quantities` (`EVERY`:
    under any) are formatted as amounts; all others as stored, since they may be versions, row numbers, years
    or listing numbers: “2026.6” is not an amount.
    """
    if isinstance(value, Mapping):
        if not value:
            return NOTHING
        pairs = (
            (_word(key, words), facts(item, words, quantities=quantities, is_quantity=key in quantities))
            for key, item in value.items()
        )
        return format_html(
            '<dl class="facts">{}</dl>', format_html_join("", "<div><dt>{}</dt><dd>{}</dd></div>", pairs)
        )
    if isinstance(value, list):
        return _several(value, words, quantities, is_quantity)
    return _one(value, words, is_quantity)


def _several(
    rows: list[Any], words: Words, quantities: Container[str], is_quantity: bool
) -> str | SafeString:
    if not rows:
        return NOTHING
    if not all(isinstance(row, Mapping) for row in rows):
        return ", ".join(
            str(facts(row, words, quantities=quantities, is_quantity=is_quantity)) for row in rows
        )
    keys = list(dict.fromkeys(key for row in rows for key in row))
    heads = format_html_join("", '<th scope="col">{}</th>', ((_word(key, words),) for key in keys))
    body = format_html_join("", "<tr>{}</tr>", ((_cells(row, keys, words, quantities),) for row in rows))
    table = '<div class="facts-table"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
    return format_html(table, heads, body)


def _cells(
    row: Mapping[str, object], keys: Iterable[str], words: Words, quantities: Container[str]
) -> SafeString:
    cells = (
        (facts(row.get(key), words, quantities=quantities, is_quantity=key in quantities),) for key in keys
    )
    return format_html_join("", "<td>{}</td>", cells)


def _one(value: Any, words: Words, is_quantity: bool) -> str:
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if is_quantity and (isinstance(value, int | float) or _NUMBER.fullmatch(str(value))):
        return number(f"{Decimal(str(value)).normalize():f}")
    return str(words.get(value, value))


def _word(key: str, words: Words) -> str:
    return capfirst(str(words.get(key, key.replace("_", " "))))
