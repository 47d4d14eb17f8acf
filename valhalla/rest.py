"""What every REST call passes: tokens, rights, problems, numbers, pages. Settings name these by string."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from hmac import compare_digest
from typing import Any

from axes.backends import AxesStandaloneBackend
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.http import Http404
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django_filters.rest_framework import DjangoFilterBackend
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from knox.settings import CONSTANTS
from rest_framework import exceptions, filters, pagination, parsers, permissions, renderers
from rest_framework.authentication import SessionAuthentication, get_authorization_header
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from governance.actors import Role
from governance.errors import Invalid, Refused
from governance.models import ApiToken, User
from governance.people.querysets import tokens_of
from governance.people.rules import reaches, rights_of
from governance.strict_json import UnreadableJSON, read_json
from governance.transactions import WriterBusy, in_turn
from valhalla.rate import seconds_to_wait
from valhalla.roles import EVERY_RIGHT, ROLE_RIGHTS

PROBLEM = "application/problem+json"
USE_NOTED_EVERY = timedelta(minutes=1)
NOTING_WAITS = 0.2  # seconds; who only reads shall not wait for those who write


class RoleBackend(AxesStandaloneBackend, ModelBackend):  # type: ignore[misc]  # axes has no types
    """Passwords as Django keeps them; what a person may do follows from her role alone, without a query."""

    def authenticate(
        self, request: Any, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> Any:
        """Try a password. Raises PermissionDenied while the name is locked at the request's address."""
        if request is not None:
            super().authenticate(request, username, password, **kwargs)
        return ModelBackend.authenticate(self, request, username, password, **kwargs)

    def get_user(self, user_id: Any) -> User | None:
        """Return the person with her work profile, in one query."""
        user = User.objects.select_related("work_profile").filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        if not user_obj.is_active or user_obj.is_anonymous or obj is not None:
            return set()
        return set(EVERY_RIGHT if user_obj.is_superuser else ROLE_RIGHTS[Role(user_obj.role)])

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return perm in self.get_all_permissions(user_obj, obj)

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return any(right.startswith(f"{app_label}.") for right in self.get_all_permissions(user_obj))


class TooManyCalls(exceptions.APIException):
    """A token made all its calls of this minute; `wait` seconds later it may make another."""

    status_code = 429
    default_code = "throttled"

    def __init__(self, most: int, wait: int) -> None:
        sentence = _("The token made more than its %(most)d calls a minute; ask again in %(seconds)d s.")
        super().__init__(sentence % {"most": most, "seconds": wait})
        self.wait = wait


class BearerToken(TokenAuthentication):  # type: ignore[misc]  # knox has no types
    """`Authorization: Bearer …` or `Token …`; one query finds token, person and role."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() not in {b"bearer", b"token"}:
            return None
        if len(parts) != 2:
            raise exceptions.AuthenticationFailed(
                _("The Authorization header must be “Bearer” and the token.")
            )
        return self.authenticate_credentials(parts[1])

    def authenticate_credentials(self, token: bytes) -> tuple[User, ApiToken]:
        wrong = exceptions.AuthenticationFailed(_("This token is unknown, revoked or past its end."))
        try:
            text = token.decode("ascii")
        except UnicodeDecodeError:
            raise wrong from None
        if len(text) > 200:
            raise wrong
        digest = hash_token(text)
        now = timezone.now()
        for found in tokens_of(key=text[: CONSTANTS.TOKEN_KEY_LENGTH]):
            if not compare_digest(digest, found.digest):
                continue
            expired = found.expiry is not None and found.expiry <= now
            if expired or found.revoked_at is not None or not found.user.is_active:
                raise wrong
            wait = seconds_to_wait(digest, found.calls_per_minute)
            if wait:
                raise TooManyCalls(found.calls_per_minute, wait)
            if found.last_used_at is None or found.last_used_at < now - USE_NOTED_EVERY:
                with suppress(WriterBusy), in_turn(NOTING_WAITS):  # else the next call notes it
                    ApiToken.objects.filter(pk=found.pk).update(last_used_at=now)
            return found.user, found
        raise wrong

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class SessionLogin(SessionAuthentication):
    """A signed-in browser; its POSTs carry the CSRF token."""


class NamedRight(permissions.BasePermission):
    """The view names the right of each action; an action without one is refused to everybody."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user.is_authenticated:
            return False
        action = getattr(view, "action", None)
        if action is None:  # no action answers this method: a viewset itself says so, with 405
            return hasattr(view, "action_map")
        right = getattr(view, "rights", {}).get(action)
        if right is None or not reaches(request.auth, request.path):
            return False
        return right in rights_of(request.user, request.auth)


class StrictJSONParser(parsers.JSONParser):
    """JSON in UTF-8 with finite numbers, at most 32 deep, without NUL and lone surrogates."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            text = stream.read().decode("utf-8")
            return read_json(text) if text.strip() else {}
        except UnreadableJSON as wrong:
            raise Invalid({wrong.field[:60] or "body": [str(wrong)]}) from None
        except UnicodeDecodeError:
            raise Invalid({"body": [_("The body must be JSON in UTF-8.")]}) from None


class _Encoder(JSONEncoder):
    """Decimals as numbers, instants in UTC with Z."""

    def default(self, obj: Any) -> Any:
        if isinstance(obj, Decimal):
            return int(obj) if obj == obj.to_integral_value() else float(obj)
        if isinstance(obj, dt.datetime) and obj.tzinfo is not None:
            return obj.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
        return super().default(obj)


class JSONRenderer(renderers.JSONRenderer):
    """JSON alone; there is no browsable page."""

    encoder_class = _Encoder


class NewestFirst(pagination.CursorPagination):
    """Pages by cursor: no counting, whatever the table's size."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500
    ordering = "-id"

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        try:
            return super().paginate_queryset(queryset, request, view)
        except OverflowError:  # a forged cursor names an instant that no calendar has
            raise exceptions.NotFound(self.invalid_cursor_message) from None

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        ordering = super().get_ordering(request, queryset, view)
        if any(name.lstrip("-") == "id" for name in ordering):
            return ordering
        # the cursor needs a unique end, else rows with equal values can repeat or be missed;
        # it goes the way of the rest, so that one index answers both ways
        return (*ordering, "-id" if ordering[-1].startswith("-") else "id")


