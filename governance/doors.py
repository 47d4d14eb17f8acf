"""How every REST door reads its input and learns who acts. Only `api` modules and views import it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError as DjangoValidationError
from django.http import HttpResponse
from django.utils import timezone
from django.utils.encoding import force_str
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_filters import rest_framework as filters_of_lists
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from governance.actors import ACTOR_LENGTH, CORRELATION_LENGTH, By, Role
from governance.errors import Forbidden, Invalid
from governance.market.rules import read_score
from governance.outbox.services import answer_once
from governance.people.rules import by_user
from governance.places import ALL, read_label, read_province
from governance.strict_json import read_json

MONEY_MAX = Decimal("999999999.99")
CORRELATION = re.compile(f"[!-~]{{1,{CORRELATION_LENGTH}}}")


class ProvinceField(serializers.CharField):
    """One of the thirteen codes, read without regard to case."""

    def to_internal_value(self, data: Any) -> str:
        try:
            return read_province(super().to_internal_value(data))
        except DjangoValidationError as wrong:
            raise serializers.ValidationError(wrong.messages, code="unknown_province") from wrong


class LabelField(serializers.CharField):
    """A label as places.read_label stores it."""

    def to_internal_value(self, data: Any) -> str:
        try:
            return read_label(super().to_internal_value(data))
        except DjangoValidationError as wrong:
            raise serializers.ValidationError(wrong.messages, code="invalid_label") from wrong


class MarketField(LabelField):
    """A market; blank or left out it is ALL."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("default", ALL)
        kwargs.setdefault("allow_blank", True)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        if isinstance(data, str) and not data.strip():
            return ALL
        return super().to_internal_value(data)


class NumberField(serializers.DecimalField):
    """A finite number in ASCII digits, with its bounds."""

    def to_internal_value(self, data: Any) -> Decimal:
        return super().to_internal_value(_plain_number(data))


class MoneyField(NumberField):
    """CAD with at most two places, 0 to 999,999,999.99."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=11, decimal_places=2, min_value=Decimal(0), max_value=MONEY_MAX, **kwargs)


class FractionField(serializers.Field):  # type: ignore[type-arg]  # generic over what it reads, not over us
    """A rate, 0 to 1."""

    def to_internal_value(self, data: Any) -> Decimal:
        try:
            return read_score(data.strip() if isinstance(data, str) else data)
        except ValueError:
            raise serializers.ValidationError(_("A number from 0 to 1 is needed.")) from None

    def to_representation(self, value: Any) -> Any:
        return value


def _plain_number(data: Any) -> str:
    """Return a number as text with ASCII digits only; floats keep the digits that JSON showed."""
    if isinstance(data, bool) or not isinstance(data, int | float | str | Decimal):
        raise serializers.ValidationError(_("A number is needed."))
    text = str(data).strip()
    if not text.isascii() or len(text) > 30:
        raise serializers.ValidationError(_("A number is needed."))
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise serializers.ValidationError(_("A number is needed.")) from None
    if not number.is_finite() or abs(number.adjusted()) > 30:
        raise serializers.ValidationError(_("A finite number is needed."))
    return format(number, "f")


EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def read_instant(text: object) -> datetime:
    """Return an ISO 8601 instant with its zone, 2000 to 2099. Raises ValueError for anything else."""
    if not isinstance(text, str) or not text.isascii() or not 10 <= len(text.strip()) <= 40:
        raise ValueError(text)
    at = datetime.fromisoformat(text.strip())
    if at.tzinfo is None or not 2000 <= at.year <= 2100:
        raise ValueError(text)
    at = at.astimezone(UTC)
    if not EARLIEST <= at < LATEST:
        raise ValueError(text)
    return at


INSTANT_SENTENCE = gettext_lazy(
    "An instant with its zone is needed, from 2000 to 2099, such as 2026-12-15T04:45:00Z."
)


class InstantField(serializers.Field):  # type: ignore[type-arg]  # generic over what it reads, not over us
    """An instant that names its zone; one that does not could mean any of nine hours."""

    def to_internal_value(self, data: Any) -> datetime:
        try:
            return read_instant(data)
        except ValueError:
            raise serializers.ValidationError(INSTANT_SENTENCE) from None

    def to_representation(self, value: Any) -> Any:
        return value


class WholeNumberField(serializers.IntegerField):
    """A whole number in ASCII digits."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or (
            isinstance(data, str) and not re.fullmatch(r"\s*[0-9]{1,18}\s*", data, re.ASCII)
        ):
            self.fail("invalid")
        return super().to_internal_value(data)


class _InstantFormField(forms.Field):
    def to_python(self, value: Any) -> datetime | None:
        if value in (None, ""):
            return None
        try:
            return read_instant(value)
        except ValueError:
            raise DjangoValidationError(INSTANT_SENTENCE) from None


class InstantFilter(filters_of_lists.Filter):  # type: ignore[misc]  # django-filter has no types
    """Narrows by an instant that names its zone."""

    field_class = _InstantFormField


class YesNoFilter(filters_of_lists.TypedChoiceFilter):  # type: ignore[misc]  # django-filter has no types
    """Narrows by true, false or (`nullable`) null, and refuses any other word instead of ignoring it."""

    def __init__(self, *args: Any, nullable: bool = False, **kwargs: Any) -> None:
        words = ["true", "false", *(["null"] if nullable else [])]
        super().__init__(*args, choices=[(word, word) for word in words], empty_value="", **kwargs)

    def filter(self, qs: Any, value: Any) -> Any:
        if not value:
            return qs
        if value == "null":
            return qs.filter(**{f"{self.field_name}__isnull": True})
        return qs.filter(**{self.field_name: value == "true"})


