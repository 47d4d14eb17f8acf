"""Old evidence of an offer that came to nothing goes, with the offer; with an outcome it stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from governance.core.actors import Actor
from governance.models import Removal
from governance.retention.services import remove_expired
from offers.models import Offer, OfferEvidence, OfferOutcome
from offers.tests.factories import kept, outcome, switch_on

pytestmark = [pytest.mark.both, pytest.mark.django_db, pytest.mark.usefixtures("databases_clock")]
LONG_AGO = datetime(2016, 3, 1, 15, 0, tzinfo=UTC)


def test_only_old_evidence_without_an_outcome_goes() -> None:
    switch_on()
    superseded, rejected = kept("L-1", at=LONG_AGO), kept("L-1", at=LONG_AGO)
    outcome(rejected, "REJECTED", at=LONG_AGO)
    nobodys = kept("", at=LONG_AGO)
    young = kept("L-2", at=timezone.now() - timedelta(days=2556))

    assert remove_expired(timezone.now(), by=Actor.system("test"))["offer_evidence"] == 2

    left = set(OfferEvidence.objects.values_list("pk", flat=True))
    assert left == {rejected, young} == set(Offer.objects.values_list("pk", flat=True))
    assert not left & {superseded, nobodys}
    assert OfferOutcome.objects.get().evidence_id == rejected
    assert Removal.objects.get(subject="offer_evidence").count == 2
    call_command("verify_evidence", stdout=StringIO())


def test_nobody_else_deletes_evidence_however_old() -> None:
    switch_on()
    evidence = kept("L-1", at=LONG_AGO)
    Offer.objects.all().delete()

    with pytest.raises(DatabaseError, match="written once"), transaction.atomic():
        connection.cursor().execute("DELETE FROM offers_offerevidence")
    assert OfferEvidence.objects.get().pk == evidence
