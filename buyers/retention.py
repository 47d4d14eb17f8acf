"""Buyers as records that can be erased: what is stored about them, and what stays."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import datetime
from itertools import chain

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from buyers.models import Buyer, BuyerFeedbackEvent
from governance.contact import digests
from governance.core.actors import Actor
from governance.retention.registry import BUYER, Person, Retained, Who
from governance.retention.rules import ERASED, Words

MOST_NAMED = 10


class Buyers:
    """Buyers, for `governance.retention`."""

    kind = BUYER
    model = Buyer

    def find(self, who: Who) -> list[int]:
        wanted = {"external_id": who.buyer_id, "phone": who.phone, "email": who.email}
        given = {name: value for name, value in wanted.items() if value}
        if not given:
            return []
        return list(Buyer.objects.filter(erasure=None, **given).order_by("pk").values_list("pk", flat=True))

    def lock(self, ids: Collection[int]) -> None:
        list(Buyer.objects.select_for_update().filter(pk__in=ids).order_by("pk").values_list("pk"))

    def sharing(self, person: Person) -> list[str]:
        same = Q(phone__in=person.phones) | Q(email__in=person.emails)
        others = Buyer.objects.filter(same, erasure=None)
        if person.kind == BUYER:
            others = others.exclude(pk=person.id)
        return [str(buyer) for buyer in others.order_by("pk")[:MOST_NAMED]]

    def read(self, record_id: int) -> Person | None:
        buyer = Buyer.objects.filter(pk=record_id, erasure=None).first()
        if buyer is None:
            return None
        phones, emails = tuple(filter(None, [buyer.phone])), tuple(filter(None, [buyer.email]))
        points = [
            *(digests.every_digest(digests.PHONE, phone) for phone in phones),
            *(digests.every_digest(digests.EMAIL, email) for email in emails),
        ]
        feedback = BuyerFeedbackEvent.objects.filter(buyer=buyer).count()
        return Person(
            kind=BUYER,
            id=buyer.pk,
            label=f"{buyer.external_id} {buyer.name}".strip(),
            reference=buyer.external_id,
            words=Words.of([buyer.name, *emails], phones),
            phones=phones,
            emails=emails,
            points=tuple(chain.from_iterable(points)),
            reached=tuple(hashes[0] for hashes in points),
            stays=(Retained(_("feedback from the person, by number"), feedback),),
        )

    def stop(self, person: Person, *, by: Actor, at: datetime) -> None:
        return

    def erase(self, person: Person, erasure: models.Model, *, by: Actor) -> int:
        return Buyer.objects.filter(pk=person.id).update(
            external_id=f"{ERASED}-{secrets.token_hex(6)}", erasure=erasure, name="", phone="", email="",
            provinces=[], markets=[], property_types=[], price_min=None, price_max=None, proof_of_funds=None,
            proof_of_funds_on=None, updated_at=erasure.at,  # type: ignore[attr-defined]  # known by its name alone
        )  # fmt: skip
