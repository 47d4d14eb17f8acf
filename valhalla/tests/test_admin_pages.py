"""Every page of admin, found by itself: it opens, an auditor changes nothing there, nonsense breaks nothing.

A model that is registered tomorrow, a page that its screen adds and an action of its list are asked the same.
"""

from __future__ import annotations

import html
import random
import re
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import get_fields_from_path
from django.db import models, transaction
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django_celery_beat.models import CrontabSchedule

from governance.core.admin.base import FewRows
from governance.golive.models import GoLiveState
from governance.models import Absence, User
from valhalla.testing import ClientResponse, ConfirmingClient
from valhalla.tests.specimens import specimen

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:.*received a naive datetime"),  # typed in an address by hand
]
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
STOPPED = re.compile('<aside id="switches"[^>]*class="switches killed"')  # the banner
PARTS = 6  # of the models, for as many workers: each part takes some seconds
each_part = pytest.mark.parametrize("part", range(PARTS))
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)


@pytest.fixture
def sign_in(person: Callable[..., User]) -> Callable[[str], Client]:
    def enter(role: str) -> Client:
        client = ConfirmingClient()
        client.force_login(person(role, f"the-{role.lower()}"))
        return client

    return enter


def pages_of(model: type[models.Model]) -> dict[str, str]:
    """Return the addresses of a model's pages by name, those of one row for a row that is there."""
    row = specimen(model)
    site = admin.site.name
    found: dict[str, str] = {}
    for pattern in admin.site._registry[model].get_urls():
        name = getattr(pattern, "name", None)
        if not name:
            continue
        for arguments in ([], [row.pk], *_versions(row)):
            try:
                found[name] = reverse(f"{site}:{name}", args=arguments)
                break
            except NoReverseMatch:
                continue
        else:
            pytest.fail(f"{name} wants arguments that this test does not know")
    return found


def _versions(row: Any) -> Iterator[list[object]]:
    history = getattr(row, "history", None)
    newest = history.order_by("-pk").first() if history is not None else None
    yield [row.pk, newest.pk if newest is not None else 1]


def short(name: str, model: type[models.Model]) -> str:
    return name.removeprefix(f"{model._meta.app_label}_{model._meta.model_name}_")


def may_be_refused(page: str, model: type[models.Model], request: Any) -> bool:
    """Tell whether a page may answer that it is not for this person: what is asked of everyone opens."""
    screen = admin.site._registry[model]
    if page == "add":
        return not screen.has_add_permission(request)
    if page == "delete":
        return not screen.has_delete_permission(request)
    return page not in ("changelist", "change", "history")


def wrongly_opened(model: type[models.Model], client: Client) -> tuple[list[str], dict[str, Any]]:
    """Open every page of a model; return what answered wrongly, and the answers by address."""
    request = client.get(reverse("home")).wsgi_request
    one = admin.site._registry[model].has_view_permission(request, specimen(model))
    wrong, answers = [], {}
    opened = set()
    for name, address in pages_of(model).items():
        answer = answers[address] = client.get(address, follow=True)
        page = short(name, model)
        refused = may_be_refused(page, model, request) or (page in ("change", "history") and not one)
        if answer.status_code not in ((200, 302, 400, 403, 404, 405) if refused else (200,)):
            wrong.append(f"{answer.status_code} {address}")
        if answer.status_code == 200:
            opened.add(page)
        if page == "changelist" and not STOPPED.search(answer.content.decode()):
            wrong.append(f"{address} does not say that everything is stopped")
    if "changelist" not in opened:
        wrong.append(f"{model._meta.label} has no list")
    return wrong, answers


@each_part
def test_every_page_opens_no_auditor_changes_anything_and_nonsense_breaks_nothing(
    part: int, sign_in: Callable[[str], Client], chance: random.Random, settings: Any
) -> None:
    """Ask all three of each page, which takes long to draw, as it is opened once for each role.

    No switch closes a page: they are opened while everything is stopped.
    """
    manager, auditor = sign_in("MANAGER"), sign_in("AUDITOR")
    forms: dict[type[models.Model], dict[str, Any]] = {}
    wrong = []
    for model in MODELS[part::PARTS]:
        specimen(model)
    switches = GoLiveState.objects.values().get()
    settings.GO_LIVE_ENFORCE = True
    GoLiveState.objects.update(go_live_enabled=False, kill_switch_engaged=True)
    for model in MODELS[part::PARTS]:
        found, answers = wrongly_opened(model, manager)
        forms[model] = {address: form_in(answer) for address, answer in answers.items()}
        wrong += found + wrongly_opened(model, auditor)[0]
    assert wrong == []
    settings.GO_LIVE_ENFORCE = False
    GoLiveState.objects.update(**switches)
    before = everything()
    for model, found_forms in forms.items():
        post_as_auditor(model, auditor, found_forms)
    assert changed_since(before) == []
    for model, found_forms in forms.items():
        look_with_nonsense(model, manager, chance, POSTS)
        assert send_nonsense(model, manager, chance, POSTS, found_forms)


