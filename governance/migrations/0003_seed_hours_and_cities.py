"""The hours of the law and the clocks of the cities."""

from django.db import migrations
from django.utils import timezone

from governance.contact import seeds


def forwards(apps, schema_editor):
    seeds.seed_hours(lambda name: apps.get_model("governance", name), timezone.now())
    seeds.seed_cities(lambda name: apps.get_model("governance", name), timezone.now())


def backwards(apps, schema_editor):
    seeds.unseed_cities(lambda name: apps.get_model("governance", name))
    seeds.unseed_hours(lambda name: apps.get_model("governance", name))


class Migration(migrations.Migration):
    dependencies = [("governance", "0002_seed_provinces")]
    operations = [migrations.RunPython(forwards, backwards)]
