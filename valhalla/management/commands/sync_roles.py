"""``manage.py sync_roles``: shows the table of valhalla/roles.py in admin as groups."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.core.management.base import BaseCommand
from django.db import transaction

from governance.core.actors import Role
from governance.models import User
from valhalla.roles import ROLE_RIGHTS


class Command(BaseCommand):
    help = (
        "Show the roles as groups: one per role with exactly its permissions, and each user in theirs. "
        "Safe to run again. What a user may do depends on the role alone, with or without its group."
    )

    @transaction.atomic
    def handle(self, *args: object, verbosity: int, **options: object) -> None:
        said = [line for role in Role for line in (*self.sync_rights(role), *self.sync_people(role))]
        if verbosity > 0:
            self.stdout.write("\n".join(said or ["The groups match the roles already."]))

    def sync_rights(self, role: Role) -> list[str]:
        """Give the role's group exactly its permissions; report and skip one that no model declares."""
        known = {f"{app}.{name}": pk for pk, app, name in _permissions()}
        group, made = Group.objects.get_or_create(name=role.value)
        has = set(group.permissions.values_list("pk", flat=True))
        rights = {known[right] for right in ROLE_RIGHTS[role] if right in known}
        added, removed = rights - has, has - rights
        group.permissions.add(*added)
        group.permissions.remove(*removed)
        lines = [f"{role}: group made"] if made else []
        if added or removed:
            lines.append(f"{role}: {len(added)} rights added, {len(removed)} removed")
        missing = sorted(right for right in ROLE_RIGHTS[role] if right not in known)
        return [*lines, f"{role}: no model declares {', '.join(missing)}"] if missing else lines

    def sync_people(self, role: Role) -> list[str]:
        """Put everybody with the role into its group, and nobody else."""
        group = Group.objects.get(name=role.value)
        joining = User.objects.filter(role=role).exclude(groups=group)
        leaving = User.objects.filter(groups=group).exclude(role=role)
        joined, left = list(joining), list(leaving)
        group.user_set.add(*joined)
        group.user_set.remove(*left)
        return [f"{role}: {len(joined)} people joined, {len(left)} left"] if joined or left else []


def _permissions() -> Any:
    return Permission.objects.values_list("pk", "content_type__app_label", "codename")