def test_only_the_runbook_has_no_pages_of_single_rows(sign_in: Callable[[str], Client]) -> None:
    request = sign_in("MANAGER").get(reverse("admin:index")).wsgi_request
    without = [
        model._meta.label
        for model in MODELS
        if not admin.site._registry[model].has_view_permission(request, specimen(model))
    ]
    assert without == ["governance.Runbook"]


# tables that stay short, so that their filters may read their choices out of them
SHORT = {
    "governance.CityZone", "governance.WorkProfile", "governance.Removal", "governance.RiskLedgerDay",
    "governance.RiskThrottle", "governance.RegressionState", "governance.RegressionPolicy",
    "governance.OutboxMessage", "governance.IdempotentAnswer", "django_celery_beat.PeriodicTask",
    "followups.RealignRequest", "followups.SlaSnapshot",
}  # fmt: skip


def test_no_filter_reads_its_choices_out_of_a_long_table() -> None:
    found = set()
    for model in MODELS:
        for name in admin.site._registry[model].list_filter or ():
            if not isinstance(name, str):
                continue
            field = get_fields_from_path(model, name)[-1]
            made = next(kind for fits, kind in admin.FieldListFilter._field_list_filters if fits(field))  # type: ignore[attr-defined]  # Django's own list
            if issubclass(made, admin.AllValuesFieldListFilter | admin.RelatedFieldListFilter):
                found.add(model._meta.label)
    assert found <= SHORT


# --- the auditor --------------------------------------------------------------------------------------------


def everything() -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of all models that admin shows."""
    shown = {model: list(model._default_manager.order_by("pk").values_list()) for model in MODELS}
    return {model._meta.label: [tuple(map(repr, row)) for row in rows] for model, rows in shown.items()}


def changed_since(before: dict[str, list[tuple[Any, ...]]]) -> list[str]:
    now = everything()
    return [label for label, rows in before.items() if now[label] != rows]


def post_as_auditor(model: type[models.Model], client: Client, forms: dict[str, Any]) -> None:
    """Send every form of a model's pages as a manager's browser would, and every action of its list."""
    screen, row = admin.site._registry[model], specimen(model)
    request = client.get(reverse("home")).wsgi_request
    assert not screen.has_add_permission(request)
    assert not screen.has_change_permission(request, row)
    assert not screen.has_delete_permission(request, row)
    assert not screen.get_actions(request)
    said: dict[str, Any] = {"post": "yes", "change_reason": "because", "reason": "because", "apply": "1"}
    for address, form in forms.items():
        for sent in (said, {**(form or {}), **said}):
            answer = client.post(address, sent)
            assert answer.status_code < 500, address
    changelist = pages_of(model)[_name(model, "changelist")]
    for action in actions_of(model):
        client.post(changelist, {**said, "action": action, "_selected_action": row.pk})


def _name(model: type[models.Model], page: str) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}_{page}"


def actions_of(model: type[models.Model]) -> list[str]:
    """Return the names of all actions of a model's list, whoever may use them, and the one Django brings."""
    named = [
        action if isinstance(action, str) else action.__name__
        for action in admin.site._registry[model].actions or ()
    ]
    return [*named, "delete_selected"]


# --- nonsense -----------------------------------------------------------------------------------------------

POSTS = 1
POSTS_OF_THE_LONG_RUN = 200
NONSENSE = (
    "", " ", "\0", "a\0b", "\ud800", "x" * 10_000, "é" * 300, "🏠" * 80, "-1", "0", "2147483648", "9" * 400,
    "1e400", "NaN", "Infinity", "-0.0000000001", "1,5", "null", "true", "[]", "{}", '{"a": NaN}', "[" * 3000,
    '{"a":' * 900, '["\\u0000"]', '[{"days": [99], "start": "99:99"}]', "0000-00-00", "9999-12-31",
    "0001-01-01", "24:00", "25:61", "2026-02-30", "' OR 1=1 --", "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0", "../../etc/passwd", "\r\nX: y", "%s%n{0}", "\u202egnp", "١٢٣", "on", "_", "%",
    "America/Toronto", "+1 416 555 0100", "a@example.ca", "ON",
)  # fmt: skip


FIELD = re.compile(r"<(input|select|textarea)\b([^>]*)>", re.ASCII)
NAME, VALUE = re.compile(r'\bname="([^"]+)"'), re.compile(r'\bvalue="([^"]*)"')


