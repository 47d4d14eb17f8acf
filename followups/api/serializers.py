"""Serializers of the follow-up endpoints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import Field
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.fields import empty

from followups.fields import BY_NAME, COLUMNS, FIELD_OF_KIND, VALUES, Kind, LeadField
from followups.models import ContactPoint, FollowUpTask, Lead
from followups.points import read_point
from followups.rules import NEXT
from followups.services.claims import MOST as MOST_CLAIMED
from followups.services.consents import LONGEST_WORDING
from followups.services.due import MOST as MOST_DUE
from followups.services.edits import Settled
from followups.services.ladders import NewLadder
from followups.services.locked_task import as_answer
from followups.services.next_steps import NextStep
from followups.services.planning import MOST_REASSIGNED
from followups.services.sla import GROUPS, LAST
from followups.services.upserts import Later, Upserted
from governance.contact import digests
from governance.core.actors import ACTOR_LENGTH
from governance.core.channels import CHANNELS
from governance.core.errors import Refused
from governance.core.rest.bulk import BulkInput
from governance.core.rest.fields import (
    FractionField,
    InstantField,
    JSONObjectField,
    MarketField,
    MoneyField,
    ProvinceField,
    WholeNumberField,
)
from governance.core.rest.input import Input

MAX_ID = 2**63 - 1


class WhenField(InstantField):
    """An instant, or a date, which means noon UTC on it."""

    def to_internal_value(self, data: object) -> datetime:
        if isinstance(data, str) and re.fullmatch(r"\s*[0-9]{4}-[0-9]{2}-[0-9]{2}\s*", data, re.ASCII):
            return super().to_internal_value(f"{data.strip()}T12:00:00Z")
        return super().to_internal_value(data)


class TextField(serializers.CharField):
    """Text that may be blank or omitted."""

    def __init__(self, max_length: int, **kwargs: Any) -> None:
        super().__init__(max_length=max_length, required=False, allow_blank=True, default="", **kwargs)


class ChannelField(serializers.ChoiceField):
    """A channel by its code, in any case."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=list(CHANNELS), **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value(data.strip().upper() if isinstance(data, str) else data)


class PointField(TextField):
    """A phone number or e-mail address in its stored form."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(254)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        try:
            return read_point(self.kind, text)[0] if text else ""
        except DjangoValidationError as wrong:
            raise serializers.ValidationError(wrong.messages) from wrong


class LeadIdField(serializers.CharField):
    """A lead's id in its source: 1 to 64 printable characters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=64, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not text.isprintable():
            raise serializers.ValidationError(_("A lead id may contain printable characters only."))
        return text


class CreateLadderInput(Input):
    """The input of POST /ladder/create; unknown parameters are stored with the lead as sent."""

    keeps_unknown = True

    lead_id = LeadIdField()
    province = ProvinceField(required=False)
    market = MarketField()
    owner = TextField(ACTOR_LENGTH)

    def get_fields(self) -> Any:
        return {**super().get_fields(), **{name: _lead_input(BY_NAME[name]) for name in LEAD_INPUTS}}


LEAD_INPUTS = (*VALUES, *FIELD_OF_KIND.values())


def _lead_input(field: LeadField) -> serializers.Field[Any, Any, Any, object]:
    """Return the input for a field of a lead; its column determines the maximum length."""
    match field.kind:
        case Kind.POINT:
            return PointField(field.point)
        case Kind.FRACTION:
            return FractionField(required=False, default=None)
        case Kind.MONEY:
            return MoneyField(required=False, default=None)
        case Kind.CHOICE:
            return serializers.ChoiceField(
                choices=field.choices, required=False, allow_blank=True, default=""
            )
    column = Lead._meta.get_field(field.name)
    assert isinstance(column, Field)
    assert column.max_length is not None
    return TextField(column.max_length)


MOST_ITEMS = 20  # contact points, or consents, in one call


class Item(serializers.Serializer[None]):
    """A part of an input; an unknown key is an error here too."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := sorted({str(key) for key in data} - set(self.fields))):
            raise serializers.ValidationError(
                {key[:60]: [_("There is no such parameter.")] for key in unknown}
            )
        return super().to_internal_value(data)


class PointItem(Item):
    """A phone number or an e-mail address, one of them; `whose` is blank for the lead's own."""

    phone = PointField(digests.PHONE)
    email = PointField(digests.EMAIL)
    label = TextField(40)  # type: ignore[assignment]  # DRF's metaclass takes fields off the class
    whose = TextField(80)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        return one_of_two(data)


