"""Suppressions as a spreadsheet: an import adds suppressions and never ends or weakens one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import get_text_list
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from governance.contact.digests import EMAIL, PHONE, every_digest, read_email, read_phone
from governance.contact.models import Suppression
from governance.contact.querysets import personal_rows
from governance.contact.rules import ConsentRow, SuppressionRow, suppressing
from governance.contact.services import suppress
from governance.core.actors import Actor
from governance.core.admin.base import by_of
from governance.core.admin.transfer import Preview, Row, TakesRows, choice_of
from governance.core.channels import CHANNELS

AT_ONCE = 500
_HASH = re.compile("[0-9a-f]{64}|k[0-9]{2}[0-9a-f]{61}")
EVERY = ("", "*", "all", "tous", "every")

Known = Mapping[str, tuple[list[SuppressionRow], list[ConsentRow]]]


def read_hashed(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the kinds that a phone number, e-mail address or keyed hash may have, and its keyed hashes.

    The first is the current key's, or the one in the cell. Raises ValidationError.
    """
    if _HASH.fullmatch(text):
        return (PHONE, EMAIL), (text,)
    kind, value = (EMAIL, read_email(text)) if "@" in text else (PHONE, read_phone(text))
    return (kind,), every_digest(kind, value)


def read_row(row: Row) -> tuple[tuple[str, ...], tuple[str, ...], str, str]:
    """Return kinds, keyed hashes, channel (blank: all) and source of a row.

    Raises ValidationError by column.
    """
    wrong: dict[str, list[str]] = {}
    kinds: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()
    channel = ""
    try:
        kinds, hashes = read_hashed(row["point"])
    except ValidationError as problem:
        wrong["point"] = problem.messages
    if row["channel"].casefold() not in EVERY:
        channel = row["channel"].upper()
        if channel not in CHANNELS:
            wrong["channel"] = [
                gettext("Write %(channels)s, or nothing for every channel.")
                % {"channels": get_text_list(list(CHANNELS), gettext("or"))}
            ]
        elif kinds and CHANNELS[channel].kind not in kinds:
            wrong["channel"] = [gettext("This channel does not fit this kind of contact point.")]
    source = (
        choice_of(row["source"], Suppression.Source) if row["source"] else Suppression.Source.INTERNAL_LIST
    )
    if source is None:
        names = ", ".join(value for value in Suppression.Source.values if value != "NATIONAL_LIST")
        wrong["source"] = [gettext("Enter one of %(names)s.") % {"names": names}]
    elif source == Suppression.Source.NATIONAL_LIST:
        wrong["source"] = [gettext("The national list is imported as a whole: manage.py import_do_not_call.")]
    if row["action"] and choice_of(row["action"], Suppression.Action) != Suppression.Action.SUPPRESS:
        wrong["action"] = [gettext("An import cannot end a suppression; end it on its page, with a reason.")]
    if wrong:
        raise ValidationError(wrong)
    return kinds, hashes, channel, str(source)


def _by_digest(points: Iterable[tuple[str, ...]]) -> Known:
    """Return what is stored about each point, by the first of its hashes, in one query."""
    found: dict[str, tuple[list[SuppressionRow], list[ConsentRow]]] = {}
    asked = set(points)
    others = {other: hashes[0] for hashes in asked for other in hashes[1:]}
    on_record = personal_rows((hashes[0] for hashes in asked), None, others=others)
    for stop in on_record.suppressions:
        found.setdefault(stop.digest, ([], []))[0].append(stop)
    for consent in on_record.consents:
        found.setdefault(consent.digest, ([], []))[1].append(consent)
    return found


def stops_of(suppressions: Sequence[SuppressionRow], consents: Sequence[ConsentRow]) -> dict[str, int]:
    """Return the suppressed channels of a point, each with the row that suppresses it."""
    found = {channel: suppressing(channel, suppressions, consents) for channel in CHANNELS}
    return {channel: row.id for channel, row in found.items() if row is not None}


