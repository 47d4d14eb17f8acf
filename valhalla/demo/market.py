"""The demo's policies: one changed and changed back, half-days before holidays, offers enabled."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.conf import settings

from governance.contact.do_not_call import import_do_not_call
from governance.contact.models import Closure
from governance.contact.reference import save_reference
from governance.core.actors import Actor
from governance.core.places import ZONES, Place
from governance.market.rules import DEFAULT_RULES
from governance.market.services import schedule_change, upsert_policy
from offers.services import upsert_policy as upsert_offer_policy
from valhalla.demo.timeline import Timeline

# Ontario and British Columbia keep their seeded policies, for readers who try the documentation's examples.
OFFERS_IN = ("AB", "NS", "QC", "SK")


AREA_CODES = (
    "204 226 236 249 250 289 306 343 365 403 416 418 431 437 438 450 506 514 519 579 581 587 604 613 639 647 "
    "705 709 778 780 782 807 819 825 867 873 879 902 905"
).split()
LISTS_READ_DAYS_AGO = (34, 5)


def read_lists(timeline: Timeline, correlation_id: str) -> None:
    """Import the national do-not-call list every month; the newest stays usable for some weeks."""
    for days in LISTS_READ_DAYS_AGO:
        at = timeline.days_ago(days)
        import_do_not_call(
            settings.BASE_DIR / "samples" / "do_not_call.txt",
            list_date=at.date(),
            area_codes=AREA_CODES,
            by=Actor.system("import_do_not_call", correlation_id),
            at=at,
        )


def set_rules(timeline: Timeline, manager: Actor) -> None:
    """Change policies as a manager does; afterwards every province has its seeded contact policy again."""
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
        Place("PE"),
        by=manager,
        at=timeline.days_ago(80),
        reason="The team is back",
        rules={"contact_windows_local": DEFAULT_RULES.as_json()["contact_windows_local"]},
    )
    new_year = datetime(timeline.now.year + 1, 1, 1, tzinfo=ZoneInfo(ZONES["PE"][0]))
    if new_year <= timeline.now:
        new_year = new_year.replace(year=new_year.year + 1)
    schedule_change(
        Place("PE"), by=manager, at=timeline.now, effective_from=new_year,
        reason="Shorter Saturdays from the new year on",
        rules={"contact_windows_local": [{**window, "end": "15:00"} if window["days"] == [5] else window
                                         for window in DEFAULT_RULES.as_json()["contact_windows_local"]]},
    )  # fmt: skip
    for month, day, name in ((12, 24, "Christmas Eve"), (12, 31, "New Year’s Eve")):
        on = date(timeline.now.year, month, day)
        if on <= timeline.now.date():
            on = on.replace(year=on.year + 1)
        if not Closure.objects.filter(date=on, province="").exists():
            closure = Closure(date=on, name=name, closed_from=time(12))
            save_reference(closure, by=manager, at=timeline.days_ago(60), reason="The office closes at noon")
    for province in OFFERS_IN:
        changes: dict[str, object] = {"enabled": True}
        if province == "SK":
            changes |= {"default_fees_buffer": Decimal("3500.00")}
        upsert_offer_policy(
            Place(province), changes, by=manager, at=timeline.days_ago(45), reason="Buyers are ready there"
        )
