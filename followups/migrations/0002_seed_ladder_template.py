"""The default ladder template."""

from django.db import migrations
from django.utils import timezone

from followups import seeds


def forwards(apps, schema_editor):
    seeds.seed(lambda name: apps.get_model("followups", name), timezone.now())


def backwards(apps, schema_editor):
    seeds.unseed(lambda name: apps.get_model("followups", name))


class Migration(migrations.Migration):
    dependencies = [("followups", "0001_initial")]
    operations = [migrations.RunPython(forwards, backwards)]
