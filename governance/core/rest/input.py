"""Reading the input and the actor of a REST call."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Any, ClassVar

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.utils.serializer_helpers import BindingDict

from governance.core import hooks
from governance.core.actors import ACTOR_LENGTH, CORRELATION_LENGTH, Actor, Role
from governance.core.errors import Forbidden, Invalid, Refused
from governance.core.request_values import CORRELATION_ID, correlation_id_of
from governance.core.strict_json import UnreadableJSON, require_usable

CORRELATION = re.compile(f"[!-~]{{1,{CORRELATION_LENGTH}}}")


# the members of every input that belong to the call, not to what it is about
OF_THE_CALL = ("actor", "changed_by", "correlation_id", "dry_run")


class Input(serializers.Serializer[None]):
    """The base of every POST's input: whom it is done for, and in which call.

    An input that `keeps_unknown` also takes parameters that it does not know, as `unknown`.
    """

    keeps_unknown: ClassVar[bool] = False

    actor = serializers.CharField(required=False, allow_blank=True, max_length=ACTOR_LENGTH)
    changed_by = serializers.CharField(required=False, allow_blank=True, max_length=ACTOR_LENGTH)
    correlation_id = serializers.CharField(required=False, allow_blank=True, max_length=CORRELATION_LENGTH)
    dry_run = serializers.BooleanField(required=False)  # obeyed by ServiceViewSet, for every action alike

    def validate_correlation_id(self, value: str) -> str:
        if value and not CORRELATION.fullmatch(value):
            raise serializers.ValidationError(_("Printable ASCII characters without spaces only."))
        return value


class Question(Input):
    """The base of a GET's input."""

    dry_run = None  # type: ignore[assignment]  # how DRF leaves out an inherited field


def wants_dry_run(request: Request) -> bool:
    """Return whether a call asks only what it would do. Raises Invalid if that cannot be told."""
    value = request.query_params.get("dry_run", False)
    body = request.data
    if isinstance(body, Mapping) and "dry_run" in body:
        value = body["dry_run"]
    try:
        return bool(serializers.BooleanField().run_validation(value))
    except serializers.ValidationError as wrong:
        raise Invalid({"dry_run": wrong.detail}) from None


def gather(request: Request) -> tuple[dict[str, Any], set[str]]:
    """Return the parameters, the body winning over the query string, and the keys of a JSON body."""
    given: dict[str, object] = {key: values[-1] for key, values in request.query_params.lists() if values}
    strict: set[str] = set()
    if request.method in {"POST", "PUT", "PATCH", "DELETE"}:
        body = request.data
        if request.FILES:
            raise Invalid(
                {key[:KEY_LENGTH] or "body": [_("Files are not accepted here.")] for key in request.FILES}
            )
        if not isinstance(body, Mapping):
            raise Invalid({"body": [_("The body must be a JSON object.")]})
        if hasattr(body, "lists"):
            given |= {key: values[-1] for key, values in body.lists() if values}
        else:
            strict = {str(key) for key in body}
            given |= body
    return given, strict


# What browsers and the framework add to a form or a query string by themselves.
NOT_OURS = frozenset({"csrfmiddlewaretoken", "format"})
KEY_LENGTH = 60


class _Built(threading.local):
    """The fields of each input that this thread has read: building them takes longer than reading them."""

    def __init__(self) -> None:
        self.fields: dict[type[serializers.Serializer[Any]], BindingDict] = {}


_built = _Built()


def _form(input_class: type[serializers.Serializer[Any]], given: Mapping[str, Any]) -> Any:
    """Return an input of these parameters, with fields that are built once and belong to no call."""
    if input_class not in _built.fields:
        owner = input_class()
        fields = _built.fields[input_class] = BindingDict(owner)
        for name, field in owner.get_fields().items():
            fields[name] = field
    form: Any = input_class(data=given)
    form.fields = _built.fields[input_class]
    return form


def _require_valid(form: Any) -> dict[str, object]:
    """Return the validated parameters. Raises ValidationError in the caller's language."""
    if not form.is_valid():
        # by fields of its own: those of DRF keep the sentences of the first refusal, and so its language
        form = type(form)(data=form.initial_data)
        form.is_valid(raise_exception=True)
    return dict(form.validated_data)


