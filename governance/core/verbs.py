"""The decorator for verbs: one transaction, with an execution class and a permission."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import ParamSpec, Protocol, TypeVar, cast

from django.utils.functional import Promise

from governance.core import hooks
from governance.core.actors import Actor
from governance.core.errors import NO_RIGHT, Refused, not_allowed
from governance.core.transactions import in_transaction

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Execution(enum.Enum):
    """The effects that an action can have."""

    PROD_EXEC = "production"
    SANDBOX_EXEC = "sandbox"
    OBSERVE_ONLY = "observe"


class NeedsRight(Protocol[P, R_co]):
    """A function that checks a permission; entry points read its name from the function.

    `right` is blank if a verb needs none, or one that depends on its arguments.
    """

    right: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class Verb(NeedsRight[P, R_co], Protocol[P, R_co]):
    """A function in its own transaction, which the switches stop according to its class."""

    execution: Execution


def require_right(by: Actor, right: str, refusal: str | Promise = NO_RIGHT) -> None:
    """Raise Forbidden `not_allowed`, with `refusal` as its sentence, unless the actor has the permission."""
    if not by.may(right):
        raise not_allowed(refusal)


def needs_right(
    right: str, *, refusal: str | Promise = NO_RIGHT
) -> Callable[[Callable[P, R]], NeedsRight[P, R]]:
    """Check the permission of the keyword argument `by` first; the function's `right` names it.

    Use it for functions that call several verbs; `verb` checks a verb's own permission.
    """

    def decorate(function: Callable[P, R]) -> NeedsRight[P, R]:
        parameter = inspect.signature(function).parameters.get("by")
        if (
            parameter is None
            or parameter.kind is not parameter.KEYWORD_ONLY
            or parameter.default is not parameter.empty
        ):
            raise TypeError(f"{function.__qualname__} needs a right, but no actor `by` as a keyword")

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            if "by" in kwargs:  # otherwise the function itself reports that it is missing
                require_right(cast(Actor, kwargs["by"]), right, refusal)
            return function(*args, **kwargs)

        checked = cast(NeedsRight[P, R], run)
        checked.right = right
        return checked

    return decorate


_in_verb: ContextVar[bool] = ContextVar("in_verb", default=False)


def verb(
    execution: Execution, *, right: str = "", refusal: str | Promise = NO_RIGHT
) -> Callable[[Callable[P, R]], Verb[P, R]]:
    """Decorate a verb: one transaction that checks its execution class and then its permission.

    Raises Forbidden `not_allowed` with `refusal` as its sentence if the actor `by` lacks the permission.

    A refusal rolls the transaction back; what it must store (`Refused.keep`) is written afterwards by the
    outermost verb, since an inner one's would be rolled back with it (a verb that continues after another's
    refusal calls its `keep` itself). A verb that owns the transaction retries after a deadlock or a
    busy SQLite, and raises Unavailable `busy` if that did not help.
    """

    def decorate(function: Callable[P, R]) -> Verb[P, R]:
        body = needs_right(right, refusal=refusal)(function) if right else function

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            def work() -> R:
                hooks.admit(execution)
                return body(*args, **kwargs)

            nested = _in_verb.get()
            entered = _in_verb.set(True)
            try:
                return in_transaction(work)
            except Refused as refused:
                if refused.keep is not None and not nested:
                    keep, refused.keep = refused.keep, None
                    in_transaction(keep)
                raise
            finally:
                _in_verb.reset(entered)

        made = cast(Verb[P, R], run)
        made.execution, made.right = execution, right
        return made

    return decorate
