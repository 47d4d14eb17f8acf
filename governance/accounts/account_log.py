"""The log of changes to accounts; each change also has a line in the security log."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from governance.accounts.models import OPERATOR, AccountChange, User
from governance.core import hooks
from governance.core.actors import ACTOR_LENGTH, Actor

Kind = AccountChange.Kind
# The events' names in the security log.
EVENTS = {
    Kind.CREATED: "account_created",
    Kind.ROLE: "role_changed",
    Kind.ON: "role_changed",
    Kind.OFF: "role_changed",
    Kind.PASSWORD: "password_set",
    Kind.LINK: "password_link_created",
    Kind.ISSUED: "token_issued",
    Kind.REVOKED: "token_revoked",
    Kind.FACTOR: "second_factor_reset",
    Kind.KEY_ADDED: "passkey_added",
    Kind.KEY_GONE: "passkey_removed",
}


def record(
    kind: AccountChange.Kind,
    user: User,
    *,
    by: Actor,
    at: datetime,
    role_before: str = "",
    role: str = "",
    token: str = "",
    details: Mapping[str, object] | None = None,
) -> None:
    """Log that `by` changed the account of `user`, in the transaction of the change.

    The security log gets a line once that is committed; `details` are additional fields for it, no secrets.
    """
    AccountChange(
        kind=kind, person=user.username[:ACTOR_LENGTH], person_id=user.pk, role_before=role_before, role=role,
        concerned_token=token, at=at, **by.written(),
    ).save()  # fmt: skip
    fields = {
        "user": user.username,
        "user_id": user.pk,
        "role_before": role_before,
        "role": role,
        "token": token,
    }
    told = {name: value for name, value in fields.items() if value}
    hooks.security_event.ask(EVENTS[kind], by, {**told, **(details or {})})


def by_command_line() -> Actor:
    """Return an actor for a manage.py command, named after it; "operator" in any other program."""
    program, command = [*sys.argv, "", ""][:2]
    named = Path(program).name == "manage.py" and command.isascii() and command.isidentifier()
    return Actor.system(command if named else OPERATOR)
