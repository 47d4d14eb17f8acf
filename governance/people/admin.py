"""People, their work and their programs' tokens on the managers' screens."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AutocompleteSelect
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.decorators import action
from unfold.forms import (
    AdminPasswordChangeForm,
    UnfoldReadOnlyPasswordHashWidget,
    UserChangeForm,
    UserCreationForm,
)
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
)

from governance import hooks
from governance.actors import Role, owner_key
from governance.admin_base import (
    ChoosesRows,
    FewRows,
    NamedCells,
    ReadOnlyAdmin,
    ServiceAdmin,
    WhyForm,
    ask_why,
    by_of,
)
from governance.errors import Refused
from governance.hours import read_windows, typed_week, week_windows, write_day
from governance.people.forms import AwayForm, ShiftsForm
from governance.people.models import Absence, ApiToken, SignIn, User, WorkProfile
from governance.people.rules import SCOPES
from governance.people.second_factor import reset_second_factor
from governance.people.services import (
    MANAGE,
    MAX_DAYS,
    MOST_AT_ONCE,
    issue_token,
    mark_away,
    revoke_token,
    set_shifts,
    show_role,
)
from governance.people.sign_ins import end_everything, end_sessions, signed_in
from governance.people.wording import ROLE_SAYS, ago, device_in_words, roles_in_words, week_in_words
from governance.places import CANADIAN_ZONES, Province
from governance.week_field import WeekField

MOST_COUNTED = 100  # open tasks of one person


CHANNEL_NAMES = [("SMS", _("text message")), ("CALL", _("call")), ("EMAIL", _("e-mail"))]
LANGUAGE_NAMES = [("en", _("English")), ("fr", _("French"))]


def _channels(profile: WorkProfile) -> list[str]:
    return [str(name) for code, name in CHANNEL_NAMES if code in profile.channels]


def _languages(profile: WorkProfile) -> list[str]:
    return [str(name) for code, name in LANGUAGE_NAMES if code in profile.languages]


class PersonSelect(AutocompleteSelect):
    """A person, found by typing; what is no id at all is refused by the form instead of asked for."""

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        ids = [one for one in value if str(one).isascii() and str(one).isdecimal() and len(str(one)) < 19]
        return super().optgroups(name, ids, attr)


class FindsPerson(ChoosesRows):
    """A screen whose `user` is found by typing."""

    autocomplete_fields = ("user",)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "user":
            kwargs["widget"] = PersonSelect(db_field, self.admin_site)
            kwargs["label"] = _("Person")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class WorkProfileForm(forms.ModelForm):  # type: ignore[type-arg]  # no subscript at run time
    """What a person works on and when."""

    provinces = forms.MultipleChoiceField(
        label=_("Provinces"), choices=Province.choices, required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("None ticked: all."),
    )  # fmt: skip
    channels = forms.MultipleChoiceField(
        label=_("Channels"), choices=CHANNEL_NAMES, required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget, help_text=_("None ticked: all."),
    )  # fmt: skip
    languages = forms.MultipleChoiceField(
        label=_("Languages"), choices=LANGUAGE_NAMES, required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget, help_text=_("None ticked: all."),
    )  # fmt: skip
    zone = forms.ChoiceField(
        label=_("Time zone"), choices=[(zone, zone) for zone in CANADIAN_ZONES],
        widget=UnfoldAdminSelectWidget,
        initial="America/Toronto",
    )  # fmt: skip
    shifts = WeekField(
        label=_("Shifts"), required=False,
        help_text=_(
            "In her own time zone, such as 9:00–12:00, 13:00–17:00; nothing typed is no shift. A night goes "
            "to 24:00 and begins again at 0:00 of the next day. Without any shift every hour is one."
        ),
    )  # fmt: skip

    class Media:
        css: ClassVar[Any] = {"all": ("policies.css",)}

    class Meta:
        model = WorkProfile
        fields = ("provinces", "channels", "languages", "zone", "shifts")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["shifts"] = typed_week(read_windows(self.instance.shifts))

    def clean_shifts(self) -> list[dict[str, Any]]:
        """Return the week as it is kept; hours that did not change keep the windows they are in."""
        week, kept = self.cleaned_data["shifts"], self.instance.shifts
        if [write_day(spans) for spans in week] == typed_week(read_windows(kept)):
            return list(kept)
        return [window.as_json() for window in week_windows(week)]


class TellsProfile:
    """A screen of work profiles, in words for those who only look."""

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if self.has_change_permission(request, obj):  # type: ignore[attr-defined]  # an admin's
            return WorkProfileForm.Meta.fields
        return ("provinces_told", "channels_told", "languages_told", "zone", "week")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("provinces_told", "channels_told", "languages_told", "week")

    @admin.display(description=_("provinces"))
    def provinces_told(self, profile: WorkProfile) -> str:
        return ", ".join(profile.provinces) or str(_("all"))

    @admin.display(description=_("channels"))
    def channels_told(self, profile: WorkProfile) -> str:
        return ", ".join(_channels(profile)) or str(_("all"))

    @admin.display(description=_("languages"))
    def languages_told(self, profile: WorkProfile) -> str:
        return ", ".join(_languages(profile)) or str(_("all"))

    @admin.display(description=_("shifts"))
    def week(self, profile: WorkProfile) -> str:
        return week_in_words(read_windows(profile.shifts)) or gettext("every hour")


class WorkProfileInline(FewRows, TellsProfile, StackedInline):  # type: ignore[misc]  # unfold has no types
    """The work profile on a person's screen."""

    model = WorkProfile
    form = WorkProfileForm
    can_delete = False
    extra = 0
    max_num = most_rows = 1


