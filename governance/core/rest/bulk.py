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
from governance.core.rest.input import Input, read_given, valid_key
from governance.core.rest.viewsets import ServiceViewSet
from governance.core.transactions import in_transaction, rehearse

MOST_ITEMS = 1000
AT_ONCE = 25
# Seconds after which a transaction takes no more items: on SQLite it holds the write lock, for which a switch
# must not wait longer than half a second.
BUDGET = 0.3
KEY_LENGTH = 64
OF_THE_CALL = ("actor", "changed_by", "correlation_id", "dry_run")


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
        if not all(isinstance(k, str) and re.fullmatch(r"[!-~]{1,64}", k) for k in keys):
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
    """How a bulk action does one item: its input, and the viewset's method for the validated data."""

    item: type[Input]
    one: str


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
        self.one: Callable[[dict[str, Any], Actor], Response] = getattr(view, self.bulk.one)

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
        if self.key is None:
            results: list[_Result] = []
            for item in items:
                if results and time.monotonic() > until:
                    break
                results.append(self._do(item))
            return results
        return self._once(items, until)

    def _once(self, items: Sequence[_Item], until: float) -> list[_Result]:
        request, done = self.view.request, 0
        by_key = {self._stored_key(item): item for item in items}

        def handle(key: str) -> tuple[int, str, bool] | None:
            nonlocal done
            if done and time.monotonic() > until:
                return None
            done += 1
            result = self._do(by_key[key])
            text = force_str(request.accepted_renderer.render(result.answer, renderer_context={}))
            return result.status, text, result.is_done

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

    def _do(self, item: _Item) -> _Result:
        """Do one item as the single call does; a refusal is its result."""
        try:
            known = set(item.given) & set(OF_THE_CALL)
            if known:
                raise Invalid(
                    dict.fromkeys(sorted(known), [_("This belongs to the call, not to an item.")]),
                    code="unknown_field",
                )
            data = read_given(item.given, set(item.given), self.bulk.item)
            # no savepoint here: it would undo what a refusal stores (Refused.keep); services have their own
            response = self.one(data, self.by)
        except Exception as refusal:
            return self._refusal(refusal)
        return _Result(response.status_code, response.data)

    def _refusal(self, refusal: Exception) -> _Result:
        response = self.view.handle_exception(refusal)  # re-raises anything that is not a refusal
        return _Result(response.status_code, response.data)