def fields_in(answer: ClientResponse) -> dict[str, object]:
    """Return what a browser would send from the form of a page, large texts left empty."""
    page = answer.content.decode() if "text/html" in answer["Content-Type"] else ""
    found: dict[str, object] = {}
    for _kind, attributes in FIELD.findall(page.partition('id="content"')[2] or page):
        name, value = NAME.search(attributes), VALUE.search(attributes)
        if name and name[1] not in ("csrfmiddlewaretoken", "language", "next"):
            found[html.unescape(name[1])] = html.unescape(value[1]) if value else ""
    return found


def nonsense_for(fields: dict[str, Any], chance: random.Random) -> dict[str, object]:
    """Return the fields with some of them, or all, made nonsense; at times one is sent twice or missing."""
    sent = dict(fields)
    share = chance.choice([0.15, 0.5, 1.0])
    for name in fields:
        if chance.random() < share:
            sent[name] = chance.choice(NONSENSE)
        if chance.random() < 0.05:
            sent[name] = [chance.choice(NONSENSE), chance.choice(NONSENSE)]
        if chance.random() < 0.05:
            del sent[name]
    if chance.random() < 0.1:
        sent[chance.choice(["_saveasnew", "_popup", "_to_field", "_changelist_filters", "_save"])] = "x"
    return sent


