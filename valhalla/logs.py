"""The current call's correlation id in every log line."""

from __future__ import annotations

import contextvars
import logging

current_correlation_id = contextvars.ContextVar("correlation_id", default="-")


class CorrelationFilter(logging.Filter):
    """Adds `correlation_id` to each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.correlation_id = current_correlation_id.get()
        return True
