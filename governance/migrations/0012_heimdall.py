"""Heimdall: policies, scorecards, recommendations and events."""

from decimal import Decimal

import django.core.validators
import django.db.models.deletion
import simple_history.models
from django.conf import settings
from django.db import migrations, models

import governance.heimdall.models
from governance.core.append_only import guard_tables


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0011_trace_decisions"),
    ]

    operations = [
        migrations.CreateModel(
            name="HeimdallPolicy",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("version", models.PositiveIntegerField(default=1, editable=False, verbose_name="version")),
                ("changed_by", models.CharField(editable=False, max_length=150, verbose_name="changed by")),
                ("reason", models.TextField(blank=True, default="", verbose_name="reason")),
                (
                    "correlation_id",
                    models.CharField(
                        blank=True, default="", editable=False, max_length=64, verbose_name="correlation id"
                    ),
                ),
                ("updated_at", models.DateTimeField(editable=False, verbose_name="updated")),
                (
                    "domain",
                    models.CharField(
                        error_messages={"unique": "There is a policy for this domain already."},
                        help_text="What is recommended, in capitals, such as WHOLESALE_OFFER.",
                        max_length=40,
                        unique=True,
                        validators=[governance.heimdall.models.validate_domain],
                        verbose_name="domain",
                    ),
                ),
                (
                    "min_confidence_prod",
                    models.DecimalField(
                        decimal_places=4,
                        default=Decimal("0.95"),
                        help_text="A recommendation of less confidence is never used in production, 0 to 1.",
                        max_digits=5,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(1),
                        ],
                        verbose_name="least confidence",
                    ),
                ),
                (
                    "min_sandbox_trials",
                    models.PositiveIntegerField(
                        default=100,
                        help_text="How many sandbox trials the last days must have.",
                        validators=[django.core.validators.MaxValueValidator(1000000)],
                        verbose_name="least trials",
                    ),
                ),
                (
                    "min_sandbox_success_rate",
                    models.DecimalField(
                        decimal_places=4,
                        default=Decimal("0.85"),
                        help_text="Which part of those trials must have succeeded, 0 to 1.",
                        max_digits=5,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(1),
                        ],
                        verbose_name="least success rate",
                    ),
                ),
                (
                    "prod_use_enabled",
                    models.BooleanField(
                        default=False,
                        help_text="Can be switched on only while the scorecard carries it, and off at any time.",
                        verbose_name="production use",
                    ),
                ),
            ],
            options={
                "verbose_name": "Heimdall policy",
                "verbose_name_plural": "Heimdall policies",
                "ordering": ["domain"],
                "permissions": [
                    ("view_heimdall", "Read Heimdall's scorecards"),
                    ("run_heimdall", "Record sandbox trials and recommendations"),
                    ("promote_heimdall", "Switch a domain's production use on"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("min_confidence_prod__range", (0, 1)),
                            ("min_sandbox_success_rate__range", (0, 1)),
                            ("min_sandbox_trials__lte", 1000000),
                        ),
                        name="heimdall_policy_bounds",
                        violation_error_message="Fractions are 0 to 1, and trials at most a million.",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="HeimdallRecommendation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "actor",
                    models.CharField(
                        blank=True, default="", editable=False, max_length=150, verbose_name="actor"
                    ),
                ),
                (
                    "acting_for",
                    models.CharField(
                        blank=True, default="", editable=False, max_length=150, verbose_name="acting for"
                    ),
                ),
                (
                    "correlation_id",
                    models.CharField(
                        blank=True, default="", editable=False, max_length=64, verbose_name="correlation id"
                    ),
                ),
                ("domain", models.CharField(max_length=40, verbose_name="domain")),
                ("subject", models.CharField(blank=True, default="", max_length=64, verbose_name="subject")),
                (
                    "confidence",
                    models.DecimalField(decimal_places=6, max_digits=7, verbose_name="confidence"),
                ),
                ("detail", models.JSONField(default=dict, verbose_name="detail")),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("prod_use_disabled", "production use is off"),
                            ("confidence_below_threshold", "confidence too low"),
                            ("insufficient_sandbox_trials", "too few trials"),
                            ("sandbox_success_rate_below_threshold", "too few trials succeeded"),
                            ("gate_pass", "may drive production"),
                        ],
                        max_length=40,
                        verbose_name="verdict then",
                    ),
                ),
                ("policy_version", models.PositiveIntegerField(verbose_name="policy version")),
                ("trials", models.PositiveIntegerField(verbose_name="trials")),
                ("successes", models.PositiveIntegerField(verbose_name="successes")),
                ("created_at", models.DateTimeField(verbose_name="recommended")),
            ],
            options={
                "verbose_name": "Heimdall recommendation",
                "verbose_name_plural": "Heimdall recommendations",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["domain", "-id"], name="heimdall_recommended"),
                    models.Index(fields=["correlation_id"], name="heimdall_recommended_trace"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("confidence__range", (0, 1))),
                        name="heimdall_confidence_is_a_fraction",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="HeimdallScorecardDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("domain", models.CharField(max_length=40, verbose_name="domain")),
                ("day", models.DateField(verbose_name="day (UTC)")),
                ("trials", models.PositiveIntegerField(default=0, verbose_name="trials")),
                ("successes", models.PositiveIntegerField(default=0, verbose_name="successes")),
            ],
            options={
                "verbose_name": "scorecard day",
                "verbose_name_plural": "scorecard days",
                "ordering": ["-day", "domain"],
                "constraints": [
                    models.UniqueConstraint(fields=("domain", "day"), name="heimdall_one_row_a_day"),
                    models.CheckConstraint(
                        condition=models.Q(("successes__gte", 0), ("successes__lte", models.F("trials"))),
                        name="heimdall_successes_are_trials",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="HistoricalHeimdallPolicy",
            fields=[
                (
                    "id",
                    models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID"),
                ),
                ("version", models.PositiveIntegerField(default=1, editable=False, verbose_name="version")),
                ("changed_by", models.CharField(editable=False, max_length=150, verbose_name="changed by")),
                ("reason", models.TextField(blank=True, default="", verbose_name="reason")),
                (
                    "correlation_id",
                    models.CharField(
                        blank=True, default="", editable=False, max_length=64, verbose_name="correlation id"
                    ),
                ),
                ("updated_at", models.DateTimeField(editable=False, verbose_name="updated")),
                (
                    "domain",
                    models.CharField(
                        db_index=True,
                        error_messages={"unique": "There is a policy for this domain already."},
                        help_text="What is recommended, in capitals, such as WHOLESALE_OFFER.",
                        max_length=40,
                        validators=[governance.heimdall.models.validate_domain],
                        verbose_name="domain",
                    ),
                ),
                (
                    "min_confidence_prod",
                    models.DecimalField(
                        decimal_places=4,
                        default=Decimal("0.95"),
                        help_text="A recommendation of less confidence is never used in production, 0 to 1.",
                        max_digits=5,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(1),
                        ],
                        verbose_name="least confidence",
                    ),
                ),
                (
                    "min_sandbox_trials",
                    models.PositiveIntegerField(
                        default=100,
                        help_text="How many sandbox trials the last days must have.",
                        validators=[django.core.validators.MaxValueValidator(1000000)],
                        verbose_name="least trials",
                    ),
                ),
                (
                    "min_sandbox_success_rate",
                    models.DecimalField(
                        decimal_places=4,
                        default=Decimal("0.85"),
                        help_text="Which part of those trials must have succeeded, 0 to 1.",
                        max_digits=5,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(1),
                        ],
                        verbose_name="least success rate",
                    ),
                ),
                (
                    "prod_use_enabled",
                    models.BooleanField(
                        default=False,
                        help_text="Can be switched on only while the scorecard carries it, and off at any time.",
                        verbose_name="production use",
                    ),
                ),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.TextField(null=True)),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
                (
                    "history_user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "historical Heimdall policy",
                "verbose_name_plural": "historical Heimdall policies",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HeimdallEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "actor",
                    models.CharField(
                        blank=True, default="", editable=False, max_length=150, verbose_name="actor"
                    ),
                ),
                (
                    "acting_for",
                    models.CharField(
                        blank=True, default="", editable=False, max_length=150, verbose_name="acting for"
                    ),
                ),
                (
                    "correlation_id",
                    models.CharField(
                        blank=True, default="", editable=False, max_length=64, verbose_name="correlation id"
                    ),
                ),
                ("domain", models.CharField(max_length=40, verbose_name="domain")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("TRIAL", "sandbox trial"),
                            ("POLICY_CHANGED", "policy changed"),
                            ("PROMOTED", "production use on"),
                            ("WITHDRAWN", "production use off"),
                            ("USED", "recommendation used"),
                            ("REFUSED", "recommendation refused"),
                        ],
                        max_length=14,
                        verbose_name="event",
                    ),
                ),
                ("success", models.BooleanField(null=True, verbose_name="success")),
                ("reason", models.CharField(blank=True, default="", max_length=40, verbose_name="verdict")),
                ("policy_version", models.PositiveIntegerField(null=True, verbose_name="policy version")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                (
                    "recommendation",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="governance.heimdallrecommendation",
                        verbose_name="recommendation",
                    ),
                ),
            ],
            options={
                "verbose_name": "Heimdall event",
                "verbose_name_plural": "Heimdall events",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["domain", "kind", "-id"], name="heimdall_events_of_domain"),
                    models.Index(fields=["correlation_id"], name="heimdall_event_trace"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("kind", "USED")),
                        fields=("recommendation",),
                        name="heimdall_used_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "TRIAL"), ("success__isnull", False)),
                            models.Q(models.Q(("kind", "TRIAL"), _negated=True), ("success", None)),
                            _connector="OR",
                        ),
                        name="heimdall_trials_succeed_or_fail",
                    ),
                ],
            },
        ),
        guard_tables("governance", "HeimdallRecommendation", "HeimdallEvent"),
    ]
