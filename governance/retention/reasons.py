"""Why a person is erased."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Why(models.TextChoices):
    """Why a person is erased. A code, for what is written down of an erasure must not name her."""

    REQUESTED = "REQUESTED", _("the person asked for it")
    NOT_NEEDED = "NOT_NEEDED", _("no longer needed")
    MISTAKE = "MISTAKE", _("stored by mistake, twice, or as a test")