def one_of_two(data: dict[str, Any]) -> dict[str, Any]:
    if bool(data["phone"]) is bool(data["email"]):
        raise serializers.ValidationError({"phone": [_("Name a phone or an e-mail address, one of them.")]})
    return data


class ConsentItem(Item):
    """A consent, or its withdrawal, with its evidence; `phone` or `email` if not the lead's first."""

    channel = ChannelField()
    kind = serializers.ChoiceField(choices=["EXPRESS", "INQUIRY", "WITHDRAWN"], default="EXPRESS")
    wording = serializers.CharField(max_length=LONGEST_WORDING)
    obtained_at = InstantField()
    source = TextField(80)  # type: ignore[assignment]  # DRF's metaclass takes fields off the class
    ip = serializers.IPAddressField(required=False, allow_blank=True, default="")
    reference = TextField(60)
    phone = PointField(digests.PHONE)
    email = PointField(digests.EMAIL)


class UpsertLeadInput(Input):
    """The input of POST /leads; unknown parameters are stored with the lead as sent."""

    keeps_unknown = True

    lead_id = LeadIdField(required=False, allow_blank=True, default="")
    province = ProvinceField(required=False)
    market = MarketField()
    owner = TextField(ACTOR_LENGTH)
    ladder = serializers.BooleanField(required=False, default=False)
    contact_points = PointItem(many=True, required=False, default=list)
    consents = ConsentItem(many=True, required=False, default=list)

    def get_fields(self) -> Any:
        return {**super().get_fields(), **{name: _lead_input(BY_NAME[name]) for name in LEAD_INPUTS}}

    def validate_contact_points(self, items: list[Any]) -> list[Any]:
        return at_most(items)

    def validate_consents(self, items: list[Any]) -> list[Any]:
        return at_most(items)


def at_most(items: list[Any]) -> list[Any]:
    if len(items) > MOST_ITEMS:
        raise serializers.ValidationError(_("At most %(most)s in one call.") % {"most": MOST_ITEMS})
    return items


class ChangeLeadInput(Input):
    """The input of PATCH /leads/{id}: the columns to change; blank or null clears one."""

    province = ProvinceField(required=False)
    market = MarketField(required=False, default=empty)

    def get_fields(self) -> Any:
        columns = {name: _lead_input(BY_NAME[name]) for name in VALUES}
        for field in columns.values():
            field.default, field.allow_null = empty, True
        return {**super().get_fields(), **columns}


class AddPointInput(Input):
    """The input of POST /leads/{id}/contact-points."""

    phone = PointField(digests.PHONE)
    email = PointField(digests.EMAIL)
    label = TextField(40)  # type: ignore[assignment]  # DRF's metaclass takes fields off the class
    whose = TextField(80)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        return one_of_two(data)


class WonInput(Input):
    """The input of POST /leads/{id}/won, and of retiring a contact point: nothing but who acts."""


class DeadInput(Input):
    """The input of POST /leads/{id}/dead."""

    reason = serializers.CharField(max_length=200)


class NotNowInput(Input):
    """The input of POST /leads/{id}/not-now; a date means noon UTC on it."""

    until = WhenField()
    reason = TextField(200)


class BulkLeadsInput(BulkInput):
    """The input of POST /leads/bulk: up to 1,000 items like the input of POST /leads."""


class BulkLaddersInput(BulkInput):
    """The input of POST /ladders/bulk: up to 1,000 items like the input of POST /ladder/create."""


CHANGEABLE = ("province", "market", *VALUES)


def evidence_of(item: Mapping[str, Any]) -> str:
    """Return how a consent can be proved, in one line of at most 200 characters."""
    ip = f"IP {item['ip']}" if item["ip"] else ""
    return "; ".join(filter(None, (item["source"], ip, item["reference"])))


