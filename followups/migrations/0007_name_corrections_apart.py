"""Names alone: a correction's outcomes have labels of their own, apart from any other "from" and "to"."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("followups", "0006_erased_leads"),
    ]

    operations = [
        migrations.AlterField(
            model_name="taskcorrection",
            name="from_outcome",
            field=models.CharField(
                choices=[
                    ("SENT", "sent"),
                    ("NO_ANSWER", "no answer"),
                    ("LEFT_MESSAGE", "left a message"),
                    ("REACHED", "reached"),
                    ("REPLIED", "replied"),
                    ("WRONG_NUMBER", "wrong number"),
                    ("OPTED_OUT", "opted out"),
                ],
                max_length=12,
                verbose_name="corrected from",
            ),
        ),
        migrations.AlterField(
            model_name="taskcorrection",
            name="to_outcome",
            field=models.CharField(
                choices=[
                    ("SENT", "sent"),
                    ("NO_ANSWER", "no answer"),
                    ("LEFT_MESSAGE", "left a message"),
                    ("REACHED", "reached"),
                    ("REPLIED", "replied"),
                    ("WRONG_NUMBER", "wrong number"),
                    ("OPTED_OUT", "opted out"),
                ],
                max_length=12,
                verbose_name="corrected to",
            ),
        ),
    ]
