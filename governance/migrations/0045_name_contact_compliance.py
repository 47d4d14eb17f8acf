from django.db import migrations, models


class Migration(migrations.Migration):
    expands = True

    dependencies = [
        ("governance", "0044_seal_second_factors"),
    ]

    operations = [
        migrations.AlterField(
            model_name="historicaltarget",
            name="metric",
            field=models.CharField(
                choices=[
                    ("contact_compliance", "Contact compliance"),
                    ("followup_sla", "Follow-ups within 2 hours"),
                    ("buyer_response", "Buyers who respond"),
                    ("offer_accept_rate", "Offers accepted"),
                    ("contract_rate", "Accepted offers that become a contract"),
                    ("open_throttles", "Open throttles"),
                ],
                db_index=True,
                max_length=40,
                verbose_name="figure",
            ),
        ),
        migrations.AlterField(
            model_name="target",
            name="metric",
            field=models.CharField(
                choices=[
                    ("contact_compliance", "Contact compliance"),
                    ("followup_sla", "Follow-ups within 2 hours"),
                    ("buyer_response", "Buyers who respond"),
                    ("offer_accept_rate", "Offers accepted"),
                    ("contract_rate", "Accepted offers that become a contract"),
                    ("open_throttles", "Open throttles"),
                ],
                max_length=40,
                unique=True,
                verbose_name="figure",
            ),
        ),
    ]
