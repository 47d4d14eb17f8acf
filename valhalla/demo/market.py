"""The demo's rules: a policy changed and changed back, half-days before holidays, offers switched on."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal
from typing import Any

from governance.actors import By
from governance.contact.models import Closure
from governance.contact.reference import save_reference
from governance.market.rules import DEFAULT_RULES
from governance.market.services import upsert_policy
from governance.places import Place
from offers.services import upsert_policy as upsert_offer_policy
from valhalla.demo.timeline import Timeline

# Ontario and British Columbia stay as they are seeded, for whoever tries the documentation's examples.
OFFERS_IN = ("AB", "NS", "QC", "SK")


def set_rules(timeline: Timeline, manager: By) -> None:
    """Change rules as a manager does; afterwards no province has other contact rules than the seeded ones."""
    short = [{"days": [0, 1, 2, 3, 4], "start": "10:00", "end": "17:00"}]
    summer = "Short days while half of the team is on leave"
    upsert_policy(
        Place("PE"),
        by=manager,
        at=timeline.days_ago(110),
        reason=summer,
        rules={"contact_windows_local": short},
    )
    upsert_policy(
        Place("PE"), by=manager, at=timeline.days_ago(80), reason="The team is back",
        rules={"contact_windows_local": DEFAULT_RULES.as_json()["contact_windows_local"]},
    )  # fmt: skip
    for month, day, name in ((12, 24, "Christmas Eve"), (12, 31, "New Year’s Eve")):
        on = date(timeline.now.year, month, day)
        if on <= timeline.now.date():
            on = on.replace(year=on.year + 1)
        if not Closure.objects.filter(date=on, province="").exists():
            closure = Closure(date=on, name=name, closed_from=time(12))
            save_reference(closure, by=manager, at=timeline.days_ago(60), reason="The office closes at noon")
    for province in OFFERS_IN:
        changes: dict[str, Any] = {"enabled": True}
        if province == "SK":
            changes |= {"default_fees_buffer": Decimal("3500.00")}
        upsert_offer_policy(
            Place(province), changes, by=manager, at=timeline.days_ago(45), reason="Buyers are ready there"
        )
