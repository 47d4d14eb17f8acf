"""Template tags for the switches' banner, on pages and in admin."""

from __future__ import annotations

from django import template
from django.template.context import Context

from governance.golive.banner import banner_of

register = template.Library()


def _context(context: Context) -> dict[str, object]:
    request = context.get("request")
    return {"banner": banner_of(request) if request is not None else None, "request": request}


@register.inclusion_tag("golive/banner.html", takes_context=True)
def switches_banner(context: Context) -> dict[str, object]:
    """Show the state of the switches on a page, unless everything is live."""
    return _context(context)


@register.inclusion_tag("admin/golive_banner.html", takes_context=True)
def switches_admin_banner(context: Context) -> dict[str, object]:
    """Show the state of the switches on an admin page, unless everything is live."""
    return _context(context)
