# The classes that the project's screens derive from. They serve any model, as Django's own do.
from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models.options import Options
from django.http import HttpRequest, HttpResponseRedirect

class ModelAdmin(admin.ModelAdmin[Any]):
    actions_detail: Sequence[str]
    actions_list: Sequence[str]
    list_fullwidth: bool
    change_form_before_template: str | None
    # The model's own class of querysets.
    def get_queryset(self, request: HttpRequest) -> Any: ...
    def _get_obj_does_not_exist_redirect(
        self, request: HttpRequest, opts: Options[Any], object_id: str
    ) -> HttpResponseRedirect: ...

class StackedInline(admin.StackedInline[Any, Any]): ...
class TabularInline(admin.TabularInline[Any, Any]): ...
