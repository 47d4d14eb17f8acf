"""What the schema says about the risk guard."""

from __future__ import annotations

from rest_framework import serializers

from governance.core.rest.describe import SWITCHES, Answer, Doc, Tag, cad, codes, fraction, ok

TAG = Tag(
    "Risk guard",
    "Anything that may cost money is reserved beforehand, under the caps of its engine and of GLOBAL. A "
    "day is a day in UTC; a cap of 0 means no cap.",
    prefix="Risk",
)
REFUSALS = {
    "reservation_closed": (409, "It has ended in another way; `state` and `realized_loss` say how."),
}


class Policy(Answer):
    """The caps of an engine; 0 means no cap."""

    id = serializers.IntegerField()
    engine = serializers.CharField()
    enabled = serializers.BooleanField()
    max_daily_loss = cad()
    max_daily_exposure = cad()
    max_open_risk = cad()
    max_actions_per_day = serializers.IntegerField()
    version = serializers.IntegerField()
    changed_by = serializers.CharField()
    reason = serializers.CharField()
    updated_at = serializers.DateTimeField()


class Policies(Answer):
    """Risk policies, by engine."""

    ok = ok()
    policies = Policy(many=True)


class Upserted(Answer):
    """The policy after the change."""

    ok = ok()
    policy = Policy()


class LedgerRow(Answer):
    """What an engine has used on a day."""

    engine = serializers.CharField()
    realized_loss = cad()
    exposure = cad()
    open_risk = cad()
    actions = serializers.IntegerField()


class Ledger(Answer):
    """Today's use."""

    ok = ok()
    day = serializers.DateField()
    ledger = LedgerRow(many=True)


class Measure(Answer):
    """A cap and its use; `cap`, `left` and `share` are null without a cap."""

    cap = cad(allow_null=True)
    used = cad()
    left = cad(allow_null=True)
    share = fraction(allow_null=True, help_text="Used of the cap; above 1 where the cap was lowered.")


class EngineUse(Answer):
    """An engine's caps and their use."""

    engine = serializers.CharField()
    enabled = serializers.BooleanField()
    version = serializers.IntegerField()
    throttled_by = codes(help_text="The tripwires that stop reservations of this engine.")
    max_daily_exposure = Measure()
    max_open_risk = Measure()
    max_daily_loss = Measure()
    max_actions_per_day = Measure()


class Snapshot(Answer):
    """Today's caps and their use, by engine."""

    ok = ok()
    day = serializers.DateField()
    engines = EngineUse(many=True)


class Reserved(Answer):
    """The answer to a request for a reservation. A denial is an answer with `ok` false, not an error."""

    ok = serializers.BooleanField()
    engine = serializers.CharField()
    reserved = cad(help_text="CAD; 0 if it was denied.")
    message = serializers.CharField()
    code = serializers.CharField(help_text="Why it was denied; else `ok`.")
    reservation_id = serializers.IntegerField(allow_null=True)
    policy_snapshot = serializers.DictField(help_text="The caps of the engine and of GLOBAL, by engine.")
    ledger_snapshot = serializers.DictField(help_text="Their use after this answer: `day`, and by engine.")
    warnings = codes()


class Reservation(Answer):
    """A reservation."""

    id = serializers.IntegerField()
    engine = serializers.CharField()
    amount = cad()
    day = serializers.DateField()
    state = serializers.CharField()
    realized_loss = cad(allow_null=True)
    purpose = serializers.CharField()
    created_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)


class Ended(Answer):
    """The reservation after its end."""

    ok = ok()
    reservation = Reservation()
    already_ended = serializers.BooleanField(help_text="True if an earlier call ended it in the same way.")


SHAPES = {"RiskEventSerializer.detail": serializers.DictField()}
DOCS = {
    "RiskViewSet.policies": Doc("List risk policies", answer=Policies),
    "RiskViewSet.upsert": Doc(
        "Create or change a risk policy",
        "Omitted values stay as they are. It is saved at once, without the warnings of the form.",
        answer=Upserted,
        refusals=("stale_version", "fresh_authentication_required"),
        fields={
            "max_daily_loss": "CAD a day; 0 means no cap.",
            "max_daily_exposure": "CAD a day; 0 means no cap.",
            "max_open_risk": "CAD; 0 means no cap.",
            "max_actions_per_day": "0 means no cap.",
        },
    ),
    "RiskViewSet.ledger": Doc("Get today's use", answer=Ledger),
    "RiskViewSet.snapshot": Doc("Get today's caps and their use", answer=Snapshot),
    "RiskViewSet.reserve": Doc(
        "Reserve risk",
        "Always answers 200: a denial has `ok` false, and a `code` such as `max_daily_loss`, `throttled` "
        "or `policy_disabled`. Send an Idempotency-Key, so that a repeated call reserves once; a denial "
        "stays the answer for its key.",
        answer=Reserved,
        refusals=SWITCHES,
        fields={
            "amount": "What may be lost, CAD.",
            "purpose": "A code of letters, digits and _ : . -, not a sentence.",
            "reason": "Accepted in place of `purpose`; a sentence is not stored (`warnings`).",
        },
    ),
    "RiskViewSet.settle": Doc(
        "Settle a reservation",
        "Frees the open risk; the loss and the exposure stay counted. Repeating it changes nothing.",
        answer=Ended,
        refusals=("not_found", "reservation_closed"),
        fields={"realized_loss": "CAD, from 0 to the reserved amount."},
    ),
    "RiskViewSet.release": Doc(
        "Release a reservation",
        "Nothing was risked after all: open risk and exposure are freed. Repeating it changes nothing.",
        answer=Ended,
        refusals=("not_found", "reservation_closed"),
        fields={"reason": "A code, not a sentence."},
    ),
    "RiskEventViewSet.list": Doc(
        "List risk events",
        "Newest first, each with the basis of its decision. Decimals in `detail` are text.",
    ),
    "RiskEventViewSet.retrieve": Doc("Get a risk event"),
}
