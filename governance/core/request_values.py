"""Values that one part of a request leaves for another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from django.http import HttpRequest

T = TypeVar("T")


class RequestValue(Generic[T]):
    """A value stored on requests as the attribute `name`, where templates and libraries find it too."""

    def __init__(self, name: str) -> None:
        self.name = name

    def put(self, request: HttpRequest, value: T) -> None:
        setattr(request, self.name, value)

    def is_on(self, request: HttpRequest) -> bool:
        return hasattr(request, self.name)

    def of(self, request: HttpRequest) -> T | None:
        """Return the request's value; None if it has none."""
        found: T | None = getattr(request, self.name, None)
        return found

    def once(self, request: HttpRequest, make: Callable[[], T]) -> T:
        """Return the request's value, made at the first call."""
        if not self.is_on(request):
            self.put(request, make())
        return self.required(request)

    def required(self, request: HttpRequest) -> T:
        """Return the request's value. Raises AttributeError if it has none."""
        found: T = getattr(request, self.name)
        return found


CORRELATION_ID: RequestValue[str] = RequestValue("correlation_id")


def correlation_id_of(request: HttpRequest) -> str:
    """Return the id of the request's call, or "" before the middleware set it."""
    return CORRELATION_ID.of(request) or ""
