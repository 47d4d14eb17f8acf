"""Fills a database for the bench, and prints what the calls need as JSON. Runs in the measured tree."""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "valhalla.settings")

import django

django.setup()

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from bench.volume import OWNERS, analyze, fill
from followups.models import FollowUpTask
from governance.models import ApiToken, User

AWAKE = ("ON", "QC", "NB", "NS", "PE")  # at ten in Toronto
PASSWORD_OF_NOBODY = "!"


def prepare(tasks: int) -> None:
    call_command("migrate", verbosity=0)
    call_command("sync_schedules")
    fill(tasks, timezone.now())
    for number in range(OWNERS):
        User.objects.create(username=f"va{number}", password=PASSWORD_OF_NOBODY, role="VA")
    User.objects.create(username="mona", password=PASSWORD_OF_NOBODY, role="MANAGER")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE governance_golivestate SET go_live_enabled = true, kill_switch_engaged = false"
        )
        cursor.execute(
            "UPDATE governance_riskpolicy SET max_daily_loss = 0, max_daily_exposure = 0, max_open_risk = 0,"
            " max_actions_per_day = 0"
        )
        cursor.execute("UPDATE offers_offerpolicy SET enabled = true")
        cursor.execute("UPDATE governance_marketpolicy SET enabled = true")
    analyze()


def access() -> dict[str, object]:
    """Return a token, sessions and tasks for one run."""
    mona = User.objects.get(username="mona")
    _token, text = ApiToken.objects.create(
        user=mona, expiry=timedelta(days=1), scopes=[], calls_per_minute=60_000
    )
    now = timezone.now()
    free = FollowUpTask.objects.due(now).unclaimed(now).filter(province__in=AWAKE).order_by("-due_at")
    return {
        "token": text,
        "va_session": session(User.objects.get(username="va1")),
        "manager_session": session(mona),
        "tasks": list(free.values_list("pk", flat=True)[:300]),
    }


def session(user: User) -> str:
    store = SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.create()
    return str(store.session_key)


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        prepare(int(sys.argv[2]))
    else:
        print(json.dumps(access()))
