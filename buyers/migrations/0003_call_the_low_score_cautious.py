"""A name alone: the cautious score is called so everywhere."""

from decimal import Decimal

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("buyers", "0002_erased_buyers"),
    ]

    operations = [
        migrations.AlterField(
            model_name="buyerliquiditynode",
            name="score_low",
            field=models.DecimalField(
                decimal_places=4,
                default=Decimal("0"),
                help_text="The score at the lower 5 % end of both rates: few events cannot make it high.",
                max_digits=14,
                verbose_name="cautious score",
            ),
        ),
    ]
