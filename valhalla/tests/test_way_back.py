"""Every pack migrates to zero and forward again, with data in it, and the seeds are there again."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import manage

pytestmark = pytest.mark.both

LEADS = "Lead ID,Full Name,Phone,Prov/Territory,City,Lead Score\n" + "".join(
    f"W-{number},Anne Roy,416-555-01{number:02},Ontario,Toronto,0.9\n" for number in range(5)
)
GO = """
from io import StringIO
from django.core.management import call_command
from governance.models import *
from followups.models import *
from offers.models import *

def count():
    print(MarketPolicy.objects.count(), OfferPolicy.objects.count(), LadderTemplate.objects.count(),
        StatutoryHours.objects.count(), CityZone.objects.count() > 200, MarketPolicy.history.count(),
        RiskPolicy.objects.count(), RiskEngine.objects.count(), RiskPolicy.history.count())

count()
call_command("import_leads", SHEET, "--ladder")
for step in BACK:
    call_command("migrate", *step, verbosity=0)
print("---")
call_command("migrate", verbosity=0)
call_command("check", databases=["default"], stdout=StringIO())
count()
call_command("import_leads", SHEET, "--ladder")
"""


ALL_AT_ONCE = (("governance", "0001"), ("followups", "zero"), ("buyers", "zero"), ("offers", "zero"))


@pytest.mark.parametrize(
    "back",
    [
        pytest.param((("buyers", "zero"),), id="buyers"),
        pytest.param(ALL_AT_ONCE, id="all", marks=[pytest.mark.long, pytest.mark.slice]),
        *(
            pytest.param((step,), id=step[0], marks=pytest.mark.long)
            for step in ALL_AT_ONCE
            if step[0] != "buyers"
        ),
    ],
)
def test_packs_go_to_zero_and_forward_again_with_data(
    migrated_url: str, tmp_path: Path, back: tuple[tuple[str, str], ...]
) -> None:
    spreadsheet = tmp_path / "leads.csv"
    spreadsheet.write_text(LEADS)
    program = f"BACK = {back!r}\nSHEET = {str(spreadsheet)!r}\n{GO}"
    var = str(tmp_path / "var")
    before, after = manage(
        migrated_url, "shell", "-v0", "--no-imports", "-c", program, VALHALLA_VAR=var
    ).split("---\n")
    (fresh, *imported), (again, *imported_again) = before.splitlines(), after.splitlines()
    assert again == fresh
    assert any("5 ladders started" in line for line in imported), imported
    leads_are_gone = ("followups", "zero") in back
    expected = "5 ladders started" if leads_are_gone else "5  leads unchanged"
    assert any(expected in line for line in imported_again), imported_again