def as_upserted(stored: Upserted) -> dict[str, object]:
    """Return what became of a lead that was sent; ids and names of columns, never values."""
    return {
        "ok": True,
        "id": stored.lead.pk,
        "lead_id": stored.lead.external_id,
        "created": stored.created,
        "matched_by": stored.matched_by or None,
        "changed": list(stored.changed),
        "possible_duplicates": [{"id": pk, "lead_id": name} for pk, name in stored.possible_duplicates],
        "consents": [
            {
                "channel": one.channel,
                "kind": one.kind,
                "recorded": not one.reason,
                "already": one.already,
                "reason": one.reason or None,
            }
            for one in stored.consents
        ],
        "ladder": _as_ladder(stored.ladder),
        "warnings": list(stored.warnings),
    }


def _as_ladder(ladder: NewLadder | Refused | Later | None) -> dict[str, object] | None:
    if ladder is None or isinstance(ladder, Later):
        return None
    if isinstance(ladder, Refused):
        reason = ladder.extra.get("reason") or ladder.code
        return {"started": False, **ladder.extra, "reason": reason, "detail": str(ladder.message)}
    answer = ladder.as_answer()
    del answer["ok"]
    return {"started": True, **answer}


def as_point(point: ContactPoint, *, changed: bool) -> dict[str, object]:
    """Return a contact point without its value."""
    shown = {"id": point.pk, "kind": point.kind, "status": point.status}
    return {"ok": True, "changed": changed, "contact_point": shown}


def as_next_step(step: NextStep) -> dict[str, object]:
    task, verdict = step.task, step.verdict
    contact = None
    if verdict is not None:
        contact = {"ok": verdict.ok, "reason": verdict.reason, "next_allowed_at": step.next_allowed_at}
    return {
        "ok": True,
        "lead_id": step.lead.external_id,
        "status": step.lead.status,
        "now": bool(step.kind) and not step.reason,
        "kind": step.kind or None,
        "at": step.at,
        "reason": step.reason or None,
        "task": None if task is None else {**as_answer(task), "owner": task.owner or None},
        "contact": contact,
    }


def as_settled(settled: Settled) -> dict[str, object]:
    lead = settled.lead
    return {
        "ok": True,
        "id": lead.pk,
        "lead_id": lead.external_id,
        "status": lead.status,
        "follow_up_at": lead.follow_up_at,
        "changed": settled.changed,
        "ladders_stopped": settled.ladders,
        "tasks_cancelled": settled.tasks,
    }


NOTE_MOST = 1_048_576  # characters: a note never stops an outcome; a body is limited to 1 MB


class TaskInput(Input):
    claim_token = TextField(32)


class StartInput(TaskInput):
    pass


class CompleteInput(TaskInput):
    outcome = serializers.ChoiceField(
        choices=FollowUpTask.Outcome.choices, required=False, allow_blank=True, default=""
    )
    next = serializers.ChoiceField(choices=NEXT, required=False, allow_blank=True, default="")
    next_at = WhenField(required=False, default=None)
    note = TextField(NOTE_MOST)
    contacted_at = InstantField(required=False, default=None)
    override_reason = TextField(500)
    happened = serializers.BooleanField(required=False, default=False)

    def to_internal_value(self, data: Any) -> object:
        given = dict(data)
        for name in ("outcome", "next"):
            if isinstance(given.get(name), str):
                given[name] = given[name].strip().upper()
        if isinstance(given.get("next"), dict):  # {"kind": "CALLBACK", "at": "…"}
            whole = given.pop("next")
            given["next"] = str(whole.get("kind", "")).strip().upper()
            if "at" in whole:
                given["next_at"] = whole["at"]
        return super().to_internal_value(given)


class SnoozeInput(TaskInput):
    until = WhenField()


class SkipInput(TaskInput):
    reason = serializers.CharField(max_length=200)


class RenewInput(Input):
    claim_token = serializers.CharField(max_length=32)


class StopInput(Input):
    reason = serializers.CharField(max_length=200)


class ReassignInput(Input):
    owner = TextField(ACTOR_LENGTH)
    reason = serializers.CharField(max_length=200)


