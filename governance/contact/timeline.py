"""The contact gate's entries in a lead's timeline."""

from __future__ import annotations

from django.utils.translation import gettext as _

from governance.contact.models import ContactDecision
from governance.contact.reasons import sentence
from governance.core.hooks import Happened

MOST = 300  # nobody reads further back


def timeline(lead_id: str) -> list[Happened]:
    """Return the decisions on contacting a lead, in one query."""
    rows = ContactDecision.objects.filter(lead_id=lead_id).order_by("-created_at")[:MOST]
    return [
        Happened(
            row.created_at,
            "allowed" if row.ok else "refused",
            _("Contact allowed · %(channel)s") % {"channel": row.channel}
            if row.ok
            else _("Contact refused · %(channel)s") % {"channel": row.channel},
            sentence(row.reason),
            row.actor,
            row.correlation_id,
            "governance.contactdecision",
            row.pk,
        )
        for row in rows
    ]
