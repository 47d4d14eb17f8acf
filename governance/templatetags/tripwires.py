"""Template tags for the banner of fired tripwires, on every admin page."""

from __future__ import annotations

from django import template
from django.template.context import Context

from governance.tripwire.banner import standing_of
from governance.tripwire.wording import label

register = template.Library()
NAMED = 3


@register.inclusion_tag("admin/tripwire_banner.html", takes_context=True)
def tripwires_admin_banner(context: Context) -> dict[str, object]:
    """Show the tripwires that fired and were not reset, to users with the permission; one query per page."""
    request = context.get("request")
    found = [state for state in standing_of(request) if state.triggered] if request is not None else []
    return {
        "fired": [{"pk": state.pk, "label": label(state.policy)} for state in found[:NAMED]],
        "others": max(0, len(found) - NAMED),
    }
