"""Finds what a new schema of the API takes away from clients that were written for an older one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

Schema = dict[str, Any]
# the bounds that a request may be refused by, and which way a new one may move
_UPPER = ("maximum", "maxLength", "maxItems", "maxProperties")
_LOWER = ("minimum", "minLength", "minItems", "minProperties")


def breaking_changes(old: Schema, new: Schema, today: date) -> list[str]:
    """Return one sentence for each change that breaks a client of the old schema.

    An operation that was deprecated with a day of removal (`x-removal`) may go from that day on. New paths,
    optional parameters, members of responses and codes of refusals break nobody.
    """
    return list(dict.fromkeys(_Comparison(old, new, today).changes()))


class _Comparison:
    def __init__(self, old: Schema, new: Schema, today: date) -> None:
        self.old, self.new, self.today = old, new, today

    def changes(self) -> Iterator[str]:
        for path, methods in self.old["paths"].items():
            kept = self.new["paths"].get(path, {})
            for method, operation in methods.items():
                name = f"{method.upper()} {path}"
                if method not in kept:
                    if not self._was_due(operation):
                        yield f"{name} was removed"
                    continue
                for change in self._operation(operation, kept[method]):
                    yield f"{name}: {change}"

    def _was_due(self, operation: Schema) -> bool:
        day = operation.get("x-removal") if operation.get("deprecated") else None
        return day is not None and date.fromisoformat(day) <= self.today

    def _operation(self, old: Schema, new: Schema) -> Iterator[str]:
        if old["operationId"] != new["operationId"]:
            yield f"operationId {old['operationId']} was renamed to {new['operationId']}"
        yield from self._parameters(old, new)
        before, after = old.get("requestBody"), new.get("requestBody")
        if before and not after:
            yield "the body was removed"
        elif after:
            if after.get("required") and not (before or {}).get("required"):
                yield "the body became required"
            for media, content in (before or {}).get("content", {}).items():
                if media not in after["content"]:
                    yield f"the body can no longer be {media}"
                else:
                    yield from self._request(content["schema"], after["content"][media]["schema"], "body")
        yield from self._responses(old["responses"], new["responses"])

    def _parameters(self, old: Schema, new: Schema) -> Iterator[str]:
        before = {(p["in"], p["name"]): p for p in old.get("parameters", ())}
        after = {(p["in"], p["name"]): p for p in new.get("parameters", ())}
        for key, parameter in before.items():
            name = f"parameter {key[1]}"
            if key not in after:
                yield f"{name} was removed"
            else:
                if after[key].get("required") and not parameter.get("required"):
                    yield f"{name} became required"
                yield from self._request(parameter["schema"], after[key]["schema"], name)
        for key in set(after) - set(before):
            if after[key].get("required"):
                yield f"the new parameter {key[1]} is required"

    def _responses(self, old: Schema, new: Schema) -> Iterator[str]:
        for status, response in old.items():
            if int(status) >= 300:
                continue
            if status not in new:
                yield f"it no longer answers {status}"
                continue
            before = self._resolve(response, self.old).get("content", {})
            after = self._resolve(new[status], self.new).get("content", {})
            for media, content in before.items():
                if media not in after:
                    yield f"it no longer answers {media}"
                else:
                    yield from self._response(content["schema"], after[media]["schema"], "answer", ())

    def _request(
        self, old: Schema, new: Schema, where: str, seen: tuple[tuple[str, str], ...] = ()
    ) -> Iterator[str]:
        """Yield what was accepted and is no longer."""
        refs = (old.get("$ref", ""), new.get("$ref", ""))
        if refs in seen:
            return
        seen = (*seen, refs) if any(refs) else seen
        old, new = self._resolve(old, self.old), self._resolve(new, self.new)
        if new_types := _types(new):
            for kind in sorted((_types(old) or {"any"}) - new_types - _widened(new_types)):
                yield f"{where} can no longer be {kind}"
        yield from _enums(old, new, where, "can no longer be")
        for bound, tighter in (*((b, min) for b in _UPPER), *((b, max) for b in _LOWER)):
            if bound in new and (bound not in old or tighter(old[bound], new[bound]) != old[bound]):
                yield f"{where} has the new bound {bound} {new[bound]}"
        if new.get("pattern") and new.get("pattern") != old.get("pattern"):
            yield f"{where} has a new pattern"
        before, after = old.get("properties", {}), new.get("properties", {})
        for name, shape in before.items():
            if name in after:
                yield from self._request(shape, after[name], f"{where}.{name}", seen)
            else:
                yield f"{where}.{name} was removed"
        for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            yield f"{where}.{name} {'became' if name in before else 'is new and'} required"
        if new.get("additionalProperties") is False and old.get("additionalProperties") is not False:
            yield f"{where} no longer takes other members"
        if "items" in old and "items" in new:
            yield from self._request(old["items"], new["items"], f"{where}[]", seen)

    def _response(
        self, old: Schema, new: Schema, where: str, seen: tuple[tuple[str, str], ...]
    ) -> Iterator[str]:
        """Yield what clients could rely on and no longer can."""
        refs = (old.get("$ref", ""), new.get("$ref", ""))
        if refs in seen:
            return
        seen = (*seen, refs) if any(refs) else seen
        old, new = self._resolve(old, self.old), self._resolve(new, self.new)
        if old_types := _types(old):
            for kind in sorted((_types(new) or {"any"}) - old_types - _widened(old_types)):
                yield f"{where} can now be {kind}"
        yield from _enums(old, new, where, "is never again")
        before, after = old.get("properties", {}), new.get("properties", {})
        for name, shape in before.items():
            if name not in after:
                yield f"{where}.{name} was removed"
                continue
            if name in old.get("required", ()) and name not in new.get("required", ()):
                yield f"{where}.{name} is no longer always there"
            yield from self._response(shape, after[name], f"{where}.{name}", seen)
        if "items" in old and "items" in new:
            yield from self._response(old["items"], new["items"], f"{where}[]", seen)

    @staticmethod
    def _resolve(node: Schema, schema: Schema) -> Schema:
        """Return a node with its references followed, and the parts of an `allOf` or `oneOf` joined."""
        if "$ref" in node:
            found: Any = schema
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            node = {**found, **{key: value for key, value in node.items() if key != "$ref"}}
        joined: Schema = {}
        for name in ("allOf", "oneOf", "anyOf"):
            for part in node.get(name, ()):
                resolved = _Comparison._resolve(part, schema)
                types = (_types(joined) or set()) | (_types(resolved) or set())
                joined = {**joined, **resolved, "type": sorted(types)}
        return {**joined, **{k: v for k, v in node.items() if k not in ("allOf", "oneOf", "anyOf")}}


def _types(shape: Schema) -> set[str]:
    kind = shape.get("type")
    return set(kind) if isinstance(kind, list) else {kind} if kind else set()


def _widened(types: set[str]) -> set[str]:
    return {"integer"} if "number" in types else set()


def _enums(old: Schema, new: Schema, where: str, how: str) -> Iterator[str]:
    if "enum" in new and "enum" in old:
        for value in old["enum"]:
            if value not in new["enum"]:
                yield f"{where} {how} {value!r}"
    elif "enum" in new and how.startswith("can"):
        yield f"{where} is limited to some values"
