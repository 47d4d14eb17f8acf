"""The site of the managers' admin."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from unfold.sites import UnfoldAdminSite


class Site(UnfoldAdminSite):  # type: ignore[misc]  # unfold has no types
    """Lists all models only where a page shows them: the side bar is our own."""

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        request.lists_models_later = True  # type: ignore[attr-defined]  # read below
        try:
            return super().each_context(request)  # type: ignore[no-any-return]  # untyped
        finally:
            del request.lists_models_later  # type: ignore[attr-defined]  # as above

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> Any:
        if getattr(request, "lists_models_later", False):
            return SimpleLazyObject(lambda: super(Site, self).get_app_list(request, app_label))
        return super().get_app_list(request, app_label)
