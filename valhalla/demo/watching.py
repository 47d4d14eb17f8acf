"""The demo's tripwire that fired: fewer of the notices to sellers arrive than before.

It only notifies the managers. Those that throttle an engine stay as seeded: they collect their baseline.
"""

from __future__ import annotations

from governance.kpi.models import Domain
from governance.kpi.services import Kpi, emit_kpis
from governance.tripwire.services import evaluate_tripwires, upsert_policy
from valhalla.demo.people import Team
from valhalla.demo.timeline import Timeline

DAYS, BAD_DAYS = 34, 8
METRIC = "notice_delivered"
# delivered and lost, per day
NORMAL = ((15, 1), (17, 2), (14, 2), (16, 0))
BAD = ((10, 6), (9, 5), (11, 5), (9, 7))


def plan_tripwire(timeline: Timeline, team: Team) -> None:
    """Put the tripwire, its events and its last evaluation on the timeline."""
    domain = Domain.NOTIFY.value
    values = {"measure": "SUCCESS_RATE", "enabled": True}
    timeline.at(
        timeline.days_ago(DAYS + 2),
        upsert_policy,
        domain,
        METRIC,
        values,
        by=team.manager,
        reason="Sellers missed our notices",
    )
    for day in range(DAYS, 0, -1):
        arrived, lost = (BAD if day <= BAD_DAYS else NORMAL)[day % 4]
        events = [Kpi(domain, METRIC, end, None, {}) for end in [True] * arrived + [False] * lost]
        timeline.at(timeline.days_ago(day), emit_kpis, events, by=team.program)
    timeline.at(timeline.now, evaluate_tripwires, by=team.manager, domain=domain, metric=METRIC)
