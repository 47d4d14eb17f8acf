"""Fresh authentication: which actions in a browser need a password, code or passkey entered recently.

ACTIONS is the whole table. Actions that are not in it never ask: a VA's work, engaging the kill switch. A
bearer token is checked by its scopes instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.signals import user_logged_in
from django.core import signing
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import get_authorization_header

from governance.accounts import security_log
from governance.accounts.lockout import typed_name
from governance.accounts.proof import LONGEST_PASSWORD, proofs_of, prove
from governance.accounts.second_factor import reset_second_factor
from governance.accounts.second_step import device_of
from governance.accounts.services import MANAGE
from governance.accounts.webauthn import are_possible
from governance.core.client_address import client_address
from governance.core.errors import Refused, Unavailable
from governance.core.http import is_api
from governance.core.rest.problems import problem_http
from governance.golive.services import set_go_live
from governance.models import User
from governance.retention.erasing import erase_person
from governance.risk.services import upsert_policy

RECENT = int(timedelta(minutes=30).total_seconds())  # since the proof, or since it last let something through
AT_MOST = int(timedelta(hours=2).total_seconds())  # since the proof
PASS = int(timedelta(minutes=10).total_seconds())  # between the proof for a page and the action on it
# In the session, in seconds: when the person proved who they are, and when that last let something through;
# and for which actions, which ask every time, a proof was given ahead of their page.
GIVEN, USED, PASSES = "fresh_given", "fresh_used", "fresh_passes"
# Form fields: the password or code, or the passkey, and the form that waits for it.
PROOF, PASSKEY, KEPT = "confirm_proof", "passkey", "confirm_kept"
SALT = "valhalla.fresh"


@dataclass(frozen=True, slots=True)
class Action:
    """An action that needs fresh authentication.

    `matches` says whether a request to one of the views (or of the screens, for an action that many have)
    performs it; `allowed` whether the person has the permission: nobody else is asked, the view refuses them.
    `asks_ahead` also asks before the page is shown, for input that cannot wait: a file, a code.
    """

    name: str
    label: object
    matches: Callable[[HttpRequest], bool]
    allowed: Callable[[HttpRequest], bool]
    views: tuple[str, ...] = ()
    screens: str = ""  # the end of the view's name, on any admin screen
    every_time: bool = False
    asks_ahead: bool = False


def _always(request: HttpRequest) -> bool:
    return True


def _saves(request: HttpRequest) -> bool:
    """Return whether a form is saved: while somebody types, its draft is posted too."""
    return not {"_draw", "_foresee"} & set(request.POST)


def _applies(*names: str) -> Callable[[HttpRequest], bool]:
    """Match an action of a list once its own form was sent; choosing the rows does nothing yet."""
    return lambda request: "apply" in request.POST and bool(set(names) & set(request.POST.getlist("action")))


def _turns(request: HttpRequest) -> bool:
    return request.POST.get("turn") in {"release", "enable", "disable"}


def _changes_access(request: HttpRequest) -> bool:
    """Return whether a person's form sets another role, or activates or deactivates them.

    The person is looked up in the same way as by their admin page, which also accepts an id with spaces
    around it. If nobody is found, the answer is yes, so that confirmation is asked for whatever only the
    admin page can read.
    """
    found = request.resolver_match
    screen: Any = admin.site.get_model_admin(User)
    before = screen.get_object(request, unquote(str(found.kwargs.get("object_id", "")))) if found else None
    if before is None:
        return True
    active = forms.CheckboxInput().value_from_datadict(request.POST, request.FILES, "is_active")
    return bool(request.POST.get("role", before.role) != before.role or active != before.is_active)


def _right(name: str) -> Callable[[HttpRequest], bool]:
    return lambda request: bool(request.user.has_perm(name))


def _transfers(request: HttpRequest) -> bool:
    """Return whether the person may export the rows of the screen."""
    name = request.resolver_match.view_name if request.resolver_match else ""
    return any(
        name == f"admin:{screen.opts.app_label}_{screen.opts.model_name}_export_rows"
        and getattr(screen, "has_transfer_permission")(request)  # noqa: B009  # of the screens that have rows
        for screen in admin.site._registry.values()
    )


def _enrols(request: HttpRequest) -> bool:
    """Return whether the person is signed in and has no authenticator app yet."""
    return device_of(request.user) is None


def _changes_passkey(request: HttpRequest) -> bool:
    return bool({"rename", "remove"} & set(request.POST))


_PEOPLE = "admin:governance_user"
_TOKENS = "admin:governance_apitoken"
_CAPS = "admin:governance_riskpolicy"
EDIT_CAPS = upsert_policy.right

ACTIONS: tuple[Action, ...] = (
    Action("export", _("Export of records"), _always, _transfers, screens="_export_rows"),
    Action(
        "switches", _("Go-live and release of the kill switch"), _turns, _right(set_go_live.right),
        views=("admin:governance_golivestate_change",),
    ),
    Action(
        "switches_api", _("Go-live and release of the kill switch"), _always, _right(set_go_live.right),
        views=("go-live-enable", "go-live-disable", "kill-switch-release"),
    ),
    Action(
        "caps", _("Risk policies"), _saves, _right(EDIT_CAPS),
        views=(f"{_CAPS}_add", f"{_CAPS}_change"),
    ),
    Action("caps_restore", _("Risk policies"), _always, _right(EDIT_CAPS), views=(f"{_CAPS}_restore",)),
    Action(
        "caps_list", _("Risk policies"), _applies("switch_on", "switch_off"), _right(EDIT_CAPS),
        views=(f"{_CAPS}_changelist",),
    ),
    Action(
        "caps_import", _("Risk policies"), _always, _right(EDIT_CAPS), views=(f"{_CAPS}_import_rows",),
        asks_ahead=True,
    ),
    Action(
        "caps_api", _("Risk policies"), _always, _right(EDIT_CAPS), views=("risk-policy-upsert",),
    ),
    Action(
        "enrol", _("Second factor"), _always, _enrols, views=("second_factor_new",), every_time=True,
        asks_ahead=True,
    ),
    Action(
        "passkey_new", _("New passkey"), _always, are_possible, views=("passkey_new",), every_time=True,
        asks_ahead=True,
    ),
    Action(
        "passkey", _("Passkey"), _changes_passkey, _always, views=("second_factors",), every_time=True,
    ),
    Action(
        "second_factor", _("Second factor"), _applies("reset_second_factor"),
        _right(reset_second_factor.right),
        views=(f"{_PEOPLE}_changelist",), every_time=True,
    ),
    Action(
        "token", _("Token"), _always, _right(MANAGE), views=(f"{_TOKENS}_add",), every_time=True,
    ),
    Action(
        "token_revoke", _("Token"), _applies("revoke"), _right(MANAGE), views=(f"{_TOKENS}_changelist",),
        every_time=True,
    ),
    Action(
        "person", _("Account and role"), _always, _right(MANAGE),
        views=(f"{_PEOPLE}_add", "password_link"), every_time=True,
    ),
    Action(
        "role", _("Account and role"), _changes_access, _right(MANAGE), views=(f"{_PEOPLE}_change",),
        every_time=True,
    ),
    Action(
        "erase", _("Deletion of personal information"), _always, _right(erase_person.right), screens="_erase",
        every_time=True,
    ),
)  # fmt: skip
_OF_VIEW = {view: action for action in ACTIONS for view in action.views}
_OF_SCREENS = {action.screens: action for action in ACTIONS if action.screens}


def action_of(view: str) -> Action | None:
    """Return the action in the table that matches this view."""
    found = _OF_VIEW.get(view)
    if found is None and view.startswith("admin:"):
        found = next((action for end, action in _OF_SCREENS.items() if view.endswith(end)), None)
    return found


# --- what the session remembers -----------------------------------------------------------------------------


@receiver(user_logged_in)
def note_sign_in(sender: object, request: HttpRequest, **kwargs: object) -> None:
    note_proof(request)


def note_proof(request: HttpRequest) -> None:
    """Remember that the person proved just now who they are. Proofs given for a page are used up."""
    request.session[GIVEN] = request.session[USED] = int(time.time())
    request.session.pop(PASSES, None)


def use_up(request: HttpRequest) -> None:
    """Forget the proof given for an action's page: it was used, and the next time asks again."""
    request.session.pop(PASSES, None)


