"""A lead's timeline: everything done for them, decided about them and offered to them, in order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.apps import apps
from django.contrib import admin
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from followups.models import Lead
from governance.core.hooks import Happened, timeline_of
from governance.kpi.models import Domain, KpiEvent
from governance.kpi.names import metric_label
from valhalla.pages.entry import for_managers

MOST_CALLS, MOST_KPIS = 300, 300
# The keys in an event's detail that name the row it counts. One call may have written rows for thousands of
# leads.
NAMED = {
    "task": "followups.followuptask",
    "ladder": "followups.ladder",
    "inbound": "followups.inboundcontact",
    "evidence_id": "offers.offerevidence",
}
NOT_A_LEADS = "feedback"  # a buyer's


def timeline(lead_id: str) -> list[Happened]:
    """Return a lead's history, oldest first: the newest entries of each pack, with their KPI events."""
    told = [happened for answer in timeline_of.ask(lead_id) for happened in answer]
    told += _counted(told)
    return sorted(told, key=lambda happened: happened.at)


def _counted(told: Sequence[Happened]) -> list[Happened]:
    """Return the KPI events of the calls that wrote these rows, without those that count another row."""
    calls = sorted({one.correlation_id for one in told if one.correlation_id})[:MOST_CALLS]
    of_lead = ~Q(detail__has_any_keys=[*NAMED, NOT_A_LEADS])
    for key, model in NAMED.items():
        of_lead |= Q(**{f"detail__{key}__in": sorted({one.pk for one in told if one.model == model})})
    events = KpiEvent.objects.filter(of_lead, correlation_id__in=calls).exclude(domain=Domain.NOTIFY)
    return [
        Happened(
            event.created_at,
            "kpi",
            metric_label(event.domain, event.metric, unknown=event.metric),
            _how(event),
            event.actor,
            event.correlation_id,
            "governance.kpievent",
            event.pk,
        )
        for event in events.order_by("-created_at")[:MOST_KPIS]
    ]


def _how(event: KpiEvent) -> str:
    if event.success is not None:
        return _("counted as a success") if event.success else _("counted as no success")
    if event.value is None:
        return _("counted")
    return number_format(f"{event.value.normalize():f}", force_grouping=True)


def _address(happened: Happened) -> str:
    if not happened.model:
        return ""
    options = apps.get_model(happened.model)._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[happened.pk])


def _shown(told: Sequence[Happened], now: datetime) -> list[dict[str, object]]:
    return [{"what": one, "url": _address(one), "is_to_come": one.at > now} for one in told]


@for_managers
def lead_line(request: HttpRequest) -> HttpResponse:
    """Show the timeline of the lead with the id `lead`."""
    asked = request.GET.get("lead", "").strip().replace("\0", "")[:64]
    lead = Lead.objects.filter(external_id=asked).first()
    told = timeline(asked) if asked else []
    if lead is None and not told:
        raise Http404(_("There is no such lead."))
    context = {
        **admin.site.each_context(request),
        "title": _("Timeline of %(lead)s") % {"lead": lead or asked},
        "lead": lead,
        "rows": _shown(told, timezone.now()),
    }
    return TemplateResponse(request, "admin/lead_line.html", context)
