"""The follow-ups' readiness check for go-live."""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from followups.models import LadderTemplate
from followups.rules import read_steps
from governance.core.places import ALL, Province
from governance.runbook.registry import Finding, Severity, check


@check(
    "followup_ladder_ready",
    Severity.BLOCKER,
    gettext_lazy("Every province has a ladder template"),
    screen="admin:followups_laddertemplate_changelist",
)
def followup_ladder_ready(at: datetime) -> list[Finding]:
    """Check that each province has a template, its own or the general one; one that is off counts.

    At least one is on, and the steps of each are valid.
    """
    templates = {
        template.province: template for template in LadderTemplate.objects.filter(market_key=ALL)
    }  # "" is everywhere
    missing = [] if "" in templates else [name for name in Province.values if name not in templates]
    found = []
    if missing:
        found.append(
            Finding(
                _("No ladder template for: %(provinces)s.") % {"provinces": ", ".join(missing)},
                {"provinces": missing},
            )
        )
    if templates and not any(template.enabled for template in templates.values()):
        found.append(Finding(_("Every ladder template is switched off: no follow-up can start.")))
    unreadable = [province for province, template in templates.items() if not _has_steps(template)]
    if unreadable:
        places = [province or _("everywhere else") for province in unreadable]
        found.append(
            Finding(
                _("The ladder template has no usable steps for: %(places)s.") % {"places": ", ".join(places)},
                {"provinces": unreadable},
            )
        )
    return found


def _has_steps(template: LadderTemplate) -> bool:
    try:
        return bool(read_steps(template.steps))
    except ValidationError:
        return False
