"""The admin site."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.core.exceptions import PermissionDenied
from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject
from unfold.sites import UnfoldAdminSite


class FoundByTyping(AutocompleteJsonView):
    """Autocomplete results for a form field; refuses anything that is not such a field."""

    def process_request(self, request: HttpRequest) -> Any:
        term, screen, field, to_field = super().process_request(request)
        if not field.concrete:  # the reverse side of a foreign key: Django itself would fail
            raise PermissionDenied
        return term.replace("\0", ""), screen, field, to_field


class Site(UnfoldAdminSite):
    """Lists all models only where a page shows them: the side bar is our own."""

    def each_context(self, request: HttpRequest) -> dict[str, object]:
        request.lists_models_later = True  # type: ignore[attr-defined]  # read below
        try:
            return super().each_context(request)
        finally:
            del request.lists_models_later  # type: ignore[attr-defined]  # as above

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> Any:
        if getattr(request, "lists_models_later", False):
            return SimpleLazyObject(lambda: super(Site, self).get_app_list(request, app_label))
        return super().get_app_list(request, app_label)

    def search(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> HttpResponse:
        try:
            return super().search(request, extra_context)
        except InvalidPage:
            raise Http404 from None

    def autocomplete_view(self, request: HttpRequest) -> Any:
        return FoundByTyping.as_view(admin_site=self)(request)
