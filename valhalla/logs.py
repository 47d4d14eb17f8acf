"""Logging: the correlation id on every line, and one line per outage instead of a traceback per request."""

from __future__ import annotations

import logging
import re
import threading
import time

from django.db import InterfaceError, OperationalError
from django.db.backends.signals import connection_created
from gunicorn.glogging import Logger

from governance.core.current import current_correlation_id

# Control characters (a terminal executes some), line and paragraph separators, characters that change the
# direction of text, and lone surrogates, which cannot be written at all.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

QUIET_SECONDS = 60  # seconds without a failure; the next one is another outage
# SQLSTATE classes and codes: connection failures, shutting down or starting, too many connections, disk full
_AWAY_CLASSES, _AWAY_CODES = ("08", "57P"), {"53100", "53300"}
_AWAY_SQLITE = ("SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_READONLY")


def escaped(text: str) -> str:
    """Return a text on one line, with each unsafe character written as its Python escape."""
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


class OneLine(logging.Formatter):
    """Writes a record on one line, whatever it contains; the lines of a traceback are indented.

    So only the program itself can start a line.
    """

    def format(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        lines = [escaped(self.formatMessage(record))]
        # not stored in record.exc_text: another handler would write it unescaped
        if record.exc_info and record.exc_info[0] is not None:
            lines += self._indented(self.formatException(record.exc_info))
        elif record.exc_text:
            lines += self._indented(record.exc_text)
        if record.stack_info:
            lines += self._indented(self.formatStack(record.stack_info))
        return "\n".join(lines)

    @staticmethod
    def _indented(text: str) -> list[str]:
        return [f"    {escaped(line)}" for line in text.split("\n")]


class ServerLog(Logger):
    """The web server's own log, escaped like ours."""

    def setup(self, cfg: object) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(OneLine(self.error_fmt, self.datefmt))


class CorrelationFilter(logging.Filter):
    """Adds `correlation_id` to each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.correlation_id = current_correlation_id.get()
        return True


def is_outage(problem: BaseException | None) -> bool:
    """Return whether an error means that the database cannot be reached or cannot write at all."""
    if not isinstance(problem, (OperationalError, InterfaceError)):
        return False
    cause: object = problem.__cause__
    if name := getattr(cause, "sqlite_errorname", ""):
        return bool(name.startswith(_AWAY_SQLITE))
    state = getattr(cause, "sqlstate", None)  # None if no connection was made
    return state is None or state.startswith(_AWAY_CLASSES) or state in _AWAY_CODES


class OutageFilter(logging.Filter):
    """Lets one line through per outage of the database, without its traceback, and drops the rest.

    The outage is over when a connection succeeds, or after a minute without a failure.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._began: float | None = None
        self._last = 0.0
        self._dropped = 0
        connection_created.connect(self._answers_again, weak=False, dispatch_uid=f"outage-{id(self)}")

    def filter(self, record: logging.LogRecord) -> bool:
        problem = record.exc_info[1] if record.exc_info else None
        if not is_outage(problem):
            return True
        now = time.monotonic()
        with self._lock:
            goes_on = self._began is not None and now - self._last < QUIET_SECONDS
            self._last = now
            if goes_on:
                self._dropped += 1
                return False
            self._began, self._dropped = now, 0
        reason = " ".join(str(problem).split())[:200]
        record.msg, record.args = "the database does not answer: %s (%s)", (reason, type(problem).__name__)
        record.exc_info = record.exc_text = None
        return True

    def _answers_again(self, sender: object, **kwargs: object) -> None:
        with self._lock:
            began, dropped, self._began = self._began, self._dropped, None
        if began is not None:
            seconds = time.monotonic() - began
            logging.getLogger("valhalla").warning(
                "the database answers again after %.0f s; %s more errors were not logged", seconds, dropped
            )
