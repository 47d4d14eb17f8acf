"""Admin classes for the history of accounts."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from governance.accounts.admin.users import access_display
from governance.accounts.models import AccountChange, RoleChange
from governance.core.admin.base import (
    ReadOnlyAdmin,
)
from governance.core.admin.display import column


@admin.register(AccountChange)
class AccountChangeAdmin(ReadOnlyAdmin):
    """The log of account changes. Append-only: nobody changes or deletes rows."""

    list_display = ("at", "actor", "kind", "person", "role_display", "concerned_token")
    list_filter = ("kind", "at")
    search_fields = ("person__startswith", "actor__startswith", "concerned_token__exact")
    search_help_text = _("Username of the person or of who acted, or a token id")
    ordering = ("-at", "-pk")
    fields = (*list_display, "correlation_id", "token_id")
    nothing_yet = _("Changes to roles, passwords, tokens and second factors appear here.")

    @admin.display(description=_("role"))
    def role_display(self, change: AccountChange) -> str:
        roles = [change.get_role_before_display(), change.get_role_display()]
        return " → ".join(str(role) for role in roles if role) or "–"


@admin.register(RoleChange)
class RoleChangeAdmin(ReadOnlyAdmin):
    """The log of role changes."""

    list_display = ("changed_at", "user", "was", "became", "changed_by", "reason")
    list_filter = ("role", "changed_at")
    list_select_related = ("user",)
    search_fields = ("user__username", "changed_by")
    search_help_text = _("Username of the person, or of who changed it")
    ordering = ("-changed_at", "-pk")
    fields = (*list_display, "correlation_id")

    @admin.display(description=_("before"))
    def was(self, change: RoleChange) -> str:
        return access_display(change.get_role_before_display(), change.active_before)

    became = column(_("afterwards"), lambda change: access_display(change.get_role_display(), change.active))
