"""The Celery app. Without a broker one `celery beat` process runs the ticks itself (see docs/decisions)."""

from __future__ import annotations

import os

# Imported before beat handles signals: a signal during the import would end in a traceback.
import celery.app.amqp  # noqa: F401  # read for its own sake
from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "valhalla.settings")

app = Celery("valhalla")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
