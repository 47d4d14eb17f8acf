"""The reasons for erasing a person."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Why(models.TextChoices):
    """The reason for erasing a person. A code, since the record must not name the person."""

    REQUESTED = "REQUESTED", _("the person asked for it")
    NOT_NEEDED = "NOT_NEEDED", _("no longer needed")
    MISTAKE = "MISTAKE", _("stored by mistake, twice, or as a test")
