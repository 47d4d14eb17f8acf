"""Every pack migrates to zero and forward again, with data in it, and the seeds are there again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

pytestmark = pytest.mark.both

ROOT = Path(settings.BASE_DIR)
LEADS = "Lead ID,Full Name,Phone,Prov/Territory,City,Lead Score\n" + "".join(
    f"W-{number},Anne Roy,416-555-01{number:02},Ontario,Toronto,0.9\n" for number in range(5)
)
COUNT = (
    "from governance.models import *; from followups.models import *; from offers.models import *; "
    "print(MarketPolicy.objects.count(), OfferPolicy.objects.count(), LadderTemplate.objects.count(), "
    "StatutoryHours.objects.count(), CityZone.objects.count() > 200, MarketPolicy.history.count(), "
    "RiskPolicy.objects.count(), RiskEngine.objects.count(), RiskPolicy.history.count())"
)


ALL_AT_ONCE = (("governance", "0001"), ("followups", "zero"), ("buyers", "zero"), ("offers", "zero"))


@pytest.mark.parametrize(
    "back",
    [
        pytest.param(ALL_AT_ONCE, id="all"),
        *(pytest.param((step,), id=step[0], marks=pytest.mark.long) for step in ALL_AT_ONCE),
    ],
)
def test_packs_go_to_zero_and_forward_again_with_data(
    migrated_url: str, tmp_path: Path, back: tuple[tuple[str, str], ...]
) -> None:
    env = {**os.environ, "DATABASE_URL": migrated_url, "VALHALLA_VAR": str(tmp_path / "var")}

    def manage(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *command], cwd=ROOT, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    spreadsheet = tmp_path / "leads.csv"
    spreadsheet.write_text(LEADS)
    fresh = manage("shell", "-v0", "-c", COUNT)
    assert "5 ladders started" in manage("import_leads", str(spreadsheet), "--ladder")
    for step_back in back:
        manage("migrate", *step_back, "-v0")
    manage("migrate", "-v0")
    manage("check", "--database", "default")
    assert manage("shell", "-v0", "-c", COUNT) == fresh
    assert "5 ladders started" in manage("import_leads", str(spreadsheet), "--ladder")
