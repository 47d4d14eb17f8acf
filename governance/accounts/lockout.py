"""Lockout: five wrong passwords lock a name at an address for 15 minutes, thirty of any names the address.

Names that signed in there within 30 days are neither counted for the address nor locked with it: no office is
locked by its own typing errors. An IPv6 address counts as its /64. Settings name these functions to
django-axes.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from math import ceil

from axes.models import AccessAttempt
from django.conf import settings
from django.db.models.functions import Lower
from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.crypto import salted_hmac

from governance.accounts.models import SignIn, User
from governance.core.client_address import client_address, is_office, network_of
from governance.core.request_values import RequestValue

MOST_FAILURES = 30  # of an address in 15 minutes
OFFICE_FACTOR = 10
AT_HOME = timedelta(days=30)
MOST_ROWS = 2_000  # names and browsers of one address that are checked

COUNTED_NAMES: RequestValue[dict[str, str]] = RequestValue("counted_names")


def typed_name(request: HttpRequest, credentials: dict[str, object] | None = None) -> str:
    """Return the name as failures are counted: the user's own, whatever case was typed.

    A name that does not exist is stored as a digest: people type passwords and addresses into the wrong
    field.
    """
    given = str((credentials or request.POST).get("username") or "").replace("\0", "")[:150]
    names = COUNTED_NAMES.once(request, dict)  # axes asks several times a request
    if given not in names:
        found = User.objects.filter(username__iexact=given).values_list("username", flat=True).first()
        names[given] = (found or "? " + salted_hmac("lockout", given.lower()).hexdigest()[:16]).lower()
    return names[given]


def counted_address(request: HttpRequest) -> str | None:
    """Return the address as failures are counted."""
    address = client_address(request)
    return network_of(address) if address else None


def is_address_locked(request: HttpRequest, name: str, at: datetime) -> bool:
    """Return whether a name (as `typed_name` returns it) is locked at the request's address.

    An attempt costs one query by address, and a second one if the address may be locked.
    """
    address = counted_address(request)
    if address is None:
        return False
    most = MOST_FAILURES * (OFFICE_FACTOR if is_office(request) else 1)
    rows = AccessAttempt.objects.filter(ip_address=address, attempt_time__gt=at - settings.AXES_COOLOFF_TIME)
    failures: dict[str, int] = {}
    for failed, count in rows.order_by().values_list("username", "failures_since_start")[:MOST_ROWS]:
        failures[failed or ""] = failures.get(failed or "", 0) + count
    if sum(failures.values()) < most:  # nearly always
        return False
    at_home = _signed_in_from(address, {*failures, name}, at)
    return name not in at_home and sum(failures[other] for other in failures if other not in at_home) >= most


def _signed_in_from(address: str, names: Collection[str], at: datetime) -> set[str]:
    """Return those of the names that signed in from an address within 30 days."""
    known = User.objects.annotate(key=Lower("username")).filter(key__in=names)
    people = dict(known.values_list("pk", "key")[:MOST_ROWS])
    rows = SignIn.objects.filter(user__in=people, started_at__gt=at - AT_HOME, address__isnull=False)
    places = rows.order_by().values_list("user_id", "address").distinct()
    return {people[user] for user, place in places if network_of(str(place)) == address}


@receiver(pre_save, sender=AccessAttempt)
def keep_no_form(sender: object, instance: AccessAttempt, **kwargs: object) -> None:
    """Store no form data of a failure: each form names its password field differently."""
    instance.get_data = instance.post_data = ""


def locked(request: HttpRequest, response: object = None, credentials: object = None) -> HttpResponse:
    """Answer a locked-out user with a page that says how long it lasts at most."""
    seconds = ceil(settings.AXES_COOLOFF_TIME.total_seconds())
    answer = render(
        request,
        "registration/locked.html",
        {"minutes": seconds // 60, "address": getattr(request, "address_locked", False)},
        status=429,
    )
    answer["Retry-After"] = str(seconds)
    answer["Cache-Control"] = "no-store"
    return answer
