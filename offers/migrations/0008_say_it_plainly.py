import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    expands = True

    dependencies = [
        ("offers", "0007_which_token_wrote"),
    ]

    operations = [
        migrations.AlterField(
            model_name="historicalofferpolicy",
            name="enabled",
            field=models.BooleanField(
                default=False,
                help_text="When off, every offer there is refused; ALL does not apply instead.",
                verbose_name="enabled",
            ),
        ),
        migrations.AlterField(
            model_name="historicalofferpolicy",
            name="min_liquidity_score",
            field=models.DecimalField(
                blank=True,
                decimal_places=2,
                help_text="Compared with the cautious score; a colder market gets no offer. Blank: not required.",
                max_digits=8,
                null=True,
                validators=[django.core.validators.MinValueValidator(0)],
                verbose_name="minimum liquidity score",
            ),
        ),
        migrations.AlterField(
            model_name="offerevidence",
            name="floored",
            field=models.BooleanField(verbose_name="minimum applied"),
        ),
        migrations.AlterField(
            model_name="offerevidence",
            name="rules_version",
            field=models.PositiveSmallIntegerField(verbose_name="version of the formula"),
        ),
        migrations.AlterField(
            model_name="offerpolicy",
            name="enabled",
            field=models.BooleanField(
                default=False,
                help_text="When off, every offer there is refused; ALL does not apply instead.",
                verbose_name="enabled",
            ),
        ),
        migrations.AlterField(
            model_name="offerpolicy",
            name="min_liquidity_score",
            field=models.DecimalField(
                blank=True,
                decimal_places=2,
                help_text="Compared with the cautious score; a colder market gets no offer. Blank: not required.",
                max_digits=8,
                null=True,
                validators=[django.core.validators.MinValueValidator(0)],
                verbose_name="minimum liquidity score",
            ),
        ),
    ]
