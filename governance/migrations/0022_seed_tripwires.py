"""The tripwires that every operation begins with."""

from django.db import migrations
from django.utils import timezone

from governance.tripwire import seeds


def forwards(apps, schema_editor):
    seeds.seed(lambda name: apps.get_model("governance", name), timezone.now())


def backwards(apps, schema_editor):
    seeds.unseed(lambda name: apps.get_model("governance", name))


class Migration(migrations.Migration):
    dependencies = [("governance", "0021_tripwires")]
    operations = [migrations.RunPython(forwards, backwards)]