class AbsenceInline(FewRows, NamedCells, TabularInline):  # type: ignore[misc]  # unfold has no types
    """A person's absences on her screen."""

    model = Absence
    fields = ("starts_at", "ends_at", "reason")
    ordering = ("-starts_at",)
    extra = 0


def _people(queryset: QuerySet[Any]) -> list[User]:
    return list(queryset.order_by("username")[:MOST_AT_ONCE])


def _open_tasks(count: int) -> str:
    if count > MOST_COUNTED:
        return gettext("more than %(count)s open tasks") % {"count": MOST_COUNTED}
    return ngettext("%(count)s open task", "%(count)s open tasks", count) % {"count": count}


def tell_form(form: forms.Form, refusal: Refused) -> None:
    """Show a refusal beside the fields it names, else beside the reason."""
    told = {name: said for name, said in refusal.errors.items() if name in form.fields}
    for name, said in (told or {"reason": [refusal.message]}).items():
        form.add_error(name, [str(sentence) for sentence in said])


def ask(
    screen: ModelAdmin,
    request: HttpRequest,
    form: forms.Form,
    name: str,
    chosen: list[Any],
    rows: list[str],
    says: list[str],
) -> HttpResponse:
    """Show the form between the choice of rows and the action."""
    title = getattr(screen, name).short_description
    return ask_why(
        screen, request, form, name, title, chosen=[row.pk for row in chosen], rows=rows, says=says
    )


class PasswordIsKept(UnfoldReadOnlyPasswordHashWidget):  # type: ignore[misc]  # unfold has no types
    """Says that there is a password, where the theme shows parts of its digest."""

    def get_context(self, name: str, value: Any, attrs: Any) -> Any:
        context = super().get_context(name, value, attrs)
        if len(context["summary"]) > 1:
            context["summary"] = [{"label": gettext("set; nobody can read it")}]
        return context


class NewPersonForm(UserCreationForm):  # type: ignore[misc]  # unfold has no types
    """A new person, who has a password unless she is a program."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["usable_password"].help_text = gettext("Disabled for a program, which sends its token.")


class PersonForm(UserChangeForm):  # type: ignore[misc]  # unfold has no types
    """A person, with her password named and not shown."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if password := self.fields.get("password"):
            password.widget = PasswordIsKept()
            password.help_text = format_html(
                '<a href="../password/" class="text-primary-600 dark:text-primary-500">{}</a>',
                gettext("Set another password"),
            )


