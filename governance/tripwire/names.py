"""The names of metrics: a domain in capitals and a metric in lower case."""

from __future__ import annotations

import re

from django.utils.translation import gettext_lazy as _

from governance.core.errors import Invalid

DOMAIN_LENGTH, METRIC_LENGTH = 40, 60
DOMAIN = re.compile(r"[A-Z][A-Z0-9_]{0,39}\Z")
METRIC = re.compile(r"[a-z][a-z0-9_]{0,59}\Z")
WRITE_DOMAIN = _("Enter a domain in capitals, such as WHOLESALE.")
WRITE_METRIC = _("Enter a metric in lower case, such as followup_sla.")


def read_names(domain: str, metric: str) -> tuple[str, str]:
    """Return a metric's domain and name as stored; any case is accepted.

    Raises Invalid naming the field for a value that is not a code.
    """
    domain, metric = domain.strip().upper(), metric.strip().lower()
    wrong = {}
    if not DOMAIN.match(domain):
        wrong["domain"] = [WRITE_DOMAIN]
    if not METRIC.match(metric):
        wrong["metric"] = [WRITE_METRIC]
    if wrong:
        raise Invalid(wrong)
    return domain, metric
