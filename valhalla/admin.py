"""Admin classes for models of third-party packages."""

from __future__ import annotations

from axes.models import AccessAttempt
from django.contrib import admin

from governance.core.admin.base import ReadOnlyAdmin


@admin.register(AccessAttempt)
class WrongPasswordAdmin(ReadOnlyAdmin):
    """Wrong passwords of the last minutes; five lock a name at an address for 15 minutes."""

    list_display = ("username", "ip_address", "failures_since_start", "attempt_time")
    search_fields = ("username", "ip_address")
    ordering = ("-pk",)
    fields = ("username", "ip_address", "user_agent", "failures_since_start", "attempt_time")
