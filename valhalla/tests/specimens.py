"""One row of any model, made from its fields, for tests that must have something to show on every screen."""

from __future__ import annotations

import uuid
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

from django.db import models
from django.utils import timezone

from followups.tests.scenes import begin
from governance.accounts.sign_ins import begin as begin_session
from governance.models import ApiToken, ContactDecision, HashKeyCheck
from governance.tests.factories import (
    ErasureFactory,
    HeimdallEventFactory,
    RemovalFactory,
    SuppressionFactory,
)
from governance.tests.tripping import SLA, happen_daily, look_on, watch
from offers.tests.factories import kept, outcome, switch_on
from valhalla.testing import make_person

SHORTEST: dict[type[models.Field[object, object]], object] = {
    models.BooleanField: False,
    models.DateTimeField: timezone.now,
    models.DateField: date.today,
    models.TimeField: lambda: time(9, 0),
    models.DurationField: lambda: timedelta(days=1),
    models.DecimalField: lambda: Decimal("0.5"),
    models.FloatField: 0.5,
    models.IntegerField: 1,
    models.EmailField: "someone@example.ca",
    models.UUIDField: uuid.uuid4,
    models.JSONField: dict,
}


def specimen(model: type[models.Model]) -> Any:
    """Return a row of the model: one that is there, or one made of the least that its fields ask for."""
    rows = model._default_manager.all()
    found = rows.order_by("pk").first()
    if found is not None:
        return found
    made = BY_SERVICE.get(model._meta.label)
    if made is not None:
        made()
    else:
        columns = {
            field.name: _value(field)
            for field in model._meta.concrete_fields
            if not (isinstance(field, models.AutoField) or field.null or field.has_default())
        }
        model._default_manager.bulk_create([model(**columns)])  # without what saving by hand would ask for
    return rows.order_by("pk")[0]


def _value(field: Any) -> Any:
    if isinstance(field, models.ForeignKey):
        return specimen(field.related_model)
    if field.choices:
        return next(value for value, _label in field.flatchoices if value not in ("", None))
    for kind in type(field).__mro__:
        if kind in SHORTEST:
            found = SHORTEST[kind]
            return found() if callable(found) else found
    return "x" * min(field.max_length or 8, 8) if not field.blank else ""


def _a_hash_key() -> None:
    HashKeyCheck.objects.bulk_create([HashKeyCheck(pk=1, fingerprint="x")])  # there is one row alone


def _a_token() -> None:
    ApiToken.objects.create(user=make_person("SERVICE", "dialer"), expiry=timedelta(days=1))


def _a_session() -> None:
    begin_session(make_person("VA", "vera").pk, "x" * 32, at=timezone.now(), address="203.0.113.7", agent="")


def _a_decision() -> None:
    """One whose lists hold what the gate puts there."""
    now = timezone.now()
    kept = ContactDecision(
        door="START", province="ON", market="ALL", channel="CALL", at=now, zones=["America/Toronto"],
        local_times=["09:30"], ok=True, reason="allowed", created_at=now,
    )  # fmt: skip
    ContactDecision.objects.bulk_create([kept])


def _a_firing() -> None:
    """A tripwire that fired, with what it saw: a drop from 19 of 20 to every third."""
    watch()
    day = happen_daily(SLA, [(19, 1)] * 25)
    look_on(happen_daily(SLA, [(7, 13)] * 12, since=day))


def _an_offer() -> None:
    switch_on()
    kept("L-specimen")


def _an_outcome() -> None:
    switch_on()
    outcome(kept("L-specimen"), "ACCEPTED")


# what a row made of its fields alone would not be allowed to be
BY_SERVICE: dict[str, Any] = {
    "followups.FollowUpTask": lambda: begin("L-specimen"),
    "governance.ApiToken": _a_token,
    "governance.ContactDecision": _a_decision,
    "governance.RegressionFiring": _a_firing,
    "governance.Erasure": ErasureFactory.create,
    "governance.HashKeyCheck": lambda: HashKeyCheck.objects.bulk_create(
        [HashKeyCheck(pk=1, fingerprint="x")]
    ),
    "governance.HeimdallEvent": HeimdallEventFactory.create,
    "governance.Removal": RemovalFactory.create,
    "governance.SignIn": _a_session,
    "governance.Suppression": SuppressionFactory.create,
    "offers.Offer": _an_offer,
    "offers.OfferEvidence": _an_offer,
    "offers.OfferOutcome": _an_outcome,
}
