import django.core.validators
from django.db import migrations, models

MOST = 60_000


def keep_to_the_ceiling(apps, schema_editor):
    """A token above the ceiling was not limited by what anybody meant."""
    apps.get_model("governance", "ApiToken").objects.filter(calls_per_minute__gt=MOST).update(
        calls_per_minute=MOST
    )


class Migration(migrations.Migration):
    expands = False  # a release that lets a higher number through would meet the constraint

    dependencies = [
        ("governance", "0036_one_spelling_per_market"),
    ]

    operations = [
        migrations.RunPython(keep_to_the_ceiling, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="apitoken",
            name="calls_per_minute",
            field=models.PositiveIntegerField(
                default=600,
                validators=[
                    django.core.validators.MinValueValidator(
                        1, "Write 1 or more: with 0 every call is refused. To stop a token, revoke it."
                    ),
                    django.core.validators.MaxValueValidator(MOST),
                ],
                verbose_name="calls per minute",
            ),
        ),
        migrations.AddConstraint(
            model_name="apitoken",
            constraint=models.CheckConstraint(
                condition=models.Q(("calls_per_minute__lte", MOST)), name="token_has_a_ceiling"
            ),
        ),
    ]