@admin.register(User)
class UserAdmin(ChoosesRows, DjangoUserAdmin, ModelAdmin):  # type: ignore[misc,type-arg]  # unfold has no types
    """People. The role alone says what somebody may do; nobody is deleted, only switched off."""

    form = PersonForm
    add_form = NewPersonForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "full_name", "role", "is_active", "last_login", "works_on")
    list_filter = ("role", "is_active", "last_login")
    list_fullwidth = True
    list_select_related = ("work_profile",)
    search_fields = ("username", "first_name", "last_name", "email")
    search_help_text = _("Username, name or e-mail")
    ordering = ("username",)
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined", "is_superuser")
    inlines: ClassVar[Any] = [WorkProfileInline, AbsenceInline]
    actions = ["mark_away", "set_shifts", "reset_second_factor"]
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Who"), {"fields": ("first_name", "last_name", "email")}),
        (
            _("What she may do"),
            {
                "fields": ("role", "is_active", "is_superuser"),
                "description": _(
                    "The role holds at once, also for her tokens. Switched off she can neither sign "
                    "in nor use a token."
                ),
            },
        ),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )  # fmt: skip
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "role", "email", "usable_password", "password1", "password2"),
            },
        ),
    )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # whoever sets a superuser's password is one
        guarded = obj is not None and obj.is_superuser and not request.user.is_superuser
        return not guarded and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "role":
            kwargs["help_text"] = roles_in_words()
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj is not None else []

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        show_role(obj)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        for row in formset.forms:
            if isinstance(row.instance, Absence) and row.instance._state.adding:
                row.instance.marked_by = by_of(request).working_name
        super().save_formset(request, form, formset, change)

    @action(description=_("Mark away"), permissions=["change"])
    def mark_away(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        form = AwayForm(request.POST if "apply" in request.POST else None)
        people = _people(queryset)
        if form.is_valid():
            given = form.cleaned_data
            try:
                made = mark_away(
                    [user.pk for user in people], given["first"], given["last"],
                    by=by_of(request), at=timezone.now(), reason=given["reason"],
                )  # fmt: skip
            except Refused as refusal:
                tell_form(form, refusal)
            else:
                text = ngettext("%(count)s person marked away.", "%(count)s people marked away.", len(made))
                messages.success(request, text % {"count": len(made)})
                return None
        counted: dict[str, int] = {}
        for answer in hooks.open_work.ask([owner_key(user.username) for user in people]):
            counted |= answer
        says = [
            gettext(
                "While somebody is away, her tasks that come due are offered to everybody else. They stay "
                "hers: nothing is reassigned, and what nobody took is hers again when she is back. A task "
                "that she has claimed stays with her until the claim ends."
            )
        ]
        rows = [
            f"{user.username} · {_open_tasks(counted.get(owner_key(user.username), 0))}" for user in people
        ]
        return ask(self, request, form, "mark_away", people, rows, says)

    @action(description=_("Set shifts"), permissions=["change"])
    def set_shifts(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        form = ShiftsForm(request.POST if "apply" in request.POST else None)
        people = _people(queryset)
        if form.is_valid():
            given = form.cleaned_data
            try:
                changed = set_shifts(
                    [user.pk for user in people], form.windows(),
                    by=by_of(request), at=timezone.now(), reason=given["reason"],
                )  # fmt: skip
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
        says = [gettext("These hours take the place of the shifts they have, each in her own time zone.")]
        return ask(self, request, form, "set_shifts", people, [user.username for user in people], says)

    @action(description=_("Reset second factor"), permissions=["change"])
    def reset_second_factor(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        form = WhyForm(request.POST if "apply" in request.POST else None)
        people = _people(queryset)
        if not form.is_valid():
            says = [
                gettext(
                    "Their authenticator and backup codes stop working and what they have open is closed. "
                    "At the next login they set up a new one."
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

    @admin.display(description=_("name"), ordering="last_name")
    def full_name(self, user: User) -> str:
        return user.get_full_name()

    @admin.display(description=_("works on"))
    def works_on(self, user: User) -> str:
        profile = getattr(user, "work_profile", None)
        if profile is None:
            return str(_("everything"))
        told = [*profile.provinces, *_channels(profile), *_languages(profile)]
        return ", ".join(told) or str(_("everything"))


@admin.register(WorkProfile)
class WorkProfileAdmin(TellsProfile, ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Who works on what, side by side; a profile is made on its person's screen."""

    form = WorkProfileForm
    list_display = ("user", "provinces_told", "channels_told", "languages_told", "zone", "week")
    list_filter = ("zone",)
    list_select_related = ("user",)
    search_fields = ("user__username",)
    ordering = ("user__username",)
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Absence)
class AbsenceAdmin(FindsPerson):
    """Who is away when; meanwhile her due tasks are offered to the others."""

    list_display = ("user", "starts_at", "ends_at", "reason", "marked_by")
    list_filter = ("starts_at", "ends_at")
    list_select_related = ("user",)
    search_fields = ("user__username",)
    ordering = ("-starts_at",)
    fields = ("user", "starts_at", "ends_at", "reason")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.marked_by = by_of(request).working_name
        super().save_model(request, obj, form, change)


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]  # no subscript at run time
    """What a new token is for."""

    scopes = forms.MultipleChoiceField(
        label=_("Scopes"), choices=[(scope, scope) for scope in SCOPES], required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_(
            "policy: a service client may also change policies. Any of the others narrows it to "
            "those parts."
        ),
    )  # fmt: skip
    days = forms.IntegerField(
        label=_("Days"),
        min_value=1,
        max_value=MAX_DAYS,
        initial=MAX_DAYS,
        widget=UnfoldAdminIntegerFieldWidget,
    )

    class Meta:
        model = ApiToken
        fields = ("user", "label", "scopes", "calls_per_minute")


@admin.register(ApiToken)
class ApiTokenAdmin(FindsPerson, ServiceAdmin):
    """Programs' tokens. The secret is shown once, when it is issued; later a token can only be revoked."""

    form = TokenForm
    list_display = (
        "label", "person", "begins_with", "scopes_told", "calls_per_minute", "issued", "ends", "last_used",
        "revoked_at", "revoked_by", "revoke_reason",
    )  # fmt: skip
    list_display_links = None
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "expiry", "last_used_at")
    list_select_related = ("user",)
    search_fields = ("label", "user__username")
    ordering = ("-created",)
    actions: ClassVar[Any] = ["revoke"]
    fieldsets = (
        (
            None,
            {
                "fields": ("user", "label", "scopes", "days", "calls_per_minute"),
                "description": _(
                    "At a rotation issue the new one first, put it in place, then revoke the old one."
                ),
            },
        ),
    )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and super().has_change_permission(request, obj)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        # after saving there is the page that shows the secret once, and nothing else
        context |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().render_change_form(request, context, *args, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return super().get_fieldsets(request, obj)
        fields = (
            "person",
            "label",
            "begins_with",
            "calls_per_minute",
            "issued",
            "ends",
            "last_used",
            "revoked_at",
            "revoked_by",
            "revoke_reason",
        )
        return ((None, {"fields": fields}),)

    def serve(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> ApiToken:
        issued = issue_token(
            obj.user.username,
            scopes=form.cleaned_data["scopes"],
            days=form.cleaned_data["days"],
            label=obj.label,
        )
        issued.token.calls_per_minute = obj.calls_per_minute
        issued.token.save(update_fields=["calls_per_minute"])
        request.issued = issued  # type: ignore[attr-defined]  # shown by response_add
        return issued.token

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        issued = request.issued  # type: ignore[attr-defined]  # set by serve
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Token issued"),
            "text": issued.text,
            "token": issued.token,
        }
        response = TemplateResponse(request, "admin/governance/apitoken/issued.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "user" and not request.user.is_superuser:
            kwargs["queryset"] = User.objects.filter(is_superuser=False)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @action(description=_("Revoke selected tokens"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        form = WhyForm(request.POST if "apply" in request.POST else None)
        tokens = list(queryset.order_by("pk")[:MOST_AT_ONCE])
        if not form.is_valid():
            says = [
                gettext("Calls with these tokens are refused from the next one on. There is no way back.")
            ]
            return ask(self, request, form, "revoke", tokens, [str(token) for token in tokens], says)
        by, at, reason = by_of(request), timezone.now(), form.cleaned_data["reason"]
        ended = sum(revoke_token(token, by=by, at=at, reason=reason) for token in tokens)
        text = ngettext("%(count)s token revoked.", "%(count)s tokens revoked.", ended)
        self.message_user(request, text % {"count": ended})
        return None

    @admin.display(description=_("person"), ordering="user__username")
    def person(self, token: ApiToken) -> str:
        return str(token.user)

    @admin.display(description=_("issued"), ordering="created")
    def issued(self, token: ApiToken) -> Any:
        return token.created

    @admin.display(description=_("ends"), ordering="expiry")
    def ends(self, token: ApiToken) -> Any:
        return token.expiry

    @admin.display(description=_("last used"), ordering="last_used_at")
    def last_used(self, token: ApiToken) -> str:
        return gettext("never") if token.last_used_at is None else ago(token.last_used_at)

    @admin.display(description=_("begins with"))
    def begins_with(self, token: ApiToken) -> str:
        return f"{token.token_key[:6]}…"

    @admin.display(description=_("scopes"))
    def scopes_told(self, token: ApiToken) -> str:
        return ", ".join(token.scopes) or "–"


class StateFilter(admin.SimpleListFilter):
    """Who is signed in now, unless something else is asked for."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [("ended", _("ended")), ("all", _("all"))]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        return [{**first, "display": _("signed in")}, *others]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "all":
            return queryset
        now = signed_in(timezone.now()).values("pk")
        return queryset.exclude(pk__in=now) if self.value() == "ended" else queryset.filter(pk__in=now)


@admin.register(SignIn)
class SignInAdmin(ReadOnlyAdmin):
    """Who is signed in, from where and with what. An ended session's next request goes to the login."""

    list_display = (
        "user", "role", "device", "address", "started_at", "last_seen", "code_given", "state",
    )  # fmt: skip
    list_filter = (StateFilter, "user__role", "second_factor")
    list_select_related = ("user",)
    search_fields = ("user__username", "address")
    search_help_text = _("Username or address")
    ordering = ("-seen_at",)
    actions = ["end", "end_everything"]  # type: ignore[assignment]  # the base has none
    fields = (
        "user", "role", "device", "address", "started_at", "seen_at", "code_given", "ended_at",
        "ended_because", "ended_by", "end_reason",
    )  # fmt: skip
    readonly_fields = ("role", "device", "code_given")

    def has_end_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(MANAGE)

    @action(description=_("End these sessions"), permissions=["end"])
    def end(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        rows = list(queryset.filter(ended_at=None).order_by("user__username", "pk")[:MOST_AT_ONCE])
        told = [f"{row.user.username} · {device_in_words(row.browser, row.system)}" for row in rows]
        return self._ask_and_end(request, "end", rows, told)

    @action(description=_("End all sessions of these people"), permissions=["end"])
    def end_everything(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        rows = list(queryset.order_by("user__username", "pk")[:MOST_AT_ONCE])
        return self._ask_and_end(
            request, "end_everything", rows, list(dict.fromkeys(row.user.username for row in rows))
        )

    def _ask_and_end(
        self, request: HttpRequest, name: str, rows: list[SignIn], told: list[str]
    ) -> HttpResponse | None:
        form = WhyForm(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            says = [
                gettext(
                    "Their next request goes to the login. Whoever knows the password can sign in again: "
                    "to keep somebody out, change the password or switch the person off."
                )
            ]
            return ask(self, request, form, name, rows, told, says)
        by, at, reason = by_of(request), timezone.now(), form.cleaned_data["reason"]
        if name == "end":
            ended = end_sessions([row.pk for row in rows], by=by, at=at, reason=reason)
        else:
            ended = end_everything([row.user_id for row in rows], by=by, at=at, reason=reason)
        for user in {row.user_id: row.user for row in ended}.values():
            self.log_change(request, user, gettext("Sessions ended: %(why)s") % {"why": reason})
        text = ngettext("%(count)s session ended.", "%(count)s sessions ended.", len(ended))
        messages.success(request, text % {"count": len(ended)})
        return None

    @admin.display(description=_("role"), ordering="user__role")
    def role(self, row: SignIn) -> str:
        return str(row.user.get_role_display())

    @admin.display(description=_("device"))
    def device(self, row: SignIn) -> str:
        return device_in_words(row.browser, row.system)

    @admin.display(description=_("with a code"), ordering="second_factor")
    def code_given(self, row: SignIn) -> str:
        return gettext("yes") if row.second_factor else gettext("no")

    @admin.display(description=_("last seen"), ordering="seen_at")
    def last_seen(self, row: SignIn) -> str:
        return ago(row.seen_at)

    @admin.display(description=_("state"))
    def state(self, row: SignIn) -> str:
        if row.ended_at is None:
            return gettext("open")
        told = [row.get_ended_because_display(), row.ended_by, row.end_reason]
        return " · ".join(text for text in told if text)


admin.site.unregister(Group)
# their screens show secrets and backup codes
admin.site.unregister(TOTPDevice)
admin.site.unregister(StaticDevice)


@admin.register(Group)
class GroupAdmin(ReadOnlyAdmin):
    """Roles as Django's groups, to look at: what a role may do is decided in the program."""

    list_display = ("called", "people")
    ordering = ("name",)
    fields = ("called", "may", "people")

    @admin.display(description=_("role"), ordering="name")
    def called(self, group: Group) -> str:
        return capfirst(str(Role(group.name).label)) if group.name in Role else group.name

    @admin.display(description=_("may do"))
    def may(self, group: Group) -> str:
        return str(ROLE_SAYS[Role(group.name)]) if group.name in Role else "–"

    @admin.display(description=_("people"))
    def people(self, group: Group) -> int:
        return group.user_set.count()
