"""The demo's users, their work profiles and passwords, and a program's token."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth.hashers import make_password

from governance.accounts.account_log import Kind, record
from governance.accounts.rules import POLICY, by_user
from governance.accounts.services import issue_token, show_role
from governance.core.actors import Actor, Role
from governance.models import Absence, ApiToken, User, WorkProfile

WEEKDAYS = [{"days": [0, 1, 2, 3, 4], "start": "09:00", "end": "17:00"}]
EVENINGS = [
    {"days": [0, 1, 2, 3, 4], "start": "12:00", "end": "20:00"},
    {"days": [5], "start": "10:00", "end": "18:00"},
]
WEST, CENTRE, EAST = ["BC", "AB", "YT", "NT"], ["ON", "MB", "SK", "NU"], ["NB", "NS", "PE", "NL"]


@dataclass(frozen=True)
class Person:
    """A demo user, as created; without a work profile they work on everything."""

    name: str
    role: Role
    full_name: str
    zone: str = "America/Toronto"
    provinces: list[str] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    shifts: list[dict[str, Any]] = field(default_factory=list)


PEOPLE = (
    Person("morgan", Role.MANAGER, "Morgan Bell"),
    Person("audrey", Role.AUDITOR, "Audrey Chow"),
    Person("casey", Role.CLOSER, "Casey Wong", shifts=WEEKDAYS),
    Person("chloe", Role.CLOSER, "Chloé Tremblay", shifts=EVENINGS),
    Person("amara", Role.VA, "Amara Singh", "America/Vancouver", WEST, languages=["en"], shifts=WEEKDAYS),
    Person(
        "benoit", Role.VA, "Benoît Gagnon", provinces=["QC", "NB"], languages=["fr", "en"], shifts=WEEKDAYS
    ),
    Person("dev", Role.VA, "Dev Patel", provinces=CENTRE, shifts=EVENINGS),
    Person("elena", Role.VA, "Elena Rossi", "America/Halifax", EAST, shifts=WEEKDAYS),
    Person(
        "farid", Role.VA, "Farid Haddad", "America/Edmonton", ["AB", "ON"], ["CALL"], ["en", "fr"], EVENINGS
    ),
    Person(
        "grace", Role.VA, "Grace Okoro", provinces=["ON", "QC"], channels=["SMS", "EMAIL"], shifts=WEEKDAYS
    ),
)
ABSENT = "grace"
PROGRAM = "web-form"
TOKEN_LABEL = "demo"
SIGNS = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # no characters that look alike
PASSWORD_LENGTH = 16


@dataclass
class Team:
    """The demo's users as actors. `of` finds them by the demo's own names."""

    of: dict[str, Actor]
    program: Actor
    passwords: list[dict[str, str]]
    token: str

    @property
    def manager(self) -> Actor:
        return self.of["morgan"]

    def with_role(self, role: Role) -> list[Actor]:
        return [by for by in self.of.values() if by.role == role]

    def va_for(self, province: str) -> list[Actor]:
        """Return the VAs at work who take this province."""
        at_work = [by for name, by in self.of.items() if by.role == Role.VA and name != ABSENT]
        return [by for by in at_work if not by.provinces or province in by.provinces]


def make_team(at: datetime, correlation_id: str) -> Team:
    """Create the users with random passwords, their profiles, one absence, and a token for a program."""
    of, passwords = {}, []
    operator = Actor.system("demo", correlation_id)
    for person in PEOPLE:
        password = "".join(secrets.choice(SIGNS) for _n in range(PASSWORD_LENGTH))
        user = _make(person, password, operator, at)
        of[person.name] = by_user(user, correlation_id=correlation_id)
        passwords.append({"username": user.username, "role": person.role.lower(), "password": password})
        if person.name == ABSENT:
            absence = Absence(user=user, starts_at=at - timedelta(days=2), ends_at=at + timedelta(days=9))
            absence.full_clean()
            absence.save()
    program = _free_name(PROGRAM)
    issued = issue_token(
        program,
        by=operator,
        at=at,
        role=Role.SERVICE,
        scopes=[POLICY],
        label=TOKEN_LABEL,
    )
    by = by_user(User.objects.get(username=program), ApiToken(scopes=[POLICY]), correlation_id=correlation_id)
    return Team(of, by, passwords, issued.text)


def _free_name(name: str) -> str:
    while User.objects.filter(username__iexact=name).exists():
        name = f"{name}-demo"
    return name


def _make(person: Person, password: str, by: Actor, at: datetime) -> User:
    first, last = person.full_name.split(" ", 1)
    user = User(username=_free_name(person.name), role=person.role, first_name=first, last_name=last)
    user.password = make_password(password)  # not as if another person had set it: they start to work at once
    user.full_clean()
    user.save()
    show_role(user)
    record(Kind.CREATED, user, by=by, at=at, role=user.role)
    record(Kind.PASSWORD, user, by=by, at=at)
    if person.shifts:
        profile = WorkProfile(
            user=user,
            provinces=person.provinces,
            channels=person.channels,
            languages=person.languages,
            zone=person.zone,
            shifts=person.shifts,
        )
        profile.full_clean()
        profile.save()
    return user


def write_people(path: Path, team: Team) -> None:
    """Write passwords and token to a file that only its owner can read; the write is atomic."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump({"people": team.passwords, "token": team.token}, file, indent=1)
    part.replace(path)


def still_let_in(at: datetime) -> list[str]:
    """Return the demo usernames whose printed passwords and token still work, if any."""
    known = {(person.name, *person.full_name.split(" ", 1)) for person in PEOPLE}
    rows = User.objects.filter(is_active=True, last_name__in=[last for _name, _first, last in known])
    people = [
        user.username
        for user in rows.order_by("username")
        if any(user.username.startswith(name) and user.first_name == first for name, first, _last in known)
    ]
    tokens = ApiToken.objects.filter(
        label=TOKEN_LABEL,
        user__username__startswith=PROGRAM,
        user__is_active=True,
        revoked_at=None,
        expiry__gt=at,
    )
    return people + sorted(set(tokens.values_list("user__username", flat=True)))