class JSONObjectField(serializers.Field):  # type: ignore[type-arg]  # generic over what it reads, not over us
    """A JSON value of one Python type, given as it is or as JSON text (form and query string)."""

    def __init__(self, kind: type = dict, **kwargs: Any) -> None:
        self.kind = kind
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, str):
            try:
                data = read_json(data)
            except ValueError as wrong:
                raise serializers.ValidationError(str(wrong)) from None
        if not isinstance(data, self.kind):
            name = _("object") if self.kind is dict else _("list")
            raise serializers.ValidationError(_("A JSON %(kind)s is needed.") % {"kind": name})
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class Input(serializers.Serializer):  # type: ignore[type-arg]  # generic over instances, which inputs have none of
    """The base of every POST's input: who it is done for, and in which call."""

    actor = serializers.CharField(required=False, allow_blank=True, max_length=ACTOR_LENGTH)
    changed_by = serializers.CharField(required=False, allow_blank=True, max_length=ACTOR_LENGTH)
    correlation_id = serializers.CharField(required=False, allow_blank=True, max_length=CORRELATION_LENGTH)

    def validate_correlation_id(self, value: str) -> str:
        if value and not CORRELATION.fullmatch(value):
            raise serializers.ValidationError(_("Printable ASCII characters without spaces only."))
        return value


class Question(Input):
    """The base of a GET's input."""


def gather(request: Request) -> tuple[dict[str, Any], set[str]]:
    """Return the parameters, the body winning over the query string, and the keys a JSON body named."""
    given: dict[str, Any] = {key: values[-1] for key, values in request.query_params.lists() if values}
    strict: set[str] = set()
    if request.method in {"POST", "PUT", "PATCH", "DELETE"}:
        body = request.data
        if not isinstance(body, Mapping):
            raise Invalid({"body": [_("The body must be a JSON object.")]})
        if hasattr(body, "lists"):
            given |= {key: values[-1] for key, values in body.lists() if values}
        else:
            strict = {str(key) for key in body}
            given |= body
    return given, strict


def read(request: Request, input_class: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    """Return the validated parameters of a request. Raises Invalid naming each field that is wrong."""
    given, strict = gather(request)
    form = input_class(data=given)
    unknown = strict - set(form.fields)
    if unknown:
        raise Invalid(
            {key[:60]: [_("There is no such parameter.")] for key in sorted(unknown)}, code="unknown_field"
        )
    form.is_valid(raise_exception=True)
    return dict(form.validated_data)


def who(request: Request, data: Mapping[str, Any] | None = None) -> By:
    """Return who acts, for whom, in which call.

    Raises Forbidden `actor_mismatch` where a person names another actor than herself.
    """
    user = request.user
    named = dict(data or {})
    acting_for = str(named.get("actor") or named.get("changed_by") or "").strip()
    django_request = request._request
    correlation_id = str(named.get("correlation_id") or "")
    if correlation_id:
        django_request.correlation_id = correlation_id  # type: ignore[attr-defined]  # answered by the middleware
    by = by_user(
        user,
        request.auth,
        correlation_id=correlation_id or str(getattr(django_request, "correlation_id", "")),
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


class DoorViewSet(viewsets.ViewSet):
    """Actions that read their input, call one service and answer.

    `rights` names the permission of each action; an action without one is refused to everybody.
    """

    rights: ClassVar[dict[str, str]] = {}
    action: str

    def read(self, input_class: type[serializers.Serializer[Any]]) -> tuple[dict[str, Any], By]:
        data = read(self.request, input_class)
        return data, who(self.request, data)

    def by(self) -> By:
        return who(self.request)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        key = request.headers.get("Idempotency-Key")
        if request.method == "POST" and key is not None:
            # as_view has put the action's method there; the one that runs it once takes its place
            setattr(self, "post", partial(self._once, key, getattr(self, "post")))  # noqa: B009, B010

    def _once(
        self, key: str, handler: Callable[..., Response], request: Request, *args: Any, **kwargs: Any
    ) -> Any:
        if not re.fullmatch(r"[!-~]{1,128}", key):
            raise Invalid({"Idempotency-Key": [_("1 to 128 printable ASCII characters without spaces.")]})
        given, _strict = gather(request)

        def handle() -> tuple[int, str, bool]:
            try:
                # no savepoint here: it would undo what a refusal keeps (Refused.keep); verbs have their own
                answer = handler(request, *args, **kwargs)
            except Exception as refusal:
                answer = self.handle_exception(refusal)  # raises again what is no refusal
            text = force_str(request.accepted_renderer.render(answer.data, renderer_context={}))
            stored = answer.status_code < 300
            kept.update(response=answer)
            return answer.status_code, text, stored

        kept: dict[str, Response] = {}
        status, body, replayed = answer_once(
            user_id=int(request.user.pk or 0),
            key=key,
            request=[request.method, request.path, given],
            at=timezone.now(),
            handle=handle,
        )
        if not replayed:
            return kept["response"]
        return HttpResponse(
            body, status=status, content_type="application/json", headers={"Idempotent-Replayed": "true"}
        )


class CollectionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Any]):
    """A read-only collection with filters, ordering and cursor pagination."""

    rights: ClassVar[dict[str, str]] = {}
    ordering: Any = ("-id",)
    ordering_fields: Any = ("id",)
