from django.db import migrations


class Migration(migrations.Migration):
    expands = True
    dependencies = [
        ("followups", "0023_plain_words_on_screen"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="lead",
            options={
                "permissions": [
                    ("view_all", "See every lead and task"),
                    ("create_ladder", "Create a ladder"),
                    ("import_leads", "Import leads"),
                    ("write_leads", "Create and change leads over the API"),
                ],
                "verbose_name": "lead",
                "verbose_name_plural": "leads",
            },
        ),
    ]
