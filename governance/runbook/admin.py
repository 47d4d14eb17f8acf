"""Admin classes for the runbook and the backups."""

from __future__ import annotations

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core.admin.base import ReadOnlyAdmin
from governance.core.admin.display import column
from governance.runbook.models import Backup, Runbook
from governance.runbook.services import status


@admin.register(Runbook)
class RunbookAdmin(ReadOnlyAdmin):
    """The runbook, checked again at each view."""

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return obj is None and bool(request.user.has_perm("governance.view_runbook"))

    def changelist_view(self, request: HttpRequest, extra_context: object = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": _("Runbook"),
            "opts": self.opts,
            "runbook": status(timezone.now()),
        }
        return TemplateResponse(request, "admin/governance/runbook/status.html", context)


@admin.register(Backup)
class BackupAdmin(ReadOnlyAdmin):
    """Backups, each read back before it was recorded."""

    list_display = ("at", "file", "size_told", "rows", "actor")
    list_filter = ("at",)
    ordering = ("-at", "-id")
    fields = ("at", "file", "size_told", "rows", "digest", "actor", "correlation_id")

    size_told = column(gettext_lazy("size"), lambda backup: filesizeformat(backup.size), ordering="size")
