"""What OPTIONS answers: the calls of an address, who may make them, and what they read."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.metadata import SimpleMetadata
from rest_framework.request import Request
from rest_framework.utils.field_mapping import ClassLookupDict

from governance.core import hooks
from governance.core.rest.fields import FractionField, InstantField, JSONObjectField

_LABELS: Any = {  # the stubs want classes of classes
    FractionField: "decimal",
    InstantField: "datetime",
    JSONObjectField: "nested object",
}


class CallMetadata(SimpleMetadata):
    """Describes each method of an address, as far as its viewset declares it.

    `allowed` says whether the caller's permissions include the call; the call itself may ask for more.
    """

    label_lookup: Any = ClassLookupDict({**SimpleMetadata.label_lookup.mapping, **_LABELS})

    def determine_metadata(self, request: Request, view: Any) -> dict[str, Any]:
        rights = hooks.rights_at(request.user, request.auth, request._request.path_info)
        return {
            "parses": [parser.media_type for parser in view.parser_classes],
            "renders": [renderer.media_type for renderer in view.renderer_classes],
            "schema": "/api/schema",
            "methods": {
                method.upper(): self._method(view, action, rights)
                for method, action in view.action_map.items()
                if method not in ("head", "options")
            },
        }

    def _method(self, view: Any, action: str, rights: frozenset[str]) -> dict[str, Any]:
        right = view.rights.get(action, "")
        found: dict[str, Any] = {"permission": right, "allowed": right in rights}
        old = view.deprecated.get(action)
        if old is not None:
            found["deprecated"] = {"since": old.since, "removal": old.removal, "instead": old.instead}
        shape: type[serializers.Serializer[Any]] | None = getattr(view, "inputs", {}).get(action)
        if shape is not None:
            found["fields"] = self.get_serializer_info(shape())
        elif action == "list" and getattr(view, "filterset_class", None) is not None:
            found["filters"] = sorted(view.filterset_class.base_filters)
        return found
