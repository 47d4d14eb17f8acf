"""Somebody always manages: the last active manager stays one, whoever tries otherwise and however."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from governance.accounts import last_manager
from governance.accounts.services import set_active, set_role
from governance.core.actors import Actor
from governance.core.errors import Forbidden, Invalid, Refused
from governance.models import RoleChange, User
from governance.retention.registry import rule_of
from governance.runbook.registry import registered
from valhalla.testing import ConfirmingClient, at_once, make_by, make_person

pytestmark = pytest.mark.both

People = Callable[..., User]
MakeBy = Callable[..., Actor]
AT = datetime(2026, 11, 24, 17, tzinfo=UTC)
WHY = "she moved to the sales team"
JOB = Actor.system("test")


def run(sql: str, params: Any = ()) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, params)


def managing() -> set[str]:
    return set(User.objects.filter(role="MANAGER", is_active=True).values_list("username", flat=True))


# --- the service --------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("by_whom", ["another manager's client", "a job", "a superuser"])
def test_the_service_refuses_to_demote_or_switch_off_the_last_manager(by_whom: str, person: People) -> None:
    mona = person("MANAGER", "mona")
    root = person("VA", "root")
    User.objects.filter(pk=root.pk).update(is_superuser=True)
    by = {
        "another manager's client": Actor("max", "MANAGER", frozenset({"governance.manage_people"})),
        "a job": JOB,
        "a superuser": Actor("root", "VA", frozenset({"governance.manage_people"}), user_id=root.pk),
    }[by_whom]
    for attempt in (
        lambda: set_role(mona, "CLOSER", by=by, at=AT, reason=WHY),
        lambda: set_active(mona, False, by=by, at=AT, reason=WHY),
    ):
        with pytest.raises(Refused) as refused:
            attempt()
        assert refused.value.code == "last_manager"
        assert "mona is the last active manager" in str(refused.value)
    assert managing() == {"mona"}
    assert not RoleChange.objects.exists()


@pytest.mark.django_db
def test_one_of_two_managers_may_go_and_the_change_is_kept_with_its_reason(
    person: People, by: MakeBy
) -> None:
    mona, max_ = person("MANAGER", "mona"), person("MANAGER", "max")

    assert set_role(max_, "CLOSER", by=by("MANAGER", "mona"), at=AT, reason=f"  {WHY} ")
    assert not set_role(max_, "CLOSER", by=by("MANAGER", "mona"), at=AT, reason="")

    kept = RoleChange.objects.get()
    assert (kept.user, kept.role_before, kept.role, kept.active) == (max_, "MANAGER", "CLOSER", True)
    assert (kept.changed_by, kept.changed_at, kept.reason) == ("mona", AT, WHY)
    assert kept.correlation_id == "test"
    assert not max_.is_staff
    assert managing() == {"mona"}
    assert not set_active(mona, True, by=JOB, at=AT, reason="")


@pytest.mark.django_db
def test_an_inactive_manager_does_not_count(person: People) -> None:
    mona, max_ = person("MANAGER", "mona"), person("MANAGER", "max")
    set_active(max_, False, by=JOB, at=AT, reason=WHY)

    with pytest.raises(Refused, match="last active manager"):
        set_role(mona, "AUDITOR", by=JOB, at=AT, reason=WHY)
    assert set_role(max_, "AUDITOR", by=JOB, at=AT, reason=WHY)


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["", "   ", "moved", "nine more ", "x" * 201])
def test_another_role_needs_a_reason_that_explains_something(reason: str, person: People, by: MakeBy) -> None:
    vera = person("VA", "vera")
    for attempt in (
        lambda: set_role(vera, "CLOSER", by=by("MANAGER"), at=AT, reason=reason),
        lambda: set_active(vera, False, by=by("MANAGER"), at=AT, reason=reason),
    ):
        with pytest.raises(Invalid) as refused:
            attempt()
        assert set(refused.value.errors) == {"reason"}
    vera.refresh_from_db()
    assert (vera.role, vera.is_active) == ("VA", True)


@pytest.mark.django_db
def test_nobody_changes_their_own_role(person: People, by: MakeBy) -> None:
    person("MANAGER", "max")
    mona, root = person("MANAGER", "mona"), person("VA", "root")
    User.objects.filter(pk=root.pk).update(is_superuser=True)
    for user, actor in ((mona, by("MANAGER", "mona")), (root, by("VA", "root"))):
        user.refresh_from_db()
        rights = Actor(actor.username, actor.role, frozenset({"governance.manage_people"}), user_id=user.pk)
        with pytest.raises(Forbidden) as refused:
            set_role(user, "AUDITOR", by=rights, at=AT, reason=WHY)
        assert refused.value.code == "own_role"
    assert set(User.objects.filter(role="AUDITOR")) == set()


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["VA", "CLOSER", "AUDITOR", "SERVICE"])
def test_only_a_manager_changes_roles(role: str, person: People, by: MakeBy) -> None:
    vera = person("VA", "vera")
    with pytest.raises(Forbidden):
        set_role(vera, "MANAGER", by=by(role), at=AT, reason=WHY)
    with pytest.raises(Forbidden):
        set_active(vera, False, by=by(role), at=AT, reason=WHY)


@pytest.mark.django_db
def test_only_a_superuser_changes_a_superusers_access(person: People, by: MakeBy) -> None:
    root = person("VA", "root")
    User.objects.filter(pk=root.pk).update(is_superuser=True)
    with pytest.raises(Forbidden, match="superuser"):
        set_active(root, False, by=by("MANAGER", "mona"), at=AT, reason=WHY)
    assert set_role(root, "AUDITOR", by=JOB, at=AT, reason=WHY)


# --- the database -------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "attempt",
    [
        lambda mona: User.objects.filter(pk=mona.pk).update(role="VA"),
        lambda mona: User.objects.update(is_active=False),
        lambda mona: User.objects.bulk_update([_with(mona, role="CLOSER")], ["role"]),
        lambda mona: _with(mona, is_active=False).save(),
        lambda mona: mona.delete(),
        lambda mona: User.objects.all().delete(),
        lambda mona: User.objects.filter(pk=mona.pk)._raw_delete("default"),
        lambda mona: run("UPDATE governance_user SET role = 'SERVICE' WHERE username = 'mona'"),
        lambda mona: run("UPDATE governance_user SET is_active = false"),
        lambda mona: run("DELETE FROM governance_user WHERE role = 'MANAGER'"),
    ],
)
def test_the_database_keeps_the_last_manager(attempt: Callable[[User], object], person: People) -> None:
    mona = person("MANAGER", "mona")
    person("VA", "vera")
    with pytest.raises(IntegrityError, match="last active manager"), transaction.atomic():
        attempt(mona)
    assert managing() == {"mona"}
    assert User.objects.filter(username="vera", is_active=True).exists()


def _with(user: User, **columns: object) -> User:
    for name, value in columns.items():
        setattr(user, name, value)
    return user


@pytest.mark.django_db
def test_the_database_keeps_one_of_several_that_go_in_one_statement(person: People) -> None:
    for name in ("mona", "max", "mia"):
        person("MANAGER", name)
    with pytest.raises(IntegrityError, match="last active manager"), transaction.atomic():
        User.objects.filter(role="MANAGER").update(role="CLOSER")
    assert User.objects.filter(role="MANAGER").exclude(username="mia").update(is_active=False) == 2
    assert managing() == {"mia"}


@pytest.mark.django_db
def test_what_leaves_a_manager_is_let_through(person: People) -> None:
    mona = person("MANAGER", "mona")
    User.objects.filter(pk=mona.pk).update(email="mona@example.ca", role="MANAGER", is_active=True)
    User.objects.filter(pk=person("VA", "vera").pk).update(is_active=False)
    User.objects.filter(username="vera").delete()
    User.objects.filter(pk=person("MANAGER", "max").pk).delete()
    assert managing() == {"mona"}


@pytest.mark.django_db
def test_an_installation_without_a_manager_works(person: People) -> None:
    User.objects.all().delete()
    vera = person("VA", "vera")
    User.objects.filter(pk=vera.pk).update(role="CLOSER")
    User.objects.update(is_active=False)
    User.objects.all().delete()
    User.objects.create_superuser("owner", "owner@example.ca", "correct horse battery staple")
    assert managing() == set()


@pytest.mark.django_db
def test_what_each_database_can_do_besides_is_refused_too(person: People) -> None:
    mona = person("MANAGER", "mona")
    names = [str(field.column) for field in User._meta.concrete_fields]
    if connection.vendor == "postgresql":
        run("SET LOCAL session_replication_role = replica")
        statements = ["DELETE FROM governance_user", "TRUNCATE governance_user CASCADE"]
    else:
        values = ", ".join({"role": "'VA'", "id": "id + {}"}.get(name, name) for name in names)
        copy = f"REPLACE INTO governance_user ({', '.join(names)}) SELECT {values} FROM governance_user"
        statements = [copy.format(0), copy.format(1000)]  # the same id, then another that takes the name
    for statement in statements:
        with pytest.raises(IntegrityError, match="last active manager"):
            run(statement)
    if connection.vendor == "postgresql":
        run("SET LOCAL session_replication_role = origin")
    assert User.objects.get(pk=mona.pk).role == "MANAGER"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["service", "statement"])
def test_two_managers_who_demote_each_other_at_once_leave_one(how: str) -> None:
    for round_ in range(10):
        pair = [make_person("MANAGER", f"{name}-{round_}") for name in ("mona", "max")]
        User.objects.filter(role="MANAGER").exclude(pk__in=[user.pk for user in pair]).update(role="CLOSER")
        actors = [make_by("MANAGER", user.username) for user in reversed(pair)]

        def demote(number: int, pair: list[User] = pair, actors: list[Actor] = actors) -> object:
            if how == "service":
                return set_role(pair[number], "CLOSER", by=actors[number], at=timezone.now(), reason=WHY)
            with transaction.atomic():
                done = User.objects.filter(pk=pair[number].pk).update(role="CLOSER")
                list(User.objects.all())  # so that the other one begins before this one commits
                return done

        answers = at_once(demote, [0, 1], kept=(Refused, IntegrityError))

        assert len([one for one in answers if isinstance(one, Exception)]) == 1, answers
        assert len(managing()) == 1


# --- who watches the triggers -------------------------------------------------------------------------------


def complaints() -> list[str]:
    return [said.msg for said in run_checks(databases=["default"]) if said.id == "valhalla.E004"]


@pytest.mark.django_db
def test_a_missing_trigger_is_noticed_and_made_again_by_migrate(person: People) -> None:
    assert complaints() == []
    last_manager.remove(connection)
    assert "governance_user_last_manager_update" in complaints()[0]
    line = next(check for check in registered() if check.id == "go_live_checklist")
    found: Any = line.ask(timezone.now())
    assert "last active manager" in " ".join(str(finding.message) for finding in found)
    call_command("migrate", verbosity=0, interactive=False)
    assert complaints() == []
    person("MANAGER", "mona")
    with pytest.raises(IntegrityError, match="last active manager"):
        run("DELETE FROM governance_user")


@pytest.mark.postgres
@pytest.mark.django_db
def test_another_function_of_that_name_is_noticed() -> None:
    run(
        f"CREATE OR REPLACE FUNCTION {last_manager.FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RETURN NULL; END $$"
    )
    assert complaints() == [f"Triggers that keep the last manager are missing: {last_manager.FUNCTION}."]


# --- the way out, and the screen ----------------------------------------------------------------------------


def make_manager(name: str, reason: str = "nobody could sign in") -> str:
    out = StringIO()
    call_command("make_manager", name, "--reason", reason, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_make_manager_is_the_way_out(person: People) -> None:
    vera = person("VA", "vera")
    User.objects.filter(pk=vera.pk).update(is_active=False)

    assert make_manager("VERA") == "VERA is a manager now.\n"

    assert managing() == {"vera"}
    assert User.objects.get(pk=vera.pk).is_staff
    kept = RoleChange.objects.get()
    assert (kept.role_before, kept.active_before, kept.role, kept.active) == ("VA", False, "MANAGER", True)
    assert (kept.changed_by, kept.reason) == ("make_manager", "nobody could sign in")
    assert make_manager("vera") == "vera is an active manager already.\n"
    with pytest.raises(CommandError, match="no person with this username"):
        make_manager("nobody")
    with pytest.raises(CommandError, match="at least 10"):
        make_manager(person("VA", "ben").username, "why not")


def person_form(user: User, **changes: object) -> dict[str, object]:
    inlines = {
        f"{name}-{forms}_FORMS": "0"
        for name in ("work_profile", "absences")
        for forms in ("TOTAL", "INITIAL")
    }
    return {"username": user.username, "role": user.role, "is_active": "on", **inlines, **changes}


def change_url(user: User) -> str:
    return f"/admin/governance/user/{user.pk}/change/"


@pytest.fixture
def desk(person: People) -> Client:
    client = ConfirmingClient()
    client.force_login(person("MANAGER", "mona"))
    return client


@pytest.mark.django_db
def test_the_screen_asks_why_and_shows_what_was_changed(desk: Client, person: People) -> None:
    vera = person("VA", "vera")
    asked = desk.post(change_url(vera), person_form(vera, role="CLOSER", first_name="Vera"))
    assert "Give the reason, in at least 10 characters." in asked.content.decode()
    assert 'value="Vera"' in asked.content.decode()
    vera.refresh_from_db()
    assert (vera.role, vera.first_name) == ("VA", "")

    sent = desk.post(change_url(vera), person_form(vera, role="CLOSER", change_reason=WHY))
    assert sent.status_code == 302
    vera.refresh_from_db()
    assert (vera.role, list(vera.groups.values_list("name", flat=True))) == ("CLOSER", [])
    shown = desk.get(change_url(vera)).content.decode()
    assert WHY in shown
    assert "Virtual assistant" in shown
    # what else is typed about a person needs no reason
    assert desk.post(change_url(vera), person_form(vera, first_name="Vera")).status_code == 302
    desk.force_login(person("AUDITOR", "audrey"))
    seen = desk.get(change_url(vera)).content.decode()
    assert WHY in seen
    assert 'name="change_reason"' not in seen


@pytest.mark.django_db
def test_the_screen_refuses_to_switch_off_the_last_manager_and_ones_own_role(
    desk: Client, person: People
) -> None:
    mona = User.objects.get(username="mona")
    form = person_form(mona, change_reason=WHY)
    form.pop("is_active")
    refused = desk.post(change_url(mona), form)
    assert "mona is the last active manager" in refused.content.decode()
    page = desk.get(change_url(mona)).content.decode()
    assert 'name="role"' not in page

    person("MANAGER", "max")
    desk.post(change_url(mona), person_form(mona, role="VA", change_reason=WHY))
    mona.refresh_from_db()
    assert (mona.role, mona.is_active) == ("MANAGER", True)


@pytest.mark.django_db
def test_role_changes_are_kept_for_years() -> None:
    rule = rule_of("role_changes")
    assert rule is not None
    assert (rule.model, rule.days, rule.least_days) == ("governance.RoleChange", 1827, 731)