class StrictFilters(DjangoFilterBackend):  # type: ignore[misc]  # django-filter has no types
    """django-filter, refusing a parameter that no filter knows: a typo must not widen an answer."""

    _OTHERS = frozenset({"cursor", "page_size", "ordering", "correlation_id", "format"})

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> Any:
        known = set(getattr(view.filterset_class, "base_filters", {})) | self._OTHERS
        unknown = sorted(set(request.query_params) - known)
        if unknown:
            raise Invalid(
                {key[:60]: [_("There is no such filter.")] for key in unknown}, code="unknown_field"
            )
        for key, value in request.query_params.items():
            if "\0" in value or len(value) > 400:
                raise Invalid({key: [_("This value cannot be used.")]})
        return super().filter_queryset(request, queryset, view)


class Ordering(filters.OrderingFilter):
    """DRF's ordering, refusing a field that cannot be ordered by instead of ignoring it."""

    def remove_invalid_fields(self, queryset: Any, fields: Any, view: Any, request: Request) -> list[str]:
        kept = super().remove_invalid_fields(queryset, fields, view, request)
        if len(kept) != len(list(fields)):
            allowed = ", ".join(
                name for name, _label in self.get_valid_fields(queryset, view, {"request": request})
            )
            raise Invalid({"ordering": [_("Order by one of: %(fields)s.") % {"fields": allowed}]})
        return list(kept)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Promise | exceptions.ErrorDetail) else value


def problem(
    status: int, code: str, detail: Any, *, errors: Any = None, extra: Any = None, correlation_id: str = ""
) -> dict[str, Any]:
    """Return an RFC 9457 problem: `code` and `errors` for a program, `detail` for a person."""
    body: dict[str, Any] = {
        "type": f"urn:valhalla:problem:{code}",
        "title": code.replace("_", " "),
        "status": status,
        "detail": str(detail),
        "code": code,
        "errors": _plain(errors or {}),
        "correlation_id": correlation_id,
    }
    return body | {key: value for key, value in _plain(extra or {}).items() if key not in body}


def problem_response(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an exception of a view as a problem; None lets what is no refusal go on."""
    request = context["request"]
    correlation_id = str(getattr(request._request, "correlation_id", ""))
    headers: dict[str, str] = {}
    if isinstance(exc, Refused):
        status, code, detail, errors, extra = exc.status, exc.code, exc.message, exc.errors, exc.extra
        if code == "invalid" and errors:
            detail = _sentence(errors)
    elif isinstance(exc, exceptions.ValidationError):
        status, code, extra = 400, "invalid", {}
        errors = exc.detail if isinstance(exc.detail, dict) else {"body": exc.detail}
        detail = _sentence(errors)
    elif isinstance(exc, DjangoValidationError):
        status, code, extra = 400, "invalid", {}
        errors = exc.message_dict if hasattr(exc, "error_dict") else {NON_FIELD_ERRORS: exc.messages}
        detail = _sentence(errors)
    elif isinstance(exc, Http404):
        status, code, detail, errors, extra = 404, "not_found", _("There is no such thing here."), {}, {}
    elif isinstance(exc, PermissionDenied | exceptions.PermissionDenied):
        status, code, errors, extra = 403, "not_allowed", {}, {}
        detail = _("Your role does not allow this.")
        if "CSRF" in str(exc):
            detail = _("The page is too old to be used; load it again.")
    elif isinstance(exc, exceptions.APIException):
        status, detail, errors, extra = exc.status_code, exc.detail, {}, {}
        code = str(exc.get_codes()) if isinstance(exc.get_codes(), str) else "refused"
        if getattr(exc, "auth_header", None):
            headers["WWW-Authenticate"] = str(exc.auth_header)  # type: ignore[attr-defined]  # set by DRF's view
        if getattr(exc, "wait", None):
            headers["Retry-After"] = str(int(exc.wait))  # type: ignore[attr-defined]  # Throttled has it
    else:
        return None
    body = problem(status, code, detail, errors=errors, extra=extra, correlation_id=correlation_id)
    return Response(body, status=status, headers=headers, content_type=PROBLEM)


def _sentence(errors: Any) -> str:
    """Return the first field error as one sentence that names its field."""
    for field, messages in _plain(errors).items():
        first = messages
        while isinstance(first, list | dict):
            first = next(iter(first.values() if isinstance(first, dict) else first), "")
        return f"{field}: {first}"
    return _("Some values cannot be used.")


def problem_text(status: int, code: str, detail: Any, correlation_id: str = "") -> str:
    """Return a problem as JSON text, for answers that are made outside of a view."""
    return json.dumps(problem(status, code, detail, correlation_id=correlation_id))
