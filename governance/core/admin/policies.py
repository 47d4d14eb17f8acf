"""Policies as a spreadsheet: a file is imported as a whole, or not at all.

Each row goes through the service of the form and the API, so that it has its version, reason and history.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from governance.core.actors import Actor
from governance.core.admin.base import by_of, explained, reason_field
from governance.core.admin.transfer import Amount, Preview, Row, TakesRows
from governance.core.errors import Invalid, Refused
from governance.core.places import Place

NOTHING = "–"
EMPTIED = (NOTHING, "-")
TRUE, FALSE = ("yes", "oui", "true", "vrai", "1"), ("no", "non", "false", "faux", "0")


class WhyImportForm(forms.Form):
    """The reason for changing policies."""

    reason = reason_field(
        _("Reason for this change"),
        max_length=500,
        help_text=_("Stored with each version, so that the change can be explained later."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        explained(self, "reason")


def read_yes(text: str) -> bool:
    """Return a yes or no as a boolean. Raises ValidationError."""
    if text.casefold() not in TRUE + FALSE:
        raise ValidationError(gettext("Enter yes or no."))
    return text.casefold() in TRUE


def write_yes(value: bool) -> str:
    return gettext("yes") if value else gettext("no")


def read_number(text: str) -> Decimal:
    """Return a number or an amount in CAD. Raises ValidationError."""
    try:
        found: Decimal = Amount().clean(text)
    except ValueError as wrong:
        raise ValidationError(str(wrong)) from wrong
    return found


def write_number(value: Decimal | None) -> str:
    return NOTHING if value is None else f"{value.normalize():f}"


def read_cells(row: Row, readers: Mapping[str, Callable[[str], object]]) -> dict[str, Any]:
    """Return the values of the cells that are not blank. Raises ValidationError by column."""
    found: dict[str, object] = {}
    wrong: dict[str, list[str]] = {}
    for name, read in readers.items():
        if row[name]:
            try:
                found[name] = read(row[name])
            except ValidationError as problem:
                wrong[name] = problem.messages
    if wrong:
        raise ValidationError(wrong)
    return found


class TransfersPolicies(TakesRows):
    """Import and export for an admin class of policies.

    Subclasses implement `cells_of`, `read` and `upsert`, and list their columns besides those of the key
    (province and market by default) and the version.
    """

    key = "province"
    key_columns: ClassVar[Sequence[tuple[str, Any]]] = (("province", _("province")), ("market", _("market")))
    whole = True
    options_form = WhyImportForm
    import_note = _(
        "A file is imported as a whole: if one row is wrong, nothing is imported. A dash empties "
        "a cell. The version says which one you changed, so that nobody’s change is lost; leave "
        "it out to change the current one."
    )
    policy_columns: ClassVar[Sequence[tuple[str, Any]]] = ()

    def columns(self, request: HttpRequest) -> list[tuple[str, Any]]:
        return [*self.key_columns, *self.policy_columns, ("version", _("version"))]

    def which(self, row: Row) -> Any:
        """Return the key of a row's policy, such as its place. Raises ValidationError by column."""
        return read_place(row)

    def known(self, which: Any) -> models.QuerySet[Any]:
        """Return a row's policy, if there is one."""
        rows: Any = self.model._default_manager
        found: models.QuerySet[Any] = rows.of(which)
        return found

    def hold(self, rows: Sequence[Row]) -> None:
        """Lock what the policies' service locks before the policies themselves."""

    def key_cells(self, policy: Any) -> list[str]:
        return [policy.province or NOTHING, policy.market]

    def warnings_of(self, before: Any, after: Any) -> list[str]:
        """Return the warnings that the form itself would show."""
        return super().warnings_of(before, after)  # type: ignore[misc,no-any-return]  # the screen's

    def cells_of(self, policy: Any) -> dict[str, str]:
        """Return a policy's cells."""
        raise NotImplementedError

    def read(self, row: Row, which: Any) -> dict[str, Any]:
        """Return the changes in a row. Raises ValidationError by column."""
        raise NotImplementedError

    def upsert(self, which: Any, changes: dict[str, object], *, by: Actor, at: datetime, reason: str) -> Any:
        """Call the policies' own service."""
        raise NotImplementedError

    def in_order(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Sort, so that two files never deadlock, and general policies come first."""
        keys = [name for name, _label in self.key_columns]
        return sorted(rows, key=lambda row: [row[name].upper().strip("-–") for name in keys])

    def take(
        self,
        request: HttpRequest,
        rows: Sequence[Row],
        *,
        dry_run: bool,
        options: Mapping[str, Any],
        named: dict[Any, Any],
    ) -> Preview:
        by, at = by_of(request), timezone.now()
        columns = self.columns(request)
        seen = Preview()
        keys = [name for name, _label in self.key_columns]
        self.hold(rows)
        for row in rows:
            said: dict[str, list[str]]
            try:
                with transaction.atomic():
                    self._take(row, seen, named, by, at, options.get("reason", ""))
                continue
            except ValidationError as wrong:
                said = wrong.message_dict
            except Invalid as wrong:
                said = {name: [str(text) for text in texts] for name, texts in wrong.errors.items()}
            except Refused as refusal:
                said = {"version": [str(refusal.message)]}
            seen.refuse(" / ".join(filter(None, (row[name] for name in keys))), row, columns, said)
        return seen

    def _take(
        self, row: Row, seen: Preview, named: dict[Any, str], by: Actor, at: datetime, reason: str
    ) -> None:
        which = self.which(row)
        same = (which.province, which.market_key) if isinstance(which, Place) else which
        first = named.setdefault(same, row["row"])
        if first != row["row"]:
            said = gettext("The file has this one twice, first in row %(row)s.") % {"row": first}
            raise ValidationError({self.key_columns[-1][0]: [said]})
        before = self.known(which).select_for_update().first()
        unchanged = copy.copy(before)
        known = before.version if before else 0  # the row itself, so that nobody changes it in between
        old = self.cells_of(before) if before else {}
        expected = version_of(row["version"])
        saved = self.upsert(which, self.read(row, which), by=by, at=at, reason=reason)
        if before and saved.version == known:
            seen.same += 1
            return
        if expected is not None and expected != known:
            said = gettext(
                "This was changed in the meantime: it has version %(now)s, not %(expected)s. Read it "
                "again first."
            ) % {"now": known, "expected": expected}
            raise ValidationError({"version": [said]})
        row["version"] = str(known)  # the version in the preview may be overwritten
        seen.warnings += [f"{saved}: {text}" for text in self.warnings_of(unchanged, saved)]
        if not before:
            seen.new.append(row)
            return
        new = self.cells_of(saved)
        labels = dict(self.policy_columns)
        differences = [(labels[name], old[name], new[name]) for name in labels if old[name] != new[name]]
        seen.changed.append((str(saved), differences))

    def sheet(self, request: HttpRequest, *, by: Actor, at: datetime) -> Iterator[list[str]]:
        yield [str(label) for _name, label in self.columns(request)]
        policies: models.QuerySet[Any] = self.exported(request)
        for policy in policies.iterator(chunk_size=500):
            cells = self.cells_of(policy)
            told = [cells[name] or NOTHING for name, _label in self.policy_columns]
            yield [*self.key_cells(policy), *told, str(policy.version)]


def read_place(row: Row) -> Place:
    """Return the place in a row. Raises ValidationError by column."""
    wrong: dict[str, list[str]] = {}
    for name, parts in (("province", (row["province"],)), ("market", ("ON", row["market"]))):
        try:
            Place.read(*parts)
        except ValidationError as problem:
            wrong[name] = problem.messages
    if wrong:
        raise ValidationError(wrong)
    return Place.read(row["province"], row["market"])


def version_of(text: str) -> int | None:
    """Return the version in a cell, or None. Raises ValidationError."""
    if not text or text in EMPTIED:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValidationError({"version": [gettext("A version is a whole number.")]})
    return int(text)
