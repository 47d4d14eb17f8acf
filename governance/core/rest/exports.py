"""Collections as streams of any length: CSV and NDJSON, read in batches, never held whole."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any

from django.db.models import Model, Q, QuerySet
from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _

from governance.core.actors import Actor
from governance.core.errors import Unavailable
from governance.core.rest.serialization import JSONRenderer
from governance.core.spreadsheets import log_export, safe

BATCH = 500
AT_ONCE = 2  # of a process: each occupies a thread for as long as its reader takes
WAIT = 30  # seconds
_free = threading.BoundedSemaphore(AT_ONCE)


class Place:
    """One of the exports that a process runs at a time; it is free again with `leave`, or with its holder."""

    def __init__(self) -> None:
        self._held = _free.acquire(blocking=False)
        if not self._held:
            raise Busy

    def leave(self) -> None:
        held, self._held = self._held, False
        if held:
            _free.release()

    __del__ = leave  # a response that no server closed: its connection broke before it began


class RowRenderer(JSONRenderer):
    """A format in which a collection is exported, a line for each row; a refusal is JSON."""

    def lines(self, rows: Iterator[Mapping[str, Any]], names: list[str]) -> Iterator[bytes]:
        raise NotImplementedError

    def line(self, value: object) -> bytes:
        return bytes(super().render(value))


class NDJSONRenderer(RowRenderer):
    """A JSON object for each row, each on a line of its own."""

    media_type = "application/x-ndjson"
    format = "ndjson"

    def lines(self, rows: Iterator[Mapping[str, Any]], names: list[str]) -> Iterator[bytes]:
        for row in rows:
            yield self.line(row) + b"\n"


class CSVRenderer(RowRenderer):
    """A spreadsheet with a heading; lists and objects are JSON in their cell."""

    media_type = "text/csv"
    format = "csv"

    def lines(self, rows: Iterator[Mapping[str, Any]], names: list[str]) -> Iterator[bytes]:
        text = io.StringIO()
        sheet = csv.writer(text)
        sheet.writerow(names)
        for row in rows:
            sheet.writerow([self._cell(row[name]) for name in names])
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
        yield text.getvalue().encode()

    def _cell(self, value: object) -> str:
        if value is None:
            return ""
        if isinstance(value, str):
            return safe(value)
        text = self.line(value).decode()
        return text.strip('"') if isinstance(value, date) else text


def export(
    rows: QuerySet[Any],
    render: RowRenderer,
    names: list[str],
    as_row: Callable[[list[Model]], list[Mapping[str, Any]]],
    *,
    by: Actor,
    at: datetime,
    reason: str,
    since: str | None,
) -> StreamingHttpResponse:
    """Stream the rows of a collection, and log how many left, even if the reader goes away in between.

    They come by id, each once. With `since`, the column that the rows were asked for by, they come by it,
    and a row that changes meanwhile comes again at the end. Raises Unavailable while others are exporting.
    """
    place = Place()
    table = rows.model._meta.label_lower
    sent = 0

    def each() -> Iterator[Mapping[str, Any]]:
        nonlocal sent
        for batch in batches(rows, since):
            for row in as_row(batch):
                sent += 1
                yield row

    def done() -> None:
        place.leave()
        log_export(table, sent, reason=reason, by=by, at=at)

    answer = StreamingHttpResponse(
        Once(render.lines(each(), names), done),
        content_type=f"{render.media_type}; charset=utf-8",
    )
    name = f"{rows.model._meta.model_name}-{at:%Y-%m-%d}.{render.format}"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


class Busy(Unavailable):
    """As many exports run as a process allows."""

    wait = WAIT

    def __init__(self) -> None:
        super().__init__("exports_busy", _("Other exports are running. Try again in a moment."))


class Once:
    """The lines of an export; `close` ends it, also for a reader that left before the end."""

    def __init__(self, lines: Iterator[bytes], done: Callable[[], None]) -> None:
        self._lines = lines
        self._done: Callable[[], None] | None = done

    def __iter__(self) -> Iterator[bytes]:
        return self._lines

    def close(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done()


def batches(rows: QuerySet[Any], since: str | None) -> Iterator[list[Any]]:
    """Yield rows a batch at a time, each continued from the last row of the one before."""
    order = [since, "id"] if since else ["id"]
    rows = rows.order_by(*order)
    found: list[Any] = list(rows[:BATCH])
    while found:
        yield found
        if len(found) < BATCH:
            return
        last = found[-1]
        later = Q(id__gt=last.pk)
        if since:
            reached = getattr(last, since)
            later = Q(**{f"{since}__gte": reached}) & (Q(**{f"{since}__gt": reached}) | later)
        found = list(rows.filter(later)[:BATCH])
