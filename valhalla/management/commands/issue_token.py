"""``manage.py issue_token NAME``: a token for a program, printed once."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from governance.accounts.rules import SCOPES, read_scopes
from governance.accounts.services import MAX_DAYS, issue_token
from governance.core.actors import Actor, Role
from governance.core.errors import Refused


class Command(BaseCommand):
    help = "Issue a token, and create its user if there is none with that name. Prints only the token."

    def add_arguments(self, parser: CommandParser) -> None:
        roles = ", ".join(Role.values).lower()
        parser.add_argument("name", help="the username of the person or program")
        parser.add_argument(
            "--role",
            default="",
            help=f"one of {roles}: the role of a new user (default: service); an existing one must have it",
        )
        parser.add_argument(
            "--scopes",
            default="",
            help=f"separated by commas: {', '.join(SCOPES)}. “policy” lets a service client change policies; "
            "“personal” shows an MCP client names and numbers; "
            "any of the others limits the token to that part of the API",
        )
        parser.add_argument(
            "--days",
            default=str(MAX_DAYS),
            help=f"how long it works, 1 to {MAX_DAYS} days (default {MAX_DAYS})",
        )
        parser.add_argument("--label", default="", help="what it is for, shown in admin")

    def handle(
        self, *args: object, name: str, days: object, role: str, scopes: str, label: str, **options: object
    ) -> None:
        days = str(days).strip()
        if not re.fullmatch(r"[0-9]{1,4}", days):
            raise CommandError(f"--days: a whole number of days is needed, 1 to {MAX_DAYS}.")
        try:
            issued = issue_token(
                name,
                by=Actor.system("issue_token"),
                at=timezone.now(),
                role=role.strip().upper(),
                scopes=read_scopes(scopes),
                days=int(days),
                label=label.strip(),
            )
        except ValidationError as wrong:
            raise CommandError(f"--scopes: {' '.join(wrong.messages)}") from None
        except Refused as refusal:
            raise CommandError(_sentence(refusal)) from None
        except DatabaseError as problem:
            reason = " ".join(str(problem).split())
            raise CommandError(
                f"the database is not ready; manage.py migrate prepares it: {reason}"
            ) from None
        self.stdout.write(issued.text)


def _sentence(refusal: Refused) -> str:
    """Return a refusal's sentence, or its fields' sentences."""
    fields = [f"{name}: {' '.join(map(str, sentences))}" for name, sentences in refusal.errors.items()]
    return " ".join(fields) or str(refusal)
