"""How long what is kept, until a manager decides otherwise."""

from django.db import migrations
from django.utils import timezone

from governance.retention import seeds


def forwards(apps, schema_editor):
    seeds.seed(lambda name: apps.get_model("governance", name), timezone.now())


def backwards(apps, schema_editor):
    seeds.unseed(lambda name: apps.get_model("governance", name))


class Migration(migrations.Migration):
    dependencies = [("governance", "0014_retention_and_erasure")]
    operations = [migrations.RunPython(forwards, backwards)]
