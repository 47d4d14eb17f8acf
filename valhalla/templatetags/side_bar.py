"""Template tags with the side bar's titles, for page headers."""

from __future__ import annotations

from django import template
from django.utils.text import capfirst

from valhalla.pages.navigation import places

register = template.Library()


@register.simple_tag
def crumbs(parts: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return the breadcrumbs of a page with the side bar's titles instead of those of apps and models."""
    known = places()
    place = next((known[str(part["link"])] for part in parts if str(part.get("link")) in known), None)
    if place is None:
        return [{**part, "title": capfirst(str(part["title"]))} for part in parts]
    section, title = place
    named = [{**part, "title": title} if str(part.get("link")) in known else part for part in parts[1:]]
    return [{"title": section}, *named]


@register.simple_tag(takes_context=True)
def doing(context: template.Context) -> str:
    """Return what a page does with the rows in its header; blank for their list or form."""
    opts, title = context.get("opts"), str(context.get("title") or "")
    is_form = context.get("adminform") and not context.get("add")
    if opts is None or context.get("cl") or is_form:
        return ""
    names = (str(context.get("original") or ""), capfirst(str(opts.verbose_name_plural)))
    return "" if any(name.startswith(title) for name in names) else title
