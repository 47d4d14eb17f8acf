"""The two kinds of REST entry points: actions that call a service, and read-only collections."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils import timezone
from django.utils.encoding import force_str
from django.utils.translation import gettext as _
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.core import hooks
from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid
from governance.core.rest.conditional import tag
from governance.core.rest.describe import Deprecated
from governance.core.rest.exports import CSVRenderer, NDJSONRenderer, RowRenderer, export
from governance.core.rest.filters import CollectionFilter
from governance.core.rest.input import gather, read, valid_key, wants_dry_run, who
from governance.core.rest.serialization import JSONRenderer
from governance.core.transactions import rehearse

VIA_API = "via API"

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})

# the input of each action
Inputs = dict[str, type[serializers.Serializer[Any]]]


class _Described(APIView):
    """What both kinds declare beyond permissions.

    The responses of `deprecated` actions say so; those of `versioned` ones have the row's version as ETag.
    The GET of a `tagged` action has one too, of what it says, and answers 304 to a client that has it.
    """

    deprecated: ClassVar[dict[str, Deprecated]] = {}
    versioned: ClassVar[frozenset[str]] = frozenset()
    tagged: ClassVar[frozenset[str]] = frozenset()
    action: str

    def finalize_response(
        self, request: Request, response: Response, *args: object, **kwargs: object
    ) -> Response:
        answer = super().finalize_response(request, response, *args, **kwargs)
        if self.deprecated and (old := self.deprecated.get(self.action)):
            for name, value in old.headers().items():
                answer.headers[name] = value
        if request.method in ("GET", "HEAD") and answer.status_code == 200 and self.action in self.tagged:
            answer.add_post_render_callback(partial(tag, request._request))
        return answer


class ServiceViewSet(_Described, viewsets.ViewSet):
    """Actions that read their input, call one service and respond.

    `rights` names the permission of each action; an action without one is refused to everybody. `inputs`
    names what each action reads; the schema describes it too. `questions` are actions that also answer a
    POST, so that their parameters stay out of URLs and logs: their answers can name people and are never
    stored under an Idempotency-Key. Nor are those of `repeatable` actions: repeated, they do nothing more,
    and they commit step by step, whereas a stored answer is one transaction.

    With `dry_run` every action but a question is rehearsed: done in a transaction that is rolled back, and
    answered as if it had been done. `rehearses_itself` are actions with a `dry_run` of their own.
    """

    rights: ClassVar[dict[str, str]] = {}
    inputs: ClassVar[Inputs] = {}
    questions: ClassVar[frozenset[str]] = frozenset()
    repeatable: ClassVar[frozenset[str]] = frozenset()
    rehearses_itself: ClassVar[frozenset[str]] = frozenset()

    def read(self) -> tuple[dict[str, Any], Actor]:
        """Return the action's validated input and who acts. Raises Invalid naming each invalid field."""
        data = read(self.request, self.inputs[self.action])
        return data, who(self.request, data)

    def by(self) -> Actor:
        return who(self.request)

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        method = str(request.method).lower()
        # the action is None where the viewset serves no such method
        asks = self.action in self.questions or self.action not in self.inputs
        if request.method in WRITES and not asks and wants_dry_run(request):
            # a dry run neither replays nor uses up a key
            if self.action not in self.rehearses_itself:
                setattr(self, method, partial(self._rehearsed, getattr(self, method)))
            return
        key = request.headers.get("Idempotency-Key")
        unstored = self.questions | self.repeatable
        if request.method == "POST" and key is not None and self.action not in unstored:
            # as_view has put the action's method there; replace it with the one that runs it once
            setattr(self, "post", partial(self._once, key, getattr(self, "post")))  # noqa: B009, B010  # mypy refuses to assign a method

    def _rehearsed(
        self, handler: Callable[..., Response], request: Request, *args: object, **kwargs: object
    ) -> Response:
        answer = rehearse(lambda: handler(request, *args, **kwargs))
        answer.data = {**(answer.data or {}), "dry_run": True}
        answer["Dry-Run"] = "true"
        return answer

    def _once(
        self, key: str, handler: Callable[..., Response], request: Request, *args: object, **kwargs: object
    ) -> object:
        valid_key(key)
        given, _strict = gather(request)

        def handle() -> tuple[int, str, bool]:
            try:
                # no savepoint here: it would undo what a refusal stores (Refused.keep); services have their
                # own
                answer = handler(request, *args, **kwargs)
            except Exception as refusal:
                answer = self.handle_exception(refusal)  # re-raises anything that is not a refusal
            text = force_str(request.accepted_renderer.render(answer.data, renderer_context={}))
            stored = answer.status_code < 300
            kept.update(response=answer)
            return answer.status_code, text, stored

        kept: dict[str, Response] = {}
        status, body, replayed = hooks.answer_once(
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


class CollectionViewSet(
    _Described, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Any]
):
    """A read-only collection with filters, ordering and cursor pagination, or as a stream of all its rows.

    `fields` chooses the members of each row. A stream (`format=csv` or `ndjson`, or what Accept says) is an
    export: it needs a token, and is logged.
    """

    rights: ClassVar[dict[str, str]] = {}
    filterset_class: type[CollectionFilter]
    ordering: Any = ("-id",)
    ordering_fields: Any = ("id",)
    tagged: ClassVar[frozenset[str]] = frozenset({"retrieve"})
    renderer_classes: Any = (JSONRenderer, NDJSONRenderer, CSVRenderer)

    def list(self, request: Request, *args: object, **kwargs: object) -> Any:
        render = request.accepted_renderer
        if not isinstance(render, RowRenderer):
            return super().list(request, *args, **kwargs)
        by = who(request)
        if request.auth is None:
            raise Forbidden("token_required", _("An export of this kind needs a token."))
        paged = {"ordering", "cursor", "page_size"} & set(request.query_params)
        if paged:
            raise Invalid(dict.fromkeys(paged, [_("An export has all rows, in its own order.")]))
        serializer: Any = self.get_serializer(many=True)
        names = [*serializer.child.fields]
        return export(
            self.filter_queryset(self.get_queryset()),
            render,
            names,
            serializer.to_representation,
            by=by,
            at=timezone.now(),
            reason=VIA_API,
            since=self.filterset_class.updated if "updated_after" in request.query_params else None,
        )

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        made: Any = super().get_serializer(*args, **kwargs)
        wanted = self._wanted()
        if wanted is not None:
            fields = getattr(made, "child", made).fields
            if not wanted <= set(fields):
                raise Invalid({"fields": [_("Choose from: %(fields)s.") % {"fields": ", ".join(fields)}]})
            for name in set(fields) - wanted:
                fields.pop(name)
        return made

    def has_field(self, name: str) -> bool:
        """Return whether the answer has this member of a row, so that it need not be read otherwise."""
        wanted = self._wanted()
        return wanted is None or name in wanted

    def _wanted(self) -> set[str] | None:
        request: Request | None = getattr(self, "request", None)
        asked = request.query_params.get("fields") if request else None
        return {name.strip() for name in asked.split(",")} if asked is not None else None
