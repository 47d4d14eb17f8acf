"""Instants for display."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _


def moment_in_words(at: datetime) -> str:
    """Return an instant in the page's time zone, with its name: 24 Nov. 2026, 15:34 EST."""
    return date_format(timezone.localtime(at), _("j N Y, H:i T"))


def local(at: datetime, zone: str) -> datetime:
    """Return an instant in a time zone."""
    return at.astimezone(ZoneInfo(zone))
