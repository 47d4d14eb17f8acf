"""The page of figures: what it draws, what it says where there is nothing, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from scipy.stats import beta

from buyers.models import BuyerLiquidityNode
from followups.models import SlaSnapshot
from governance.core.actors import Role
from governance.kpi.figures import keep_figures
from governance.models import User
from offers.services.figures import by_market
from offers.tests.factories import AT, kept, outcome, switch_on
from valhalla.pages.plots import span

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def test_a_rates_interval_is_the_beta_posteriors() -> None:
    found = span(8, 2)
    assert found is not None
    low, high = beta.ppf([0.05, 0.95], 9, 3) * 100
    assert (found.told, found.low, found.wide) == ("80\xa0%", f"{low:.1f}", f"{high - low:.1f}")
    assert span(0, 0) is None


def test_without_figures_every_picture_says_why(client: Client, person: Callable[..., User]) -> None:
    client.force_login(person(Role.AUDITOR))
    page = client.get("/admin/figures/").content.decode()
    assert page.count("No days yet") == 2
    assert page.count("No buyer has answered yet.") == 2
    assert "No offer was computed in 30 days" in page


def test_the_page_draws_what_was_counted_in_bounded_queries(
    client: Client, person: Callable[..., User], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    now = timezone.now()
    for days in range(1, 31):
        for dimension, value, count in (("ALL", "", 10), ("STEP", "1", 8), ("STEP", "2", 2)):
            SlaSnapshot.objects.create(
                day=now.date() - timedelta(days=days),
                dimension=dimension,
                value=value,
                count=count,
                within_2h=Decimal("0.9"),
                overdue_open=0,
            )
    BuyerLiquidityNode.objects.create(
        province="ON", market="TORONTO", property_type="SFR", responded=8, no_response=2, bought=1, passed=3,
        score=Decimal(50), score_low=Decimal("33.3"), active_since=now, updated_at=now,
    )  # fmt: skip
    offers = {"province": "QC", "market": "LAVAL", "computed": 5, "accepted": 2, "rejected": 1}
    keep_figures({"offers_by_market": [{**offers, "multiplier": 0.7}]}, now)
    client.force_login(person(Role.MANAGER))
    client.get("/admin/figures/")
    with django_assert_num_queries(9):
        page = client.get("/admin/figures/").content.decode()
    assert "90\xa0% of the 300 tasks that came due were done within two allowed hours." in page
    assert "For every 100 tasks of the first step, 25 came due at step 2." in page
    assert '<th scope="row">ON TORONTO</th>' in page
    assert (page.count('<svg class="plot"'), page.count('<svg class="bars"')) == (1, 1)
    assert '<th scope="row">2</th><td class="number">60</td><td class="number">25\xa0%</td>' in page
    assert "33.3" in page
    assert '<th scope="row">QC LAVAL</th>' in page
    assert "style=" not in page.split('class="board figures"')[1].split("</main>")[0].split("<script")[0]


def test_offers_are_counted_by_market_with_what_became_of_them_and_their_multiplier() -> None:
    switch_on(max_arv_multiplier=Decimal("0.65"))
    outcome(kept("L-1"), "ACCEPTED", agreed_price=Decimal(200_000))
    outcome(kept("L-2"), "REJECTED")
    kept("L-3")
    assert by_market(AT - timedelta(days=1)) == [
        {
            "province": "ON",
            "market": "ALL",
            "computed": 3,
            "accepted": 1,
            "rejected": 1,
            "multiplier": 0.65,
        }
    ]
    assert by_market(AT + timedelta(seconds=1)) == []