def read(request: Request, input_class: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    """Return the validated parameters of a request. Raises Invalid naming each invalid field."""
    return read_given(*gather(request), input_class)


def read_given(
    given: Mapping[str, Any], strict: Set[str], input_class: type[serializers.Serializer[Any]]
) -> dict[str, Any]:
    """Return validated parameters; `strict` are those of which an unknown one is an error."""
    form = _form(input_class, given)
    unknown = strict - set(form.fields)
    if getattr(input_class, "keeps_unknown", False):
        besides = {key: given[key] for key in set(given) - set(form.fields) - NOT_OURS}
        if isinstance(besides.get("extra"), dict):  # as the collections answer it
            besides |= besides.pop("extra")
        return {**_require_valid(form), "unknown": _usable(besides)}
    if unknown:
        raise Invalid(
            {key[:KEY_LENGTH]: [_("There is no such parameter.")] for key in sorted(unknown)},
            code="unknown_field",
        )
    return _require_valid(form)


def _usable(given: Mapping[str, object]) -> dict[str, object]:
    """Return undeclared parameters, in order. Raises Invalid for what could not be stored."""
    for key, value in given.items():
        if not key.strip() or len(key) > KEY_LENGTH or not key.isprintable():
            raise Invalid(
                {
                    key[:KEY_LENGTH] or "body": [
                        _("A name has 1 to %(most)d printable characters.") % {"most": KEY_LENGTH}
                    ]
                },
                code="unknown_field",
            )
        try:
            require_usable(value, 1, key)
        except UnreadableJSON as wrong:
            raise Invalid({key: [str(wrong)]}) from None
    return dict(sorted(given.items()))


def who(request: Request, data: Mapping[str, Any] | None = None) -> Actor:
    """Return who acts, for whom, in which call.

    Raises Forbidden `actor_mismatch` if a person names an actor other than themselves.
    """
    user = request.user
    named = dict(data or {})
    acting_for = str(named.get("actor") or named.get("changed_by") or "").strip()
    django_request = request._request
    correlation_id = str(named.get("correlation_id") or "")
    if correlation_id:
        CORRELATION_ID.put(django_request, correlation_id)  # answered by the middleware
    by = hooks.actor_of(
        user,
        request.auth,
        correlation_id=correlation_id or correlation_id_of(django_request),
    )
    foreign = [
        name
        for name in (named.get("actor"), named.get("changed_by"))
        if name and str(name).strip().lower() != by.key
    ]
    if foreign and by.role != Role.SERVICE:
        raise Forbidden(
            "actor_mismatch",
            _("You are signed in as %(name)s and cannot act as somebody else.") % {"name": by.username},
        )
    return (
        replace(by, acting_for=acting_for) if by.role == Role.SERVICE and acting_for.lower() != by.key else by
    )


def from_office(request: object) -> bool:
    """Return whether a request comes from an address in OFFICE_ADDRESSES."""
    return bool(hooks.is_office.first(getattr(request, "_request", request)))


def valid_key(key: str) -> str:
    """Return an Idempotency-Key. Raises Invalid for one that cannot be stored."""
    if not re.fullmatch(r"[!-~]{1,128}", key):
        raise Invalid({"Idempotency-Key": [_("1 to 128 printable ASCII characters without spaces.")]})
    return key


class PreconditionRequired(Refused):
    """The call must say which version it changes."""

    status = 428


_TAGS = re.compile(r'\s*(?:W/)?"[!#-~]*"\s*(?:,\s*(?:W/)?"[!#-~]*"\s*)*')
_STRONG = re.compile(r'(W/)?"([!#-~]*)"')


def versions_of(request: Request) -> frozenset[str] | None:
    """Return the versions that If-Match names (RFC 9110, 13.1.1); None for any. A weak tag matches nothing.

    Raises PreconditionRequired without the header, Invalid for one that cannot be read.
    """
    text = request.headers.get("If-Match")
    if text is None:
        raise PreconditionRequired(
            "precondition_required",
            _("Send If-Match with the ETag that you read, so that nothing unseen is lost."),
        )
    if text.strip() == "*":
        return None
    if len(text) > 1000 or not _TAGS.fullmatch(text):
        raise Invalid({"If-Match": [_("One or more ETags are needed, each in double quotes, or *.")]})
    return frozenset(tag for weak, tag in _STRONG.findall(text) if not weak)
