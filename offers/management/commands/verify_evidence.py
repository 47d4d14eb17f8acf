"""``manage.py verify_evidence``: checks that stored offers are as they were computed."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from offers.models import OfferEvidence
from offers.services import differences

BATCH = 500


class Command(BaseCommand):
    help = (
        "Compute every stored offer again from its inputs, to the cent, and compare its digest with its "
        "content. Prints each difference; exits with 1 if there is any."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since-id", type=int, default=0, help="start after the evidence with this id")

    def handle(self, *args: object, since_id: int, **options: object) -> None:
        checked = wrong = 0
        for evidence in (
            OfferEvidence.objects.filter(pk__gt=since_id).order_by("pk").iterator(chunk_size=BATCH)
        ):
            checked += 1
            found = differences(evidence)
            if found:
                wrong += 1
                self.stdout.write(f"evidence {evidence.pk}: {', '.join(found)} differ")
        self.stdout.write(f"{checked} offers verified, {wrong} differ")
        if wrong:
            raise SystemExit(1)
