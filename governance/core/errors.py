"""Refusals: a code for programs and a sentence that a person can act on.

Services raise them; REST answers them as RFC 9457 problems and pages show the sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

NOT_ALLOWED = "not_allowed"
NO_RIGHT = _("Your role does not allow this.")


class Refused(Exception):
    """The request was understood and is refused.

    `keep` is called after the refused action was rolled back, inside the surrounding transaction: it writes
    what must be stored about a refusal (the contact decision). `extra` is added to the members of the
    problem.
    """

    status = 409

    def __init__(
        self,
        code: str,
        message: Any,
        *,
        errors: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
        keep: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.errors = dict(errors or {})
        self.extra = dict(extra or {})
        self.keep = keep

    def __str__(self) -> str:
        return str(self.message)

    @property
    def sentences(self) -> list[str]:
        """Return the sentences for a person: each field's messages, else the message."""
        return [" ".join(map(str, said)) for said in self.errors.values()] or [str(self.message)]


class Invalid(Refused):
    """The input is invalid; `errors` has the messages by field."""

    status = 400

    def __init__(self, errors: Mapping[str, object], message: object = "", *, code: str = "invalid") -> None:
        super().__init__(
            code, message or _("Some values are not valid; see the fields listed."), errors=errors
        )


class Forbidden(Refused):
    """The person may not do that."""

    status = 403


def not_allowed(message: object = NO_RIGHT, *, keep: Callable[[], None] | None = None) -> Forbidden:
    """Return the refusal for a missing permission; `message` says who has it."""
    return Forbidden(NOT_ALLOWED, message, keep=keep)


class NotFound(Refused):
    """The object does not exist, or the person may not know that it does."""

    status = 404

    def __init__(self, message: object = "", *, code: str = "not_found") -> None:
        super().__init__(code, message or _("There is no such thing here."))


class Unavailable(Refused):
    """Go-live or the kill switch does not allow this now."""

    status = 503