def _sendable(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields as bytes can carry them: a lone surrogate goes as the bytes of its own.

    Each in a list: a bare text of bytes goes through the client's form as a number for every byte.
    """

    def one(value: Any) -> Any:
        text = value if isinstance(value, str) else str(value)
        return text.encode("utf-8", "surrogatepass")

    return {
        name: [one(item) for item in (value if isinstance(value, list | tuple) else [value])]
        for name, value in fields.items()
    }


def form_in(answer: ClientResponse) -> dict[str, Any] | None:
    """Return the fields of a page's form, none where it led to another page."""
    fields = fields_in(answer)
    return None if fields and answer.redirect_chain else fields


def send_nonsense(
    model: type[models.Model], client: Client, chance: random.Random, posts: int, forms: dict[str, Any]
) -> int:
    """Post nonsense to every page of a model, taking back what it may have changed; return how often."""
    done = 0
    pages = pages_of(model)
    for address, fields in forms.items():
        if fields is None:
            continue
        fields = fields or {"change_reason": "", "reason": "", "owner": "", "post": "yes", "q": ""}
        for _number in range(posts):
            sent = nonsense_for(fields, chance)
            with transaction.atomic():
                answer = client.post(address, _sendable(sent))
                transaction.set_rollback(True)
            assert answer.status_code < 500, (address, sent)
            done += 1
    changelist = pages[_name(model, "changelist")]
    for action in actions_of(model):
        for _number in range(posts):
            chosen = {"action": action, "_selected_action": str(specimen(model).pk), "apply": "1"}
            asked = {"reason": "x", "owner": "x", "select_across": "0", "index": "0"}
            sent = nonsense_for(chosen | asked, chance)
            with transaction.atomic():
                answer = client.post(changelist, _sendable(sent))
                transaction.set_rollback(True)
            assert answer.status_code < 500, (changelist, sent)
            done += 1
    return done


def look_with_nonsense(model: type[models.Model], client: Client, chance: random.Random, times: int) -> None:
    """Ask a list with nonsense in its search, its filters, its order and its page."""
    changelist = pages_of(model)[_name(model, "changelist")]
    names = ["q", "o", "p", "e", "all", "pk", "id__in", "x__y"]
    described: Any
    for described in admin.site._registry[model].list_filter or ():
        if isinstance(described, str):
            names += [f"{described}__exact", f"{described}__gte", f"{described}__isnull",
                      f"{described}__in", f"{described}__year", f"{described}__contains"]  # fmt: skip
        elif isinstance(described, tuple):
            names += [f"{described[0]}__isempty", f"{described[0]}__gte"]
        else:
            names.append(described.parameter_name)
    for _number in range(times):
        asked = {name: chance.choice(NONSENSE) for name in names if chance.random() < 0.3}
        answer = client.get(changelist, _sendable(asked))
        assert answer.status_code < 500, (changelist, asked)


def test_a_row_asked_for_by_a_column_without_a_name_breaks_no_page(sign_in: Callable[[str], Client]) -> None:
    client = sign_in("MANAGER")
    client.raise_request_exception = False
    for model in admin.site._registry:
        place = f"/admin/{model._meta.app_label}/{model._meta.model_name}/1"
        for page in ("change", "delete"):
            assert client.get(f"{place}/{page}/?_to_field=").status_code < 500, (place, page)


def test_no_list_answers_what_none_of_its_filters_asks(sign_in: Callable[[str], Client]) -> None:
    client, found = sign_in("AUDITOR"), {}
    client.raise_request_exception = False
    for model in MODELS:
        for asked in ("pk__range=1", "pk__regex=((", "pk__contained_by=1"):
            place = f"/admin/{model._meta.app_label}/{model._meta.model_name}/?{asked}"
            found[place] = client.get(place).status_code
    other = {"/admin/governance/runbook/": 200, "/admin/governance/golivestate/": 302}  # these are no lists
    assert {(place, status) for place, status in found.items() if status != 400} == {
        (place, other[place.partition("?")[0]]) for place in found if place.partition("?")[0] in other
    }


def test_what_is_no_field_is_not_found_by_typing(sign_in: Callable[[str], Client]) -> None:
    client, found = sign_in("AUDITOR"), {}
    client.raise_request_exception = False
    plain: set[Any] = set()  # kinds of columns that lead to no other table: one of each kind is asked for
    for model in MODELS:
        for field in model._meta.get_fields():
            if field.concrete and not field.is_relation:
                if type(field) in plain:
                    continue
                plain.add(type(field))
            named = {"app_label": model._meta.app_label, "model_name": model._meta.model_name}
            for term in ("", "a\0"):
                asked: dict[str, Any] = {**named, "field_name": field.name, "term": term}
                answer = client.get("/admin/autocomplete/", asked)
                found[model._meta.label, field.name, term] = (answer.status_code, field.concrete)
                if answer.status_code != 200:  # no term is read
                    break
    statuses = set(found.values())
    assert {status for status, _concrete in statuses} <= {200, 403, 404}, found
    assert (200, False) not in statuses
    assert found["governance.Absence", "user", "a\0"] == (200, True)


def test_a_page_of_results_that_does_not_exist_is_not_found(sign_in: Callable[[str], Client]) -> None:
    client = sign_in("MANAGER")
    assert client.get("/admin/search/", {"s": "a", "page": "1"}).status_code == 200
    for number in ("999", "x", "-1", "", "1.5"):
        assert client.get("/admin/search/", {"s": "a", "page": number}).status_code == 404, number


def test_a_chosen_row_that_is_no_id_is_refused_by_the_list(sign_in: Callable[[str], Client]) -> None:
    for said in ("x", "", "9" * 400):
        sent = {"action": "set_shifts", "_selected_action": said, "index": "0"}
        answer = sign_in("MANAGER").post("/admin/governance/user/", sent, follow=True)
        assert answer.status_code == 200
        assert "Select rows, then an action" in answer.content.decode()


def test_a_form_of_a_billion_rows_is_refused_before_it_is_drawn(sign_in: Callable[[str], Client]) -> None:
    manager, person = sign_in("MANAGER"), User.objects.get(username="the-manager")
    address = reverse("admin:governance_user_change", args=[person.pk])
    fields = fields_in(manager.get(address)) | {"absences-TOTAL_FORMS": "2147483647"}
    answer = manager.post(address, fields)
    assert answer.status_code == 200
    tables = [table.formset for table in answer.context["inline_admin_formsets"]]
    absences = next(table for table in tables if table.model is Absence)
    assert len(absences.forms) == FewRows.most_rows
    assert "at most 200 forms" in str(absences.non_form_errors())


def test_times_that_cannot_be_are_shown_again_with_their_mistake(sign_in: Callable[[str], Client]) -> None:
    row = specimen(CrontabSchedule)
    sent = {"minute": "-1", "hour": "3", "day_of_month": "*", "month_of_year": "*", "day_of_week": "*"}
    answer = sign_in("MANAGER").post(f"/admin/django_celery_beat/crontabschedule/{row.pk}/change/", sent)
    assert answer.status_code == 200
    assert "minute" in answer.context["adminform"].form.errors


def test_a_person_who_is_no_id_is_refused_by_the_form(sign_in: Callable[[str], Client]) -> None:
    manager = sign_in("MANAGER")
    for screen, said in product(("absence", "apitoken"), ("9999-12-31", "9" * 30, "-1", "x")):
        answer = manager.post(f"/admin/governance/{screen}/add/", {"user": said})
        assert answer.status_code == 200, (screen, said)
        assert "user" in answer.context["adminform"].form.errors, (screen, said)


@pytest.mark.long
@each_model
def test_two_hundred_times_nonsense_breaks_no_page(
    model: type[models.Model], sign_in: Callable[[str], Client], chance: random.Random
) -> None:
    client = sign_in("MANAGER")
    look_with_nonsense(model, client, chance, POSTS_OF_THE_LONG_RUN)
    forms = {address: form_in(client.get(address, follow=True)) for address in pages_of(model).values()}
    assert send_nonsense(model, client, chance, POSTS_OF_THE_LONG_RUN, forms)
