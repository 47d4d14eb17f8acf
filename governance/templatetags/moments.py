"""Template tags for instants, in the time zone of the page, with its name."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.core.moments import moment_in_words

register = template.Library()


@register.filter
def moment(at: datetime | None) -> str:
    """Return an instant such as 24 Nov 2026, 15:34 EST; a dash for None."""
    return moment_in_words(at) if at else "–"


@register.simple_tag
def zone_of_times() -> str:
    """Return the name of the page's time zone."""
    city = timezone.get_current_timezone_name().rpartition("/")[2].replace("_", " ")
    return _("Times: %(city)s (%(short)s)") % {"city": city, "short": f"{timezone.localtime():%Z}"}
