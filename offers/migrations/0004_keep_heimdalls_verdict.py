"""The verdict of Heimdall becomes part of an offer's evidence."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("offers", "0003_order_evidence"),
    ]

    operations = [
        migrations.AddField(
            model_name="offerevidence",
            name="heimdall",
            field=models.JSONField(
                help_text="On which verdict the recommendation was let in, where the policy asks for one.",
                null=True,
                verbose_name="Heimdall",
            ),
        ),
    ]
