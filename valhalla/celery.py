"""Celery. Without a broker one `celery beat` process runs the ticks itself (see docs/decisions)."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "valhalla.settings")

app = Celery("valhalla")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
