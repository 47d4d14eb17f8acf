"""The table of rights: it names what exists, nobody asks for what it does not name, and admin shows it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from governance.accounts.rules import POLICY_RIGHTS
from governance.accounts.services import issue_token, set_role
from governance.core.actors import Actor, Role
from governance.models import User
from valhalla.roles import EVERY_RIGHT, ROLE_RIGHTS

ROOT = Path(__file__).resolve().parents[2]
ASKING = {"may", "has_perm", "needs", "needs_right", "permission_required"}


def sync() -> str:
    printed = StringIO()
    call_command("sync_roles", stdout=printed)
    return printed.getvalue()


def rights_of_group(name: str) -> set[str]:
    rows = Permission.objects.filter(group__name=name)
    return {f"{app}.{code}" for app, code in rows.values_list("content_type__app_label", "codename")}


# What governance/accounts/wording.py says that a role may do, and what it lets nobody expect of them.
SAID = {
    Role.VA: (
        "followups.view_lead followups.claim_task followups.complete_task followups.create_ladder "
        "followups.record_inbound governance.suppress buyers.record_feedback",
        "followups.view_all followups.work_any_task buyers.view_buyers offers.compute_offer",
    ),
    Role.CLOSER: (
        "followups.view_all buyers.view_buyers governance.view_kpievent offers.compute_offer "
        "offers.record_outcome governance.override_gate governance.engage_kill_switch",
        "followups.work_any_task followups.reassign governance.edit_policies governance.manage_people",
    ),
    Role.AUDITOR: ("governance.view_user followups.view_all", ""),
    Role.SERVICE: (
        "followups.view_lead buyers.view_buyers offers.view_evidence governance.view_kpievent "
        "followups.work_any_task followups.record_inbound offers.record_outcome offers.compute_offer",
        "governance.edit_policies offers.edit_policies governance.override_gate governance.view_user",
    ),
}


@pytest.mark.once
def test_what_a_role_may_do_is_told_as_the_table_has_it() -> None:
    for role, (may, may_not) in SAID.items():
        assert not set(may.split()) - ROLE_RIGHTS[role], role
        assert not set(may_not.split()) & ROLE_RIGHTS[role], role
    assert ROLE_RIGHTS[Role.CLOSER] > ROLE_RIGHTS[Role.VA]
    assert ROLE_RIGHTS[Role.MANAGER] == EVERY_RIGHT
    seen = {right for right in EVERY_RIGHT if right.partition(".")[2].startswith("view_")}
    assert ROLE_RIGHTS[Role.AUDITOR] == seen | {"followups.lookup", "governance.issue_own_token"}
    assert [role for role in Role if "governance.erase_person" in ROLE_RIGHTS[role]] == [Role.MANAGER]


@pytest.mark.django_db
def test_every_right_of_the_table_is_declared_by_a_model() -> None:
    rows = Permission.objects.values_list("content_type__app_label", "codename")

    assert sorted(EVERY_RIGHT - {f"{app}.{code}" for app, code in rows}) == []


def viewsets(urls: list[URLPattern | URLResolver] | None = None) -> Iterator[type]:
    """Every class that answers an address of the API."""
    for entry in get_resolver().url_patterns if urls is None else urls:
        if isinstance(entry, URLResolver):
            yield from viewsets(entry.url_patterns)
        elif hasattr(entry.callback, "cls"):
            yield entry.callback.cls


@pytest.mark.once
def test_every_right_that_the_api_asks_for_is_in_the_table() -> None:
    asked = {(view.__name__, right) for view in viewsets() for right in getattr(view, "rights", {}).values()}

    assert asked
    assert sorted((view, right) for view, right in asked if right not in EVERY_RIGHT | POLICY_RIGHTS) == []


def rights_named(source: str) -> Iterator[str]:
    """The rights that a module asks for: `by.may("…")`, `needs("…")` and the like."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            asks = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if asks in ASKING and isinstance(node.args[0].value, str):
                yield node.args[0].value


@pytest.mark.once
def test_every_right_that_code_asks_for_is_in_the_table() -> None:
    packages = ("valhalla", "governance", "followups", "buyers", "offers")
    files = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    asked = {
        (str(path.relative_to(ROOT)), right)
        for path in files
        if "tests" not in path.parts
        for right in rights_named(path.read_text())
    }

    assert asked
    assert sorted((path, right) for path, right in asked if right not in EVERY_RIGHT) == []


@pytest.mark.once
def test_a_right_that_code_asks_for_is_seen() -> None:
    assert list(rights_named('if by.may("followups.fly"): pass')) == ["followups.fly"]


@pytest.mark.django_db
def test_each_role_has_a_group_with_exactly_its_rights() -> None:
    sync()

    assert {name: rights_of_group(name) for name in Group.objects.values_list("name", flat=True)} == {
        role.value: set(rights) for role, rights in ROLE_RIGHTS.items()
    }


@pytest.mark.django_db
def test_a_group_that_somebody_changed_is_put_right() -> None:
    sync()
    group = Group.objects.get(name=Role.VA)
    group.permissions.set(Permission.objects.filter(codename__in=["reassign", "claim_task", "add_user"]))

    printed = sync()

    assert rights_of_group("VA") == ROLE_RIGHTS[Role.VA]
    assert "VA:" in printed
    assert "CLOSER" not in printed


@pytest.mark.django_db
def test_everybody_is_in_the_group_of_her_role_alone(person: Callable[..., User]) -> None:
    ann, ben = person(Role.VA, "ann"), person(Role.MANAGER, "ben")
    others = Group.objects.create(name="softball")
    ann.groups.add(others)
    sync()
    User.objects.filter(pk=ann.pk).update(role=Role.CLOSER)

    sync()

    assert set(ann.groups.values_list("name", flat=True)) == {"CLOSER", "softball"}
    assert set(ben.groups.values_list("name", flat=True)) == {"MANAGER"}


@pytest.mark.django_db
def test_a_second_run_changes_nothing(person: Callable[..., User]) -> None:
    person(Role.VA)
    sync()

    assert sync() == "The groups match the roles already.\n"


@pytest.mark.django_db
def test_whoever_gets_a_role_later_is_shown_in_its_group_at_once(person: Callable[..., User]) -> None:
    sync()
    set_role(
        person(Role.VA, "ann"),
        Role.CLOSER,
        by=Actor.system("test"),
        at=timezone.now(),
        reason="closes deals from now on",
    )
    issue_token("form", by=Actor.system("test"), at=timezone.now())

    assert [user.username for user in User.objects.filter(groups__name="CLOSER")] == ["ann"]
    assert [user.username for user in User.objects.filter(groups__name="SERVICE")] == ["form"]


@pytest.mark.django_db
def test_a_group_gives_no_right(person: Callable[..., User]) -> None:
    sync()
    ann = person(Role.VA, "ann")
    ann.groups.set(Group.objects.filter(name=Role.MANAGER))

    assert not ann.has_perm("followups.reassign")
    assert person(Role.MANAGER, "ben").has_perm("followups.reassign")