class ReassignManyInput(ReassignInput):
    """Tasks by their ids, or those that match a filter."""

    ids = JSONObjectField(list, required=False, default=None)
    of_owner = serializers.CharField(max_length=ACTOR_LENGTH, required=False, allow_blank=True, default=None)
    province = ProvinceField(required=False)
    market = MarketField(default=None)
    channel = ChannelField(required=False)

    def validate(self, data: dict[str, object]) -> dict[str, object]:
        filtered = data["of_owner"] is not None or any(data.get(k) for k in ("province", "market", "channel"))
        if (data["ids"] is None) is not filtered:
            raise serializers.ValidationError(
                {"ids": [_("Select tasks by ids, or by of_owner, province, market and channel.")]}
            )
        return data

    def validate_ids(self, ids: list[Any] | None) -> list[int] | None:
        if ids is None:
            return None
        if len(ids) > MOST_REASSIGNED or any(type(i) is not int or not 0 < i <= MAX_ID for i in ids):
            raise serializers.ValidationError(
                _("A list of at most %(most)s task ids is needed.") % {"most": MOST_REASSIGNED}
            )
        return ids


class CorrectInput(Input):
    outcome = serializers.CharField(max_length=12)
    next = serializers.ChoiceField(choices=NEXT, required=False, allow_blank=True, default="")
    next_at = WhenField(required=False, default=None)
    reason = serializers.CharField(max_length=200)


class InboundInput(Input):
    channel = ChannelField()
    outcome = serializers.CharField(max_length=12, required=False, allow_blank=True, default="")
    next = serializers.ChoiceField(choices=NEXT, required=False, allow_blank=True, default="")
    next_at = WhenField(required=False, default=None)
    note = TextField(NOTE_MOST)


class LookupQuestion(Input):
    phone = PointField(digests.PHONE)
    email = PointField(digests.EMAIL)
    lead_id = LeadIdField(required=False, allow_blank=True, default="")


class QueueFilters(Input):
    province = ProvinceField(required=False)
    market = MarketField(default=None)
    channel = ChannelField(required=False)


class DueQuestion(QueueFilters):
    limit = WholeNumberField(min_value=1, max_value=MOST_DUE, default=50)
    owner = TextField(ACTOR_LENGTH)
    contactable = serializers.BooleanField(required=False, allow_null=True, default=None)
    order = serializers.ChoiceField(choices=["due", "urgent"], default="due")


class ClaimInput(QueueFilters):
    limit = WholeNumberField(min_value=1, max_value=MOST_CLAIMED, default=MOST_CLAIMED)


class SlaQuestion(Input):
    last = WholeNumberField(min_value=1, max_value=20_000, default=LAST)
    since = WhenField(required=False, default=None)
    until = WhenField(required=False, default=None)
    group_by = serializers.ChoiceField(choices=sorted(GROUPS), required=False, allow_blank=True, default="")
    clock = serializers.ChoiceField(choices=["allowed", "wall"], default="allowed")

    def validate(self, data: dict[str, Any]) -> dict[str, object]:
        if data["since"] and data["until"] and data["until"] <= data["since"]:
            raise serializers.ValidationError({"until": [_("until must be after since.")]})
        return data


class LeadSerializer(serializers.ModelSerializer[Lead]):
    lead_id = serializers.CharField(source="external_id")
    points = serializers.SerializerMethodField()

    class Meta:
        model = Lead
        fields = [
            "id", "lead_id", *COLUMNS[1:], "points", "created_at", "updated_at", "actor", "acting_for",
            "correlation_id",
        ]  # fmt: skip

    def get_points(self, lead: Lead) -> list[dict[str, object]]:
        return [
            {
                "id": p.pk,
                "kind": p.kind,
                "value": p.value,
                "label": p.label,
                "whose": p.whose,
                "status": p.status,
            }
            for p in lead.points.all()
        ]


class TaskSerializer(serializers.ModelSerializer[FollowUpTask]):
    lead_id = serializers.CharField(source="lead.external_id")

    class Meta:
        model = FollowUpTask
        fields = [
            "id", "lead_id", "ladder_id", "kind", "step", "channel", "province", "scheduled_for", "due_at",
            "deadline_at", "opened_at",
            "zone", "status", "held_reason", "snoozed_until", "owner", "claimed_by", "claim_until", "outcome",
            "corrected_to", "next", "next_at", "note", "started_at", "contacted_at", "contact_source",
            "entered_late", "completed_at", "completed_by", "closed_reason", "response_minutes",
            "response_wall_minutes", "created_at", "updated_at", "actor", "acting_for", "correlation_id",
        ]  # fmt: skip