def compare(
    rows: Sequence[Row], columns: Sequence[tuple[str, object]], named: dict[str, set[str]]
) -> tuple[Preview, dict[tuple[str, str], list[tuple[str, ...]]]]:
    """Compare rows with the current suppressions.

    Returns the display, and the points (their keyed hashes) that lack a suppression with its channel and
    source. `named` holds the channels that earlier rows of the file suppress.
    """
    seen = Preview()
    read: list[tuple[Row, tuple[str, ...], tuple[str, ...], str, str]] = []
    for row in rows:
        try:
            read.append((row, *read_row(row)))
        except ValidationError as wrong:
            seen.refuse(row["point"], row, columns, wrong.message_dict)
    known = _by_digest(hashes for _row, _kinds, hashes, _channel, _source in read)
    stopped = {hashed: set(stops_of(*found)) for hashed, found in known.items()}
    fresh: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for row, kinds, hashes, channel, source in read:
        wanted = {channel} if channel else {one for one in CHANNELS if CHANNELS[one].kind in kinds}
        held = named.setdefault(hashes[0], set())
        held |= stopped.get(hashes[0], set())
        if wanted <= held:
            seen.same += 1
            continue
        held |= wanted
        seen.new.append(row)
        fresh.setdefault((channel, source), []).append(hashes)
    return seen, fresh


def given_stops() -> Iterator[list[str]]:
    """Yield keyed hash, channel, source and day of each current suppression, except the national list's."""
    ours = Suppression.objects.exclude(source=Suppression.Source.NATIONAL_LIST)
    last = ""
    while True:
        points = list(
            ours.filter(point_digest__gt=last)
            .order_by("point_digest")
            .values_list("point_digest", flat=True)
            .distinct()[:AT_ONCE]
        )
        if not points:
            return
        last = points[-1]
        held = {point: stops_of(*found) for point, found in _by_digest((point,) for point in points).items()}
        ids = set(chain.from_iterable(stops.values() for stops in held.values()))
        rows = {row.pk: row for row in ours.filter(pk__in=ids)}
        for point in points:
            told = set()
            for channel, pk in held.get(point, {}).items():
                row = rows.get(pk)
                if row is None:
                    continue  # the national list's
                whole = (
                    not row.channel
                    and set(held[point].values()) == {pk}
                    and len(held[point]) == len(CHANNELS)
                )
                line = (point, "" if whole else channel, str(row.source), f"{row.at:%Y-%m-%d}")
                if line not in told:
                    told.add(line)
                    yield list(line)


class TransfersStops(TakesRows):
    """Import and export for the suppressions' admin class."""

    key = "point"
    import_note = _(
        "The first column holds a phone number, an e-mail address or the keyed hash of one. "
        "A blank channel means every channel; a blank source means our do-not-contact list. "
        "An import never ends or weakens a suppression."
    )
    export_note = _(
        "What is suppressed now, by keyed hash and channel; the numbers themselves are not "
        "stored. Numbers that only the national list covers are left out."
    )

    def has_transfer_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return bool(self.has_add_permission(request))

    def columns(self, request: HttpRequest) -> list[tuple[str, Any]]:
        return [
            ("point", _("Phone or e-mail")),
            ("channel", _("channel")),
            ("source", _("source")),
            ("action", _("action")),
        ]

    def take(
        self,
        request: HttpRequest,
        rows: Sequence[Row],
        *,
        dry_run: bool,
        options: Mapping[str, object],
        named: dict[Any, Any],
    ) -> Preview:
        seen, fresh = compare(rows, self.columns(request), named)
        if not dry_run:
            by, at = by_of(request), timezone.now()
            for (channel, source), points in fresh.items():
                suppress(
                    [hashes[0] for hashes in points],
                    by=by,
                    at=at,
                    source=source,
                    channel=channel,
                    others=list(chain.from_iterable(points)),
                )
        return seen

    def sheet(self, request: HttpRequest, *, by: Actor, at: datetime) -> Iterator[list[str]]:
        yield [gettext("Phone or e-mail"), gettext("channel"), gettext("source"), gettext("since")]
        yield from given_stops()
