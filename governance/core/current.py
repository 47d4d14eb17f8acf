"""The current request and the id of its call, for code that writes logs far from both."""

from __future__ import annotations

import contextvars

from django.http import HttpRequest

current_correlation_id = contextvars.ContextVar("correlation_id", default="-")
current_request: contextvars.ContextVar[HttpRequest | None] = contextvars.ContextVar("request", default=None)
