from django.db import migrations, models

import governance.core.places


class Migration(migrations.Migration):
    expands = True

    dependencies = [
        ("followups", "0021_who_reviews_look_ups"),
    ]

    operations = [
        migrations.AlterField(
            model_name="lead",
            name="zone",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Only if it is certain; it overrides every other time zone.",
                max_length=40,
                validators=[governance.core.places.validate_zone],
                verbose_name="time zone",
            ),
        ),
    ]
