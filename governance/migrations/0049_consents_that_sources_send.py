from django.db import migrations


class Migration(migrations.Migration):
    expands = True

    dependencies = [
        ("governance", "0048_plain_words_on_screen"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="consent",
            options={
                "permissions": [
                    ("record_consent", "Record a consent or its withdrawal"),
                    ("record_heard_consent", "Record an express consent that a lead gave"),
                    ("record_inquiry", "Record that a lead inquired of us"),
                    (
                        "record_sent_consent",
                        "Record an express consent that a source sends with its evidence",
                    ),
                ],
                "verbose_name": "consent",
                "verbose_name_plural": "consents",
            },
        ),
    ]
