import re
from decimal import Decimal

import django.core.validators
from django.db import migrations, models

import governance.core.places


class Migration(migrations.Migration):
    expands = True

    dependencies = [
        ("governance", "0045_name_contact_compliance"),
    ]

    operations = [
        migrations.AlterField(
            model_name="apitoken",
            name="calls_per_minute",
            field=models.PositiveIntegerField(
                default=600,
                validators=[
                    django.core.validators.MinValueValidator(
                        1, "Enter 1 or more: with 0 every call is refused. To stop a token, revoke it."
                    ),
                    django.core.validators.MaxValueValidator(60000),
                ],
                verbose_name="calls per minute",
            ),
        ),
        migrations.AlterField(
            model_name="contactdecision",
            name="happened",
            field=models.BooleanField(default=False, verbose_name="took place anyway"),
        ),
        migrations.AlterField(
            model_name="heimdallpolicy",
            name="min_confidence_prod",
            field=models.DecimalField(
                decimal_places=4,
                default=Decimal("0.95"),
                help_text="A recommendation below this confidence is never used in production, 0 to 1.",
                max_digits=5,
                validators=[
                    django.core.validators.MinValueValidator(0),
                    django.core.validators.MaxValueValidator(1),
                ],
                verbose_name="minimum confidence",
            ),
        ),
        migrations.AlterField(
            model_name="heimdallpolicy",
            name="min_sandbox_success_rate",
            field=models.DecimalField(
                decimal_places=4,
                default=Decimal("0.85"),
                help_text="The share of those trials that must have succeeded, 0 to 1.",
                max_digits=5,
                validators=[
                    django.core.validators.MinValueValidator(0),
                    django.core.validators.MaxValueValidator(1),
                ],
                verbose_name="minimum success rate",
            ),
        ),
        migrations.AlterField(
            model_name="heimdallpolicy",
            name="min_sandbox_trials",
            field=models.PositiveIntegerField(
                default=100,
                help_text="How many sandbox trials there must be in the last days.",
                validators=[django.core.validators.MaxValueValidator(1000000)],
                verbose_name="minimum trials",
            ),
        ),
        migrations.AlterField(
            model_name="heimdallpolicy",
            name="prod_use_enabled",
            field=models.BooleanField(
                default=False,
                help_text="Can be switched on only while the scorecard supports it, and off at any time.",
                verbose_name="production use",
            ),
        ),
        migrations.AlterField(
            model_name="historicalheimdallpolicy",
            name="min_confidence_prod",
            field=models.DecimalField(
                decimal_places=4,
                default=Decimal("0.95"),
                help_text="A recommendation below this confidence is never used in production, 0 to 1.",
                max_digits=5,
                validators=[
                    django.core.validators.MinValueValidator(0),
                    django.core.validators.MaxValueValidator(1),
                ],
                verbose_name="minimum confidence",
            ),
        ),
        migrations.AlterField(
            model_name="historicalheimdallpolicy",
            name="min_sandbox_success_rate",
            field=models.DecimalField(
                decimal_places=4,
                default=Decimal("0.85"),
                help_text="The share of those trials that must have succeeded, 0 to 1.",
                max_digits=5,
                validators=[
                    django.core.validators.MinValueValidator(0),
                    django.core.validators.MaxValueValidator(1),
                ],
                verbose_name="minimum success rate",
            ),
        ),
        migrations.AlterField(
            model_name="historicalheimdallpolicy",
            name="min_sandbox_trials",
            field=models.PositiveIntegerField(
                default=100,
                help_text="How many sandbox trials there must be in the last days.",
                validators=[django.core.validators.MaxValueValidator(1000000)],
                verbose_name="minimum trials",
            ),
        ),
        migrations.AlterField(
            model_name="historicalheimdallpolicy",
            name="prod_use_enabled",
            field=models.BooleanField(
                default=False,
                help_text="Can be switched on only while the scorecard supports it, and off at any time.",
                verbose_name="production use",
            ),
        ),
        migrations.AlterField(
            model_name="historicalmarketpolicy",
            name="enabled",
            field=models.BooleanField(
                default=True,
                help_text="When off, every contact there is refused; ALL does not apply instead.",
                verbose_name="enabled",
            ),
        ),
        migrations.AlterField(
            model_name="historicalmarketpolicy",
            name="timezone",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Blank: the city's own time zone, otherwise every time zone of the province must allow it.",
                max_length=40,
                validators=[governance.core.places.validate_zone],
                verbose_name="time zone",
            ),
        ),
        migrations.AlterField(
            model_name="historicalregressionpolicy",
            name="action",
            field=models.CharField(
                choices=[
                    ("NOTIFY", "notify the managers"),
                    ("THROTTLE", "hold the engine back"),
                    ("KILL_SWITCH", "engage the kill switch"),
                ],
                default="NOTIFY",
                help_text="Managers are notified in every case.",
                max_length=11,
                verbose_name="what it does",
            ),
        ),
        migrations.AlterField(
            model_name="historicalregressionpolicy",
            name="domain",
            field=models.CharField(
                max_length=40,
                validators=[
                    django.core.validators.RegexValidator(
                        re.compile("[A-Z][A-Z0-9_]{0,39}\\Z"),
                        "Enter a domain in capitals, such as WHOLESALE.",
                    )
                ],
                verbose_name="domain",
            ),
        ),
        migrations.AlterField(
            model_name="historicalregressionpolicy",
            name="max_false_alarm",
            field=models.DecimalField(
                decimal_places=7,
                default=Decimal("0.0005"),
                help_text="It fires only on a drop that chance alone would cause at most this often in one evaluation.",
                max_digits=8,
                validators=[
                    django.core.validators.MinValueValidator(Decimal("1E-7")),
                    django.core.validators.MaxValueValidator(Decimal("0.05")),
                ],
                verbose_name="chance of a false alarm",
            ),
        ),
        migrations.AlterField(
            model_name="historicalregressionpolicy",
            name="metric",
            field=models.CharField(
                max_length=60,
                validators=[
                    django.core.validators.RegexValidator(
                        re.compile("[a-z][a-z0-9_]{0,59}\\Z"),
                        "Enter a metric in lower case, such as followup_sla.",
                    )
                ],
                verbose_name="metric",
            ),
        ),
        migrations.AlterField(
            model_name="historicalretentionperiod",
            name="days",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Empty: they are kept indefinitely.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(36525),
                ],
                verbose_name="days",
            ),
        ),
        migrations.AlterField(
            model_name="marketpolicy",
            name="enabled",
            field=models.BooleanField(
                default=True,
                help_text="When off, every contact there is refused; ALL does not apply instead.",
                verbose_name="enabled",
            ),
        ),
        migrations.AlterField(
            model_name="marketpolicy",
            name="timezone",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Blank: the city's own time zone, otherwise every time zone of the province must allow it.",
                max_length=40,
                validators=[governance.core.places.validate_zone],
                verbose_name="time zone",
            ),
        ),
        migrations.AlterField(
            model_name="outboxmessage",
            name="dead_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="failed permanently"),
        ),
        migrations.AlterField(
            model_name="regressionfiring",
            name="action",
            field=models.CharField(
                choices=[
                    ("NOTIFY", "notify the managers"),
                    ("THROTTLE", "hold the engine back"),
                    ("KILL_SWITCH", "engage the kill switch"),
                ],
                max_length=11,
                verbose_name="what it did",
            ),
        ),
        migrations.AlterField(
            model_name="regressionpolicy",
            name="action",
            field=models.CharField(
                choices=[
                    ("NOTIFY", "notify the managers"),
                    ("THROTTLE", "hold the engine back"),
                    ("KILL_SWITCH", "engage the kill switch"),
                ],
                default="NOTIFY",
                help_text="Managers are notified in every case.",
                max_length=11,
                verbose_name="what it does",
            ),
        ),
        migrations.AlterField(
            model_name="regressionpolicy",
            name="domain",
            field=models.CharField(
                max_length=40,
                validators=[
                    django.core.validators.RegexValidator(
                        re.compile("[A-Z][A-Z0-9_]{0,39}\\Z"),
                        "Enter a domain in capitals, such as WHOLESALE.",
                    )
                ],
                verbose_name="domain",
            ),
        ),
        migrations.AlterField(
            model_name="regressionpolicy",
            name="max_false_alarm",
            field=models.DecimalField(
                decimal_places=7,
                default=Decimal("0.0005"),
                help_text="It fires only on a drop that chance alone would cause at most this often in one evaluation.",
                max_digits=8,
                validators=[
                    django.core.validators.MinValueValidator(Decimal("1E-7")),
                    django.core.validators.MaxValueValidator(Decimal("0.05")),
                ],
                verbose_name="chance of a false alarm",
            ),
        ),
        migrations.AlterField(
            model_name="regressionpolicy",
            name="metric",
            field=models.CharField(
                max_length=60,
                validators=[
                    django.core.validators.RegexValidator(
                        re.compile("[a-z][a-z0-9_]{0,59}\\Z"),
                        "Enter a metric in lower case, such as followup_sla.",
                    )
                ],
                verbose_name="metric",
            ),
        ),
        migrations.AlterField(
            model_name="regressionstate",
            name="smallest_drop",
            field=models.FloatField(blank=True, null=True, verbose_name="smallest detectable drop"),
        ),
        migrations.AlterField(
            model_name="regressionstate",
            name="starts_at",
            field=models.DateTimeField(
                help_text="Events from before it do not count. A reset moves it.", verbose_name="start mark"
            ),
        ),
        migrations.AlterField(
            model_name="retentionperiod",
            name="days",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Empty: they are kept indefinitely.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(36525),
                ],
                verbose_name="days",
            ),
        ),
        migrations.AlterField(
            model_name="riskreservation",
            name="close_code",
            field=models.CharField(blank=True, default="", max_length=64, verbose_name="reason for ending"),
        ),
        migrations.AlterField(
            model_name="signin",
            name="ended_because",
            field=models.CharField(
                blank=True,
                choices=[
                    ("LEFT", "logged out"),
                    ("AWAY", "away for too long"),
                    ("LONG", "12 hours after the login"),
                    ("HAND", "ended by hand"),
                    ("PASSWORD", "password changed"),
                    ("ROLE", "role changed"),
                    ("INACTIVE", "no longer active"),
                    ("FACTOR", "second factor reset"),
                ],
                default="",
                max_length=8,
                verbose_name="why it ended",
            ),
        ),
    ]
