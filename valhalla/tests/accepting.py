"""What test_jobs_under_kills.py starts: accepts jobs, one after the other, and prints each that it accepted.

`accepting carefully 150 5` accepts 150 within 5 seconds, each as a row of the outbox; with `carelessly` it
also sends a message to the broker after the commit, and that message is the job: the variant that loses jobs.
"""

from __future__ import annotations

import sys
import time

from django.db import transaction
from django.utils import timezone

from valhalla.tests.quick import careless_message  # which sets Django up, for the next line

from governance.outbox.services import post_message  # isort: skip


def accept(number: int, carelessly: bool) -> None:
    with transaction.atomic():
        post_message("note", "ann@example.ca", str(number), "Text", once=str(number), at=timezone.now())
    if carelessly:
        try:
            careless_message.delay(number)
        except Exception as problem:  # too late to take the commit back
            sys.stderr.write(f"{number}: {type(problem).__name__}\n")


if __name__ == "__main__":
    how, count, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    for number in range(count):
        accept(number, carelessly=how == "carelessly")
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        time.sleep(seconds / count)
