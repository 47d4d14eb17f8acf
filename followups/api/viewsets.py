"""The REST entry points of follow-ups: parse the input, call one service, respond."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from followups import services
from followups.api import serializers as shapes
from followups.api.filters import LeadFilter, TaskFilter
from followups.fields import FIELD_OF_KIND, VALUES, LeadValues
from followups.models import FollowUpTask, Lead
from governance.contact import digests
from governance.core.actors import Actor, Role, owner_key
from governance.core.places import fold
from governance.core.rest.bulk import Bulk, BulkViewSet
from governance.core.rest.input import from_office, versions_of, who
from governance.core.rest.viewsets import CollectionViewSet, Inputs, ServiceViewSet


def _queue(data: dict[str, Any]) -> dict[str, Any]:
    """Return the filters that the due list and claiming share."""
    wanted = {name: data[name] for name in ("province", "channel") if data.get(name)}
    if data.get("market"):
        wanted["market_key"] = fold(data["market"])
    if data.get("owner"):
        wanted["owner_key"] = owner_key(data["owner"])
    return wanted


class LadderViewSet(BulkViewSet):
    rights: ClassVar[dict[str, str]] = {
        "create": services.CREATE_LADDER,
        "create_many": services.CREATE_LADDER,
        "stop": services.stop_ladder.right,
    }
    inputs: ClassVar[Inputs] = {
        "create": shapes.CreateLadderInput,
        "create_many": shapes.BulkLaddersInput,
        "stop": shapes.StopInput,
    }
    bulks: ClassVar[dict[str, Bulk]] = {"create_many": Bulk(shapes.CreateLadderInput, "create_one")}
    repeatable: ClassVar[frozenset[str]] = frozenset(bulks)
    rehearses_itself: ClassVar[frozenset[str]] = frozenset(bulks)

    def create(self, request: Request) -> Response:
        return self.create_one(*self.read())

    def create_many(self, request: Request) -> Response:
        return self.in_bulk(request)

    def create_one(self, data: dict[str, Any], by: Actor) -> Response:
        details = {name: data[name] for name in shapes.LEAD_INPUTS}
        made = services.create_ladder(
            data["lead_id"],
            by=by,
            at=timezone.now(),
            province=data.get("province", ""),
            market=data["market"],
            owner=data["owner"],
            details=services.LeadDetails(**details, extra=data["unknown"]),
        )
        return Response(made.as_answer(), status=201)

    def stop(self, request: Request, pk: int) -> Response:
        data, by = self.read()
        ladder = services.stop_ladder(pk, by=by, at=timezone.now(), reason=data["reason"])
        # the reason is free text, which no stored answer may hold
        return Response({"ok": True, "ladder": {"id": ladder.pk, "status": ladder.status}})


class TaskViewSet(ServiceViewSet):
    rights: ClassVar[dict[str, str]] = {
        "start": services.start_task.right,
        "complete": services.complete_task.right,
        "renew": services.renew_claim.right,
        "release": services.release_claim.right,
        "snooze": services.snooze_task.right,
        "skip": services.skip_task.right,
        "reassign": services.reassign_tasks.right,
        "reassign_many": services.reassign_found.right,
        "correct": services.correct_task.right,
        "lookup": services.look_up.right,
        "inbound": services.record_inbound.right,
        "due": "governance.view_operations",
        "claim": services.claim_due.right,
        "sla": "governance.view_operations",
    }
    inputs: ClassVar[Inputs] = {
        "start": shapes.StartInput,
        "complete": shapes.CompleteInput,
        "renew": shapes.RenewInput,
        "release": shapes.TaskInput,
        "snooze": shapes.SnoozeInput,
        "skip": shapes.SkipInput,
        "reassign": shapes.ReassignInput,
        "reassign_many": shapes.ReassignManyInput,
        "correct": shapes.CorrectInput,
        "lookup": shapes.LookupQuestion,
        "inbound": shapes.InboundInput,
        "due": shapes.DueQuestion,
        "claim": shapes.ClaimInput,
        "sla": shapes.SlaQuestion,
    }
    questions: ClassVar[frozenset[str]] = frozenset({"lookup"})

    def _source(self) -> str:
        sources = FollowUpTask.Source
        return sources.DIALER if self.by().role == Role.SERVICE else sources.PAGE_BUTTON

    def start(self, request: Request, pk: int) -> Response:
        data, by = self.read()
        return Response(
            services.start_task(
                pk, by=by, at=timezone.now(), claim_token=data["claim_token"], source=self._source()
            )
        )

    def complete(self, request: Request, pk: int) -> Response:
        data, by = self.read()
        said = services.Completion(
            **{
                name: value
                for name, value in data.items()
                if name in services.Completion.__dataclass_fields__
            },
            source=self._source(),
        )
        return Response(services.complete_task(pk, said, by=by, at=timezone.now()).as_answer())

    def renew(self, request: Request, pk: int) -> Response:
        data, by = self.read()
        until = services.renew_claim(pk, by=by, at=timezone.now(), claim_token=data["claim_token"])
        return Response({"ok": True, "claim_until": until})

    def release(self, request: Request, pk: int) -> Response:
        data, by = self.read()
        held = services.release_claim(pk, by=by, at=timezone.now(), claim_token=data["claim_token"])
        return Response({"ok": True, "released": held})

    def snooze(self, request: Request, pk: int) -> Response:
        data, by = self.read()
        task = services.snooze_task(
            pk, by=by, at=timezone.now(), until=data["until"], claim_token=data["claim_token"]
        )
        return Response(
            {"ok": True, "task": {"id": task.pk, "snoozed_until": task.snoozed_until, "due_at": task.due_at}}
        )

    def skip(self, request: Request, pk: int) -> Response:
        data, by = self.read()
        task, following = services.skip_task(
            pk, by=by, at=timezone.now(), reason=data["reason"], claim_token=data["claim_token"]
        )
        return Response(
            {
                "ok": True,
                "task": {"id": task.pk, "status": task.status, "step": task.step, "channel": task.channel},
                "next_task": services.as_answer(following) if following else None,
            }
        )

    def reassign(self, request: Request, pk: int) -> Response:
        data, by = self.read()
        moved = services.reassign_tasks([pk], data["owner"], by=by, at=timezone.now(), reason=data["reason"])
        return Response({"ok": True, "reassigned": moved})

    def reassign_many(self, request: Request) -> Response:
        data, by = self.read()
        how = {"by": by, "at": timezone.now(), "reason": data["reason"]}
        if data["ids"] is not None:
            moved = services.reassign_tasks(data["ids"], data["owner"], **how)
            return Response({"ok": True, "reassigned": moved, "remaining": 0})
        wanted = _queue({**data, "owner": None})
        if data["of_owner"] is not None:
            wanted["owner_key"] = owner_key(data["of_owner"])
        moved, remaining = services.reassign_found(wanted, data["owner"], **how)
        return Response({"ok": True, "reassigned": moved, "remaining": remaining})

    def correct(self, request: Request, pk: int) -> Response:
        data, by = self.read()
        said = services.Completion(
            outcome=data["outcome"].strip().upper(), next=data["next"], next_at=data["next_at"]
        )
        corrected = services.correct_task(pk, said, by=by, at=timezone.now(), reason=data["reason"])
        answer = corrected.as_answer()
        answer["task"]["outcome"] = corrected.task.outcome
        answer["task"]["corrected_to"] = corrected.task.corrected_to or None
        answer["already_corrected"] = answer.pop("already_completed")
        return Response(answer)

    def lookup(self, request: Request) -> Response:
        data, by = self.read()
        asked = {name: data[name] for name in ("phone", "email", "lead_id")}
        return Response(
            {
                "ok": True,
                "leads": services.look_up(by=by, at=timezone.now(), office=from_office(request), **asked),
            }
        )

    def inbound(self, request: Request, lead_id: str) -> Response:
        data, by = self.read()
        row, following = services.record_inbound(
            lead_id,
            by=by,
            at=timezone.now(),
            channel=data["channel"],
            outcome=data["outcome"].strip().upper(),
            next=data["next"],
            next_at=data["next_at"],
            note=data["note"],
        )
        return Response(
            {
                "ok": True,
                "inbound_id": row.pk,
                "next_task": services.as_answer(following) if following else None,
            },
            status=201,
        )

    def due(self, request: Request) -> Response:
        data, by = self.read()
        rows = services.due_tasks(
            by=by,
            at=timezone.now(),
            limit=data["limit"],
            filters=_queue(data),
            contactable=data["contactable"],
            order=data["order"],
        )
        return Response({"ok": True, "due": rows})

    def claim(self, request: Request) -> Response:
        data, by = self.read()
        token, ids, until = services.claim_due(
            by=by, at=timezone.now(), limit=data["limit"], filters=_queue(data)
        )
        rows = (
            services.due_tasks(by=by, at=timezone.now(), limit=len(ids), filters={"pk__any_of": ids})
            if ids
            else []
        )
        return Response(
            {
                "ok": True,
                "claim_token": token if ids else None,
                "claim_until": until if ids else None,
                "tasks": rows,
            }
        )

    def sla(self, request: Request) -> Response:
        data, _by = self.read()
        asked = {name: data[name] for name in ("last", "since", "until", "group_by", "clock")}
        return Response({"ok": True, **services.sla_of(at=timezone.now(), **asked)})


class LeadCollection(BulkViewSet, CollectionViewSet):
    """Leads: read as a collection, and written by programs and managers."""

    rights: ClassVar[dict[str, str]] = {
        "list": "followups.view_lead",
        "retrieve": "followups.view_lead",
        "next_step": "followups.view_lead",
        "upsert": services.upsert_lead.right,
        "upsert_many": services.upsert_lead.right,
        "change": services.change_lead.right,
        "won": services.settle_by_hand.right,
        "dead": services.settle_by_hand.right,
        "not_now": services.settle_by_hand.right,
        "add_point": services.add_point.right,
        "retire_point": services.retire_point.right,
    }
    inputs: ClassVar[Inputs] = {
        "upsert": shapes.UpsertLeadInput,
        "upsert_many": shapes.BulkLeadsInput,
        "change": shapes.ChangeLeadInput,
        "won": shapes.WonInput,
        "dead": shapes.DeadInput,
        "not_now": shapes.NotNowInput,
        "add_point": shapes.AddPointInput,
        "retire_point": shapes.WonInput,
    }
    bulks: ClassVar[dict[str, Bulk]] = {
        "upsert_many": Bulk(shapes.UpsertLeadInput, "upsert_one", many="upsert_part")
    }
    repeatable: ClassVar[frozenset[str]] = frozenset(bulks)
    rehearses_itself: ClassVar[frozenset[str]] = frozenset(bulks)
    versioned: ClassVar[frozenset[str]] = frozenset({"retrieve", "change"})
    serializer_class = shapes.LeadSerializer
    filterset_class = LeadFilter
    ordering = ("-created_at", "-id")
    ordering_fields = ("id", "created_at")

    def get_queryset(self) -> QuerySet[Lead]:
        leads = Lead.objects.visible_to(who(self.request), timezone.now())
        return leads.prefetch_related("points") if self.has_field("points") else leads

    def retrieve(self, request: Request, *args: object, **kwargs: object) -> Response:
        lead = self.get_object()
        version = services.version_of(lead, list(lead.points.all()))
        return Response(self.get_serializer(lead).data, headers={"ETag": f'"{version}"'})

    def next_step(self, request: Request, pk: int) -> Response:
        step = services.next_step_of(pk, by=self.by(), at=timezone.now())
        return Response(shapes.as_next_step(step))

    def upsert(self, request: Request) -> Response:
        return self.upsert_one(*self.read())

    def upsert_many(self, request: Request) -> Response:
        return self.in_bulk(request)

    def upsert_one(self, data: dict[str, Any], by: Actor) -> Response:
        stored = services.upsert_lead(
            sent_lead(data), by=by, at=timezone.now(), ladder=data["ladder"], owner=data["owner"]
        )
        return self._upserted(stored)

    def upsert_part(
        self, items: Sequence[dict[str, Any]], by: Actor, more: Callable[[], bool]
    ) -> list[Response]:
        """Store leads while there is time for `more`, then start their ladders together."""
        at = timezone.now()
        found: list[services.Upserted | Response] = []
        for data in items:
            if found and not more():
                break
            try:
                wants = {"ladder": data["ladder"], "owner": data["owner"], "later": True}
                found.append(services.upsert_lead(sent_lead(data), by=by, at=at, **wants))
            except Exception as refusal:
                found.append(self.handle_exception(refusal))  # re-raises anything that is not a refusal
        stored = [one for one in found if isinstance(one, services.Upserted)]
        done = iter(services.start_later(stored, by=by, at=at))
        return [one if isinstance(one, Response) else self._upserted(next(done)) for one in found]

    def _upserted(self, stored: services.Upserted) -> Response:
        return Response(shapes.as_upserted(stored), status=201 if stored.created else 200)

    def change(self, request: Request, pk: int) -> Response:
        data, by = self.read()
        columns = {name: data[name] for name in shapes.CHANGEABLE if name in data}
        lead, changed, version = services.change_lead(
            pk, columns, versions=versions_of(request), by=by, at=timezone.now()
        )
        # no values: nothing that a stored or logged answer holds should name a person
        answer = {"ok": True, "id": lead.pk, "lead_id": lead.external_id, "changed": changed}
        return Response(answer, headers={"ETag": f'"{version}"'})

    def won(self, request: Request, pk: int) -> Response:
        _data, by = self.read()
        settled = services.settle_by_hand(pk, Lead.Status.WON, by=by, at=timezone.now())
        return Response(shapes.as_settled(settled))

    def dead(self, request: Request, pk: int) -> Response:
        data, by = self.read()
        settled = services.settle_by_hand(
            pk, Lead.Status.DEAD, by=by, at=timezone.now(), reason=data["reason"]
        )
        return Response(shapes.as_settled(settled))

    def not_now(self, request: Request, pk: int) -> Response:
        data, by = self.read()
        settled = services.settle_by_hand(
            pk, Lead.Status.NOT_NOW, by=by, at=timezone.now(), reason=data["reason"], until=data["until"]
        )
        return Response(shapes.as_settled(settled))

    def add_point(self, request: Request, pk: int) -> Response:
        data, by = self.read()
        point, is_new = services.add_point(pk, sent_point(data), by=by, at=timezone.now())
        return Response(shapes.as_point(point, changed=is_new), status=201 if is_new else 200)

    def retire_point(self, request: Request, pk: int, point_id: int) -> Response:
        _data, by = self.read()
        point, retired = services.retire_point(pk, point_id, by=by, at=timezone.now())
        return Response(shapes.as_point(point, changed=retired))


def sent_point(data: dict[str, Any]) -> services.SentPoint:
    kind = digests.PHONE if data["phone"] else digests.EMAIL
    return services.SentPoint(kind, data["phone"] or data["email"], data["label"], data["whose"])


def sent_lead(data: dict[str, Any]) -> services.SentLead:
    """Return the service's form of a validated `UpsertLeadInput`."""
    own = [services.SentPoint(kind, data[name]) for kind, name in FIELD_OF_KIND.items() if data[name]]
    return services.SentLead(
        external_id=data["lead_id"],
        province=data.get("province", ""),
        market=data["market"],
        values=LeadValues(**{name: data[name] for name in VALUES}),
        points=[*own, *(sent_point(item) for item in data["contact_points"])],
        extra=data["unknown"],
        consents=[
            services.SentConsent(
                channel=item["channel"],
                kind=item["kind"],
                wording=item["wording"],
                obtained_at=item["obtained_at"],
                evidence=shapes.evidence_of(item),
                value=item["phone"] or item["email"],
            )
            for item in data["consents"]
        ],
    )


class TaskCollection(CollectionViewSet):
    rights: ClassVar[dict[str, str]] = {
        "list": "followups.view_followuptask",
        "retrieve": "followups.view_followuptask",
    }
    serializer_class = shapes.TaskSerializer
    filterset_class = TaskFilter
    ordering = ("-created_at", "-id")
    ordering_fields = ("id", "created_at", "due_at")

    def get_queryset(self) -> QuerySet[FollowUpTask]:
        tasks = FollowUpTask.objects.visible_to(who(self.request), timezone.now()).select_related("lead")
        # a cursor cannot include blocked tasks, which have no due time
        by_due = "due_at" in self.request.query_params.get("ordering", "")
        return tasks.filter(due_at__isnull=False) if by_due else tasks
