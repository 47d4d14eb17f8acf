"""Store how each market is written, and give rows that differ by accents alone that name.

The table of cities decides, then the oldest policy, template, market of buyers and lead. Rows that are written
once keep what they hold: their lists show the name. The way back keeps the names that rows have by then.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from governance.core.places import ALL, fold, fold_city, read_label

ROWS = [
    ("governance", "MarketPolicy"), ("offers", "OfferPolicy"), ("followups", "LadderTemplate"),
    ("buyers", "BuyerLiquidityNode"), ("followups", "Lead"), ("offers", "OfferEvidence"),
]  # fmt: skip


def unify(apps: Any, schema_editor: Any) -> None:
    using = schema_editor.connection.alias
    cities = {
        (province, key): city
        for province, key, city in apps.get_model("governance", "CityZone")
        ._base_manager.using(using)
        .values_list("province", "city_key", "city")
    }
    names: dict[tuple[str, str], str] = {}
    differing: set[tuple[str, str]] = set()
    for app, model in ROWS:
        rows = apps.get_model(app, model)._base_manager.using(using).exclude(market_key=ALL).order_by()
        found = rows.values_list("province", "market_key", "market").annotate(first=models.Min("pk"))
        for province, key, market, _first in sorted(found, key=lambda row: row[3]):
            city = cities.get((province, fold_city(market)[:200]), "")
            name = read_label(city) if city and fold(city) == key else market
            if names.setdefault((province, key), name) != market:
                differing.add((province, key))
    market_name = apps.get_model("governance", "MarketName")
    market_name._base_manager.using(using).bulk_create(
        [
            market_name(province=province, market_key=key, market=market)
            for (province, key), market in sorted(names.items())
        ],
        ignore_conflicts=True,
        batch_size=500,
    )
    for app, model in ROWS[:-1]:  # evidence is written once
        rows = apps.get_model(app, model)._base_manager.using(using)
        for province, key in sorted(differing):
            name = names[province, key]
            rows.filter(province=province, market_key=key).exclude(market=name).update(market=name)


class Migration(migrations.Migration):
    expands = True
    dependencies = [
        ("governance", "0035_lists_by_area_code"),
        ("followups", "0017_move_open_handovers"),
        ("buyers", "0003_call_the_low_score_cautious"),
        ("offers", "0006_keep_comp_details_apart"),
    ]

    operations = [
        migrations.CreateModel(
            name="MarketName",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "province",
                    models.CharField(
                        choices=[
                            ("BC", "British Columbia"),
                            ("AB", "Alberta"),
                            ("SK", "Saskatchewan"),
                            ("MB", "Manitoba"),
                            ("ON", "Ontario"),
                            ("QC", "Quebec"),
                            ("NB", "New Brunswick"),
                            ("NS", "Nova Scotia"),
                            ("PE", "Prince Edward Island"),
                            ("NL", "Newfoundland and Labrador"),
                            ("YT", "Yukon"),
                            ("NT", "Northwest Territories"),
                            ("NU", "Nunavut"),
                        ],
                        max_length=2,
                        verbose_name="province",
                    ),
                ),
                (
                    "market",
                    models.CharField(
                        default="ALL",
                        help_text="A city or area as your team calls it; ALL holds wherever no market has its own row.",
                        max_length=40,
                        verbose_name="market",
                    ),
                ),
                ("market_key", models.CharField(default="ALL", editable=False, max_length=120)),
            ],
            options={
                "verbose_name": "market",
                "verbose_name_plural": "markets",
                "ordering": ["province", "market"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("province", "market_key"), name="market_name_once_per_market"
                    )
                ],
            },
        ),
        migrations.RunPython(unify, migrations.RunPython.noop),
    ]
