"""Celery. Without a broker one `celery beat` process runs the ticks itself (see docs/decisions)."""

from __future__ import annotations

import os

# read before beat listens for signals: one that comes while it is being read ends in a traceback
import celery.app.amqp  # noqa: F401  # read for its own sake
from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "valhalla.settings")

app = Celery("valhalla")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