def is_fresh(request: HttpRequest) -> bool:
    """Return whether a proof was given or used within 30 minutes, and given within 2 hours."""
    now = time.time()
    given, used = request.session.get(GIVEN), request.session.get(USED)
    return given is not None and used is not None and now - used < RECENT and now - given < AT_MOST


def _passed(request: HttpRequest, action: Action) -> bool:
    if action.every_time:
        passed = request.session.get(PASSES, {}).get(action.name)
        return action.asks_ahead and passed is not None and time.time() - passed < PASS
    if not is_fresh(request):
        return False
    request.session[USED] = int(time.time())
    return True


def _confirmed(request: HttpRequest, action: Action) -> None:
    note_proof(request)
    request.session.cycle_key()
    if action.every_time and action.asks_ahead:
        request.session[PASSES] = {action.name: int(time.time())}
    username = request.user.get_username()
    security_log.note("confirmed", request, user=username, user_id=request.user.pk, action=action.name)
    name = typed_name(request, {"username": username})
    AxesProxyHandler.reset_attempts(username=name, ip_address=client_address(request))


# --- asking -------------------------------------------------------------------------------------------------


class FreshAuthentication:
    """Asks for password, code or passkey before an action of the table; the input waits in the page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: object, args: object, kwargs: object
    ) -> HttpResponse | None:
        found = request.resolver_match
        action = action_of(found.view_name) if found else None
        if action is None or not request.user.is_authenticated:
            return None
        if is_api(request):
            return _answer_api(request, action)
        if request.method not in ("GET", "HEAD", "POST") or not action.allowed(request):
            return None
        if request.method == "POST" and PROOF in request.POST:
            return _confirm(request, action)
        sent = request.method == "POST"
        if not (action.matches(request) if sent else action.asks_ahead) or _passed(request, action):
            return None
        kept = _keep(request) if sent and not request.FILES else ""
        return _ask(request, action, kept)


def _answer_api(request: HttpRequest, action: Action) -> HttpResponse | None:
    header = get_authorization_header(request).split()  # type: ignore[arg-type]  # reads META alone
    by_token = bool(header) and header[0].lower() in {b"bearer", b"token"}
    if by_token or request.method != "POST" or not action.allowed(request) or _passed(request, action):
        return None
    detail = gettext(
        "This needs your password, code or passkey within the last 30 minutes. Sign in again, then repeat it."
    )
    return problem_http(request, 403, "fresh_authentication_required", detail)


def _confirm(request: HttpRequest, action: Action) -> HttpResponse | None:
    """Check the proof; if it is right, process the waiting form as if it had arrived now."""
    kept = request.POST.get(KEPT, "")
    waited = _kept(request, kept)
    if waited is None:
        messages.error(request, gettext("The page is too old. Nothing was done: fill in the form again."))
        return HttpResponseRedirect(request.get_full_path())
    request.sensitive_post_parameters = "__ALL__"  # type: ignore[attr-defined]  # read by error reports
    user: Any = request.user
    try:
        prove(request, user, request.POST[PROOF][:LONGEST_PASSWORD], request.POST.get(PASSKEY, ""))
    except Refused as refusal:
        return _ask(request, action, kept, refusal=refusal)
    _confirmed(request, action)
    if not waited:
        return HttpResponseRedirect(request.get_full_path())
    request.POST = waited  # type: ignore[assignment]  # what follows reads the form that waited
    return None


def _keep(request: HttpRequest) -> str:
    """Return the form as it waits in the page: signed, for this person and this URL only."""
    fields = [
        [name, values] for name, values in request.POST.lists() if name not in (KEPT, "csrfmiddlewaretoken")
    ]
    form = [request.user.pk, request.get_full_path(), fields]
    return signing.dumps(form, salt=SALT, compress=True)


def _kept(request: HttpRequest, kept: str) -> QueryDict | None:
    """Return the waiting form, empty if there was none; None if it is somebody else's, or too old."""
    waited = QueryDict(mutable=True)
    if kept:
        try:
            user, place, fields = signing.loads(kept, salt=SALT, max_age=AT_MOST)
        except (signing.BadSignature, TypeError, ValueError):
            return None
        if (user, place) != (request.user.pk, request.get_full_path()):
            return None
        for name, values in fields:
            waited.setlist(name, values)
    waited._mutable = False
    return waited


def _ask(request: HttpRequest, action: Action, kept: str, *, refusal: Refused | None = None) -> HttpResponse:
    lost = request.method == "POST" and bool(request.FILES)
    context = {
        "action": action,
        "kept": kept,
        "lost": lost,
        "wrong": str(refusal or ""),
        **proofs_of(request),
        "place": request.get_full_path(),
        "back": "/" if action.asks_ahead else request.get_full_path(),
    }
    status = refusal.status if isinstance(refusal, Unavailable) else 200
    answer = render(request, "registration/confirm.html", context, status=status)
    answer["Cache-Control"] = "no-store"
    return answer
