"""Thirteen offer policies, one for ALL of each province, switched off."""

from django.db import migrations
from django.utils import timezone

from offers import seeds


def forwards(apps, schema_editor):
    seeds.seed(lambda name: apps.get_model("offers", name), timezone.now())


def backwards(apps, schema_editor):
    seeds.unseed(lambda name: apps.get_model("offers", name))


class Migration(migrations.Migration):
    dependencies = [("offers", "0001_initial")]
    operations = [migrations.RunPython(forwards, backwards)]
