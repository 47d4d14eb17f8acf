from datetime import timedelta

from django.db import migrations
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone


def make_due_at_once(apps, schema_editor):
    """Give open handovers their due time and deadline; the next realigning works the limits out exactly.

    A handover was due at what is now its deadline. One that was claimed or started has been opened.
    """
    FollowUpTask = apps.get_model("followups", "FollowUpTask")
    open_ones = FollowUpTask.objects.filter(kind="HANDOVER", status="OPEN", due_at__isnull=False)
    if not open_ones.exists():
        return
    open_ones.update(
        deadline_at=F("due_at"),
        alert_at=F("due_at") - timedelta(minutes=45),
        opened_at=Coalesce("started_at", "claimed_at"),
        due_at=F("scheduled_for"),
    )
    apps.get_model("followups", "RealignRequest").objects.create(asked_by="migrate", asked_at=timezone.now())


def make_due_within_the_hour(apps, schema_editor):
    FollowUpTask = apps.get_model("followups", "FollowUpTask")
    FollowUpTask.objects.filter(kind="HANDOVER", status="OPEN", deadline_at__isnull=False).update(
        due_at=F("deadline_at")
    )


class Migration(migrations.Migration):
    expands = True

    dependencies = [
        ("followups", "0016_handovers_due_at_once"),
    ]

    operations = [migrations.RunPython(make_due_at_once, make_due_within_the_hour)]
