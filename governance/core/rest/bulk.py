"""Many items in one call: each is done as the single call does it, in transactions of at most 25.

A result comes with its status and its answer or problem, as the single call would give it. Under an
Idempotency-Key each item is done once: after a kill, or a lost answer, the same call continues where it was.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from django.utils import timezone
from django.utils.encoding import force_str
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.core import hooks
from governance.core.actors import Actor
from governance.core.errors import Invalid, Refused
from governance.core.rest.fields import JSONObjectField
from governance.core.rest.input import OF_THE_CALL, Input, read_given, valid_key
from governance.core.rest.viewsets import ServiceViewSet
from governance.core.transactions import in_transaction, rehearse

MOST_ITEMS = 1000
AT_ONCE = 25
# Seconds after which a transaction takes no more items: on SQLite it holds the write lock, for which a switch
# must not wait longer than half a second.
BUDGET = 0.2
KEY_LENGTH = 64


class BulkInput(Input):
    """The input of a bulk call: its items, each with a `key` of its own, by default its position."""

    items = JSONObjectField(list)
    all_or_nothing = serializers.BooleanField(required=False, default=False)

    def validate_items(self, items: list[Any]) -> list[Any]:
        if not 1 <= len(items) <= MOST_ITEMS or not all(isinstance(item, dict) for item in items):
            raise serializers.ValidationError(
                _("A list of 1 to %(most)s objects is needed.") % {"most": MOST_ITEMS}
            )
        keys = [item.get("key", str(number)) for number, item in enumerate(items)]
        if not all(isinstance(k, str) and re.fullmatch(f"[!-~]{{1,{KEY_LENGTH}}}", k) for k in keys):
            raise serializers.ValidationError(
                _("A key has 1 to 64 printable ASCII characters without spaces.")
            )
        if len(set(keys)) < len(keys):
            raise serializers.ValidationError(_("Two items have the same key."))
        return items

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        if data["all_or_nothing"] and len(data["items"]) > AT_ONCE:
            raise serializers.ValidationError(
                {"items": [_("At most %(most)s items are stored all or none.") % {"most": AT_ONCE}]}
            )
        return data


@dataclass(frozen=True, slots=True)
class Bulk:
    """How a bulk action does its items: their input, and the viewset's method for the validated data of one.

    `many`, if there is one, is the method for several (see `BulkViewSet.each`).
    """

    item: type[Input]
    one: str
    many: str = ""


@dataclass(frozen=True, slots=True)
class _Item:
    index: int
    key: str
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Result:
    status: int
    answer: Any
    replayed: bool = False

    @property
    def is_done(self) -> bool:
        return self.status < 300


class _Undone(Exception):
    """An item was refused, and none is to be stored."""


class BulkViewSet(ServiceViewSet):
    """A viewset with bulk actions, each named in `bulks`, `inputs`, `repeatable` and `rehearses_itself`."""

    bulks: ClassVar[dict[str, Bulk]] = {}

    def in_bulk(self, request: Request) -> Response:
        """Do the items of a call and answer what became of each."""
        data, by = self.read()
        items = [
            _Item(number, given.get("key", str(number)), {k: v for k, v in given.items() if k != "key"})
            for number, given in enumerate(data["items"])
        ]
        dry = bool(data.get("dry_run"))
        key = None if dry else request.headers.get("Idempotency-Key")
        if key is not None:
            valid_key(key)
        run = _Run(self, by, key, dry=dry)
        results = run.together(items) if data["all_or_nothing"] else run.in_parts(items)
        shown = [(result.is_done, _shown(item, result)) for item, result in zip(items, results, strict=True)]
        refused = [one for is_done, one in shown if not is_done]
        if data["all_or_nothing"] and refused:
            raise Refused(
                "nothing_stored",
                _("%(count)s of %(all)s items are refused, so none is stored.")
                % {"count": len(refused), "all": len(items)},
                extra={"results": refused},
            )
        answer = {
            "ok": True,
            "succeeded": len(shown) - len(refused),
            "failed": len(refused),
            "replayed": sum(result.replayed for result in results),
            "results": [one for _is_done, one in shown],
        }
        return Response({**answer, "dry_run": True}, headers={"Dry-Run": "true"}) if dry else Response(answer)

    def each(self, items: Sequence[dict[str, Any]], by: Actor, more: Callable[[], bool]) -> list[Response]:
        """Do validated items one after another, while there is time for `more`; return their responses."""
        one = getattr(self, self.bulks[self.action].one)
        responses: list[Response] = []
        for data in items:
            if responses and not more():
                break
            try:
                # no savepoint here: it would undo what a refusal stores (Refused.keep)
                responses.append(one(data, by))
            except Exception as refusal:
                responses.append(self.handle_exception(refusal))  # re-raises anything that is not a refusal
        return responses


def _shown(item: _Item, result: _Result) -> dict[str, object]:
    body = "answer" if result.is_done else "problem"
    return {
        "index": item.index, "key": item.key, "status": result.status, "replayed": result.replayed,
        body: result.answer,
    }  # fmt: skip


class _Run:
    """One call's items for one actor."""

    def __init__(self, view: BulkViewSet, by: Actor, key: str | None, *, dry: bool) -> None:
        self.view, self.by, self.key, self.dry = view, by, key, dry
        self.bulk = view.bulks[view.action]
        self.each = getattr(view, self.bulk.many or "each")

    def in_parts(self, items: Sequence[_Item]) -> list[_Result]:
        results: list[_Result] = []
        while len(results) < len(items):
            part = items[len(results) : len(results) + AT_ONCE]
            begin = rehearse if self.dry else in_transaction
            try:
                results += begin(lambda: self._part(part))  # noqa: B023  # called at once
            except Refused as refusal:  # the database was busy, or another call has one of the keys
                results += [self._refusal(refusal)] * len(part)
        return results

    def together(self, items: Sequence[_Item]) -> list[_Result]:
        """Do all items in one transaction, or none if one is refused."""
        found: list[_Result] = []

        def work() -> None:
            found[:] = self._part(items, budget=float("inf"))
            if not all(result.is_done for result in found):
                raise _Undone

        with suppress(_Undone):
            (rehearse if self.dry else in_transaction)(work)
        return found

    def _part(self, items: Sequence[_Item], *, budget: float | None = None) -> list[_Result]:
        """Do items inside the transaction until the time is up; at least one."""
        until = time.monotonic() + (BUDGET if budget is None else budget)
        return self._do(items, until) if self.key is None else self._once(items, until)

    def _once(self, items: Sequence[_Item], until: float) -> list[_Result]:
        request = self.view.request
        by_key = {self._stored_key(item): item for item in items}

        def handle(keys: list[str]) -> list[tuple[int, str, bool]]:
            results = self._do([by_key[key] for key in keys], until)
            return [(one.status, self._rendered(one.answer), one.is_done) for one in results]

        answers = hooks.answer_each_once(
            user_id=int(request.user.pk or 0),
            requests={key: [request.method, request.path, item.given] for key, item in by_key.items()},
            at=timezone.now(),
            handle=handle,
        )
        results = []
        for answer in answers.values():
            if isinstance(answer, Exception):
                results.append(self._refusal(answer))
            else:
                status, body, replayed = answer
                results.append(_Result(status, json.loads(body), replayed))
        return results

    def _stored_key(self, item: _Item) -> str:
        return f"bulk:{hashlib.sha256(f'{self.key} {item.key}'.encode()).hexdigest()}"

    def _rendered(self, answer: object) -> str:
        return force_str(self.view.request.accepted_renderer.render(answer, renderer_context={}))

    def _do(self, items: Sequence[_Item], until: float) -> list[_Result]:
        """Do items as the single calls do, until the time is up; at least one. A refusal is a result."""
        read = [self._read(item) for item in items]
        valid = [one for one in read if not isinstance(one, _Result)]
        responses = iter(self.each(valid, self.by, lambda: time.monotonic() <= until) if valid else ())
        results: list[_Result] = []
        for one in read:
            if isinstance(one, _Result):
                results.append(one)
                continue
            response = next(responses, None)
            if response is None:
                break
            results.append(_Result(response.status_code, response.data))
        return results

    def _read(self, item: _Item) -> dict[str, Any] | _Result:
        """Return an item's validated data, or its refusal."""
        try:
            known = set(item.given) & set(OF_THE_CALL)
            if known:
                raise Invalid(
                    dict.fromkeys(sorted(known), [_("This belongs to the call, not to an item.")]),
                    code="unknown_field",
                )
            return read_given(item.given, set(item.given), self.bulk.item)
        except Exception as refusal:
            return self._refusal(refusal)

    def _refusal(self, refusal: Exception) -> _Result:
        response = self.view.handle_exception(refusal)  # re-raises anything that is not a refusal
        return _Result(response.status_code, response.data)
