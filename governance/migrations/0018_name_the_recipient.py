"""A name alone: a message's "to" is its recipient."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0017_readiness"),
    ]

    operations = [
        migrations.AlterField(
            model_name="outboxmessage",
            name="to",
            field=models.CharField(max_length=254, verbose_name="recipient"),
        ),
    ]
