"""The scheduler of which only one fires, however many are started."""

from __future__ import annotations

import os
import socket
import uuid
from datetime import timedelta
from typing import Any

from django.utils import timezone
from django_celery_beat.schedulers import DatabaseScheduler

from governance.outbox.lease import hold, release

LEASE = timedelta(seconds=30)


class LeasedScheduler(DatabaseScheduler):  # type: ignore[misc]  # django-celery-beat has no types
    """The database scheduler, firing only while it holds the scheduler's lease row."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.holder = f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        if not hold("scheduler", self.holder, timezone.now(), LEASE):
            return 5.0
        return float(super().tick(*args, **kwargs))

    def close(self) -> None:
        super().close()
        release("scheduler", self.holder)
