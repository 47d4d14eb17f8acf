"""Property types of buyers' interests and offers."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class PropertyType(models.TextChoices):
    """A closed list, shared by all packs, so that a market's liquidity and its offers match."""

    SFR = "SFR", _("single-family house")
    CONDO = "CONDO", _("condominium")
    TOWNHOUSE = "TOWNHOUSE", _("townhouse")
    MF = "MF", _("multi-family")
    LAND = "LAND", _("land")
    MOBILE = "MOBILE", _("mobile home")
    COMMERCIAL = "COMMERCIAL", _("commercial")
    MIXED = "MIXED", _("mixed use")
    FARM = "FARM", _("farm")
