"""Admin classes for people, their roles, and groups."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.forms import (
    UnfoldReadOnlyPasswordHashWidget,
    UserChangeForm,
)

from governance.accounts.account_log import Kind, record
from governance.accounts.admin.common import ask, tell_form
from governance.accounts.admin.work import AbsenceInline, WorkProfileInline, _channels, _languages
from governance.accounts.forms import AwayForm, ShiftsForm
from governance.accounts.models import Absence, User
from governance.accounts.querysets import service_clients
from governance.accounts.second_factor import reset_second_factor
from governance.accounts.services import (
    MOST_AT_ONCE,
    REASON_LENGTH,
    mark_away,
    set_active,
    set_role,
    set_shifts,
    show_role,
)
from governance.accounts.wording import ROLE_SAYS, roles_in_words
from governance.core import hooks
from governance.core.actors import Role, owner_key
from governance.core.admin.base import (
    ChoosesRows,
    ReadOnlyAdmin,
    RowForm,
    ShowsRefusals,
    WhyForm,
    by_of,
    reason_field,
)
from governance.core.admin.display import column
from governance.core.errors import Invalid, Refused
from governance.core.moments import moment_in_words

ACCESS = ("role", "is_active")
MOST_CHANGES = 10  # of roles, on a person's page; there is a full list of all
MOST_COUNTED = 100  # open tasks of one person


def _people(queryset: QuerySet[Any]) -> list[User]:
    return list(queryset.order_by("username")[:MOST_AT_ONCE])


def _open_tasks(count: int) -> str:
    if count > MOST_COUNTED:
        return gettext("more than %(count)s open tasks") % {"count": MOST_COUNTED}
    return ngettext("%(count)s open task", "%(count)s open tasks", count) % {"count": count}


class PasswordIsKept(UnfoldReadOnlyPasswordHashWidget):
    """Shows that there is a password, where the theme shows parts of its digest."""

    def get_context(self, name: str, value: object, attrs: dict[str, object] | None) -> dict[str, object]:
        context = super().get_context(name, value, attrs)
        if len(context["summary"]) > 1:
            context["summary"] = [{"label": gettext("set; nobody can read it")}]
        return context


class NewPersonForm(RowForm):
    """A new person. They set their password themselves, with a link; a program sends its token."""

    class Meta:
        model = User
        fields = ("username", "role", "email")


class PersonForm(UserChangeForm):
    """A person, without their password; changing the role or deactivating requires a reason."""

    change_reason = reason_field(
        _("Reason for this change"),
        REASON_LENGTH,
        required=False,
        help_text=_(
            "Needed, in at least 10 characters, when the role changes or the person is switched on "
            "or off. Stored with the change."
        ),
    )

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.access = {name: getattr(self.instance, name) for name in ACCESS}
        if password := self.fields.get("password"):
            password.widget = PasswordIsKept()
            password.help_text = format_html(
                '<a href="../password/" class="text-primary-600 dark:text-primary-500">{}</a>',
                gettext("Create a password link"),
            )


def access_display(role: object, active: bool) -> str:
    return capfirst(str(role)) if active else gettext("%(role)s, not active") % {"role": capfirst(str(role))}


@admin.register(User)
class UserAdmin(ShowsRefusals, ChoosesRows, DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]  # unfold has no types
    """People. Permissions follow from the role alone; nobody is deleted, only deactivated."""

    form = PersonForm
    add_form = NewPersonForm
    list_display = ("username", "full_name", "role", "is_active", "last_login", "works_on")
    list_filter = ("role", "is_active", "last_login")
    list_fullwidth = True
    list_select_related = ("work_profile",)
    search_fields = ("username", "first_name", "last_name", "email")
    search_help_text = _("Username, name or e-mail")
    ordering = ("username",)
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined", "is_superuser", "earlier")
    inlines = (WorkProfileInline, AbsenceInline)
    actions = ["mark_away", "set_shifts", "reset_second_factor"]
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Who"), {"fields": ("first_name", "last_name", "email")}),
        (
            _("Permissions"),
            {
                "fields": ("role", "is_active", "is_superuser", "change_reason", "earlier"),
                "description": _(
                    "The role applies at once, also to the person’s tokens. A deactivated person can "
                    "neither sign in nor use a token. The last active manager cannot be removed."
                ),
            },
        ),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "role", "email"),
                "description": _(
                    "After saving you get a link with which the person sets their own password. A service "
                    "client gets none: issue a token."
                ),
            },
        ),
    )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # setting a superuser's password would be a way to become one
        guarded = obj is not None and obj.is_superuser and not request.user.is_superuser
        return not guarded and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Redirect to the password link, or for oneself to the password page."""
        user = self.get_object(request, unquote(id))
        if user is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, id)
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        if user.pk == request.user.pk:
            return redirect("password")
        return redirect("password_link", pk=user.pk)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        if obj.role == Role.SERVICE:
            return super().response_add(request, obj, post_url_continue)
        return redirect("password_link", pk=obj.pk)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Model], search_term: str) -> Any:
        # users offered by autocomplete on the form for a new token
        if request.GET.get("model_name") == "apitoken":
            queryset = queryset & service_clients()
        return super().get_search_results(request, queryset, search_term)

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: object) -> Any:
        if db_field.name == "role":
            kwargs["help_text"] = roles_in_words()
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def get_inlines(self, request: HttpRequest, obj: object) -> Any:
        return self.inlines if obj is not None else []

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        if obj is None:
            return fields
        # every record names people by it: under another person's name somebody would act as them
        fields = (*fields, "username")
        return (*fields, "role") if obj.pk == request.user.pk else fields

    def get_fieldsets(self, request: HttpRequest, obj: object = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        return [
            (title, {**options, "fields": [name for name in options["fields"] if name != "change_reason"]})
            for title, options in fieldsets
        ]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.set_unusable_password()
            super().save_model(request, obj, form, change)
            show_role(obj)
            record(Kind.CREATED, obj, by=by_of(request), at=timezone.now(), role=obj.role)
            return
        wanted = {name: getattr(obj, name) for name in ACCESS}
        for name, value in form.access.items():
            setattr(obj, name, value)
        super().save_model(request, obj, form, change)
        said: dict[str, Any] = {
            "by": by_of(request),
            "at": timezone.now(),
            "reason": form.cleaned_data.get("change_reason", ""),
        }
        try:
            set_role(obj, wanted["role"], **said)
            set_active(obj, wanted["is_active"], **said)
        except Invalid as wrong:
            raise Invalid({"change_reason": wrong.errors["reason"]}) from wrong

    def save_formset(self, request: HttpRequest, form: object, formset: Any, change: bool) -> None:
        for row in formset.forms:
            if isinstance(row.instance, Absence) and row.instance._state.adding:
                row.instance.marked_by = by_of(request).working_name
        super().save_formset(request, form, formset, change)

    @action(description=_("Mark as off"), permissions=["change"])
    def mark_away(self, request: HttpRequest, queryset: QuerySet[Model]) -> HttpResponse | None:
        form = AwayForm(request.POST if "apply" in request.POST else None)
        people = _people(queryset)
        if form.is_valid():
            given = form.cleaned_data
            try:
                made = mark_away(
                    [user.pk for user in people],
                    given["first"],
                    given["last"],
                    by=by_of(request),
                    at=timezone.now(),
                    reason=given["reason"],
                )
            except Refused as refusal:
                tell_form(form, refusal)
            else:
                text = ngettext(
                    "%(count)s person marked as off.", "%(count)s people marked as off.", len(made)
                )
                messages.success(request, text % {"count": len(made)})
                return None
        counted: dict[str, int] = {}
        for answer in hooks.open_work.ask([owner_key(user.username) for user in people]):
            counted |= answer
        says = [
            gettext(
                "While somebody is off, their due tasks are offered to everybody else. Nothing is "
                "reassigned: tasks that nobody took are theirs again when they return. A task that "
                "they have claimed stays with them until the claim ends."
            )
        ]
        rows = [
            f"{user.username} · {_open_tasks(counted.get(owner_key(user.username), 0))}" for user in people
        ]
        return ask(self, request, form, "mark_away", people, rows, says)

    @action(description=_("Set shifts"), permissions=["change"])
    def set_shifts(self, request: HttpRequest, queryset: QuerySet[Model]) -> HttpResponse | None:
        form = ShiftsForm(request.POST if "apply" in request.POST else None)
        people = _people(queryset)
        if form.is_valid():
            given = form.cleaned_data
            try:
                changed = set_shifts(
                    [user.pk for user in people],
                    form.windows(),
                    by=by_of(request),
                    at=timezone.now(),
                    reason=given["reason"],
                )
            except Refused as refusal:
                tell_form(form, refusal)
            else:
                for user in changed:
                    self.log_change(
                        request, user, gettext("Shifts changed: %(why)s") % {"why": given["reason"]}
                    )
                text = ngettext(
                    "%(count)s person has new shifts.", "%(count)s people have new shifts.", len(changed)
                )
                messages.success(request, text % {"count": len(changed)})
                return None
        says = [
            gettext("These hours replace the shifts that these people have, each in their own time zone.")
        ]
        return ask(self, request, form, "set_shifts", people, [user.username for user in people], says)

    @action(description=_("Reset second factor"), permissions=["change"])
    def reset_second_factor(self, request: HttpRequest, queryset: QuerySet[Model]) -> HttpResponse | None:
        form = WhyForm(request.POST if "apply" in request.POST else None)
        people = _people(queryset)
        if not form.is_valid():
            says = [
                gettext(
                    "Their authenticator application, passkeys and backup codes stop working and what they "
                    "have open is closed. At the next sign-in they set up a second factor again."
                )
            ]
            names = [user.username for user in people]
            return ask(self, request, form, "reset_second_factor", people, names, says)
        by, at, reason = by_of(request), timezone.now(), form.cleaned_data["reason"]
        done = 0
        for user in people:
            try:
                had_one = reset_second_factor(user.username, by=by, at=at, reason=reason)
            except Refused as refusal:
                messages.warning(request, f"{user.username}: {refusal}")
                continue
            if had_one:
                self.log_change(request, user, gettext("Second factor reset: %(why)s") % {"why": reason})
                done += 1
        text = ngettext("%(count)s second factor reset.", "%(count)s second factors reset.", done)
        messages.success(request, text % {"count": done})
        return None

    @admin.display(description=_("role changes"))
    def earlier(self, user: User) -> str:
        changes = user.role_changes.order_by("-changed_at", "-pk")[:MOST_CHANGES]
        lines = (
            (
                moment_in_words(change.changed_at),
                access_display(change.get_role_before_display(), change.active_before),
                access_display(change.get_role_display(), change.active),
                change.changed_by,
                change.reason,
            )
            for change in changes
        )
        return format_html_join("", "<p>{}: {} → {} · {} · {}</p>", lines) or gettext("none yet")

    full_name = column(_("name"), "get_full_name", ordering="last_name")

    @admin.display(description=_("works on"))
    def works_on(self, user: User) -> str:
        profile = getattr(user, "work_profile", None)
        if profile is None:
            return str(_("everything"))
        told = [*profile.provinces, *_channels(profile), *_languages(profile)]
        return ", ".join(told) or str(_("everything"))


admin.site.unregister(Group)
# their pages show secrets and backup codes
admin.site.unregister(TOTPDevice)
admin.site.unregister(StaticDevice)


@admin.register(Group)
class GroupAdmin(ReadOnlyAdmin):
    """Roles as Django's groups, for viewing: the program decides what a role may do."""

    list_display = ("called", "people")
    ordering = ("name",)
    fields = ("called", "may", "people")

    @admin.display(description=_("role"), ordering="name")
    def called(self, group: Group) -> str:
        return capfirst(str(Role(group.name).label)) if group.name in Role else group.name

    may = column(
        _("permissions"), lambda group: str(ROLE_SAYS[Role(group.name)]) if group.name in Role else "–"
    )
    people = column(_("people"), lambda group: group.user_set.count())
