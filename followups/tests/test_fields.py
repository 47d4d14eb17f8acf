"""A lead's fields are described once: whatever reads or writes them reads the table."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from django.conf import settings

from followups.api.serializers import LEAD_INPUTS
from followups.fields import BY_NAME, COLUMNS, FIELD_OF_KIND, VALUES, LeadValues
from followups.models import ContactPoint, Lead
from governance.core.actors import Written

pytestmark = pytest.mark.once

ROOT = Path(settings.BASE_DIR)


def test_what_a_source_may_say_has_a_value_for_each_field() -> None:
    assert [value.name for value in fields(LeadValues)] == list(VALUES)


def test_the_columns_are_those_of_a_lead_that_a_person_may_edit() -> None:
    written = {field.name for field in Written._meta.get_fields()}
    columns = {field.name for field in Lead._meta.concrete_fields if field.editable and not field.primary_key}
    assert columns - written == set(COLUMNS)


def test_the_choices_are_the_models() -> None:
    assert list(BY_NAME["language"].choices) == Lead.Language.values
    assert set(FIELD_OF_KIND) == set(ContactPoint.Kind.values)


def test_the_reference_names_every_value_that_a_source_may_send() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    (line,) = [line for line in page.splitlines() if "| POST `/followups/ladder/create`" in line]
    assert [name for name in LEAD_INPUTS if name not in re.findall(r"\w+", line)] == []


# Loads Valhalla with a column more: a row and a value in fields.py, a column in models.py, and nothing else.
WITH_OCCUPANCY = '''
import importlib.util, json, sys, tempfile
from datetime import date
from importlib.machinery import SourceFileLoader
from pathlib import Path

import django

ADDED = {
    "followups.fields": [
        ("    LeadField(\\"cost\\"", """    LeadField(
        "occupancy", Kind.TEXT, Group.WORTH, label="Occupancy", headings="Occupancy|Occupation",
        read=lambda text: (text.strip().lower(), None),
    ),
"""),
        ("    score: Decimal | None = None\\n", "    occupancy: str = \\"\\"\\n"),
    ],
    "followups.models": [
        ("    cost = models.", """    occupancy = models.CharField(max_length=20, blank=True, default="")
"""),
    ],
}


class Loader(SourceFileLoader):
    def get_code(self, name):
        text = Path(self.path).read_text()
        for place, added in ADDED[name]:
            assert place in text
            text = text.replace(place, added + place, 1)
        return compile(text, self.path, "exec")


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in ADDED:
            file = name.replace(".", "/") + ".py"
            return importlib.util.spec_from_file_location(name, file, loader=Loader(name, file))


sys.meta_path.insert(0, Finder)
django.setup()

from django.apps import apps
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.state import ProjectState

from followups.admin.leads import LeadAdmin, LeadForm
from followups.admin.transfer import _cell
from followups.api.serializers import CreateLadderInput, LeadSerializer
from followups.fields import BLANK, FILE
from followups.intake.gathering import Given
from followups.intake.reader import read_leads
from followups.intake.services import TAKEN_OVER
from followups.models import Lead
from followups.services import LeadDetails
from followups.services.leads import take_over

loader = MigrationLoader(None)
changes = MigrationAutodetector(
    loader.project_state(), ProjectState.from_apps(apps), MigrationQuestioner()
).changes(graph=loader.graph)
with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    file.write("Lead ID,Province,Occupation\\nL-1,ON, Vacant \\n")
    file.flush()
    (row,) = read_leads(Path(file.name), today=date(2026, 11, 1))
said = Given(external_id="L-1", province="ON", occupancy=row.occupancy)
given = Given.from_json(said.then(Given(external_id="L-1", province="ON")).as_json())
lead = Lead(external_id="L-1", province="ON")
taken = take_over(lead, given, given.market)
sent = CreateLadderInput(data={"lead_id": "L-1", "occupancy": "rented"})
long = CreateLadderInput(data={"lead_id": "L-1", "occupancy": "x" * 21})
print(json.dumps({
    "migrations": {app: [one.describe() for change in made for one in change.operations]
                   for app, made in changes.items()},
    "row": [row.occupancy, row.extra],
    "taken over": [taken, lead.occupancy, "occupancy" in TAKEN_OVER],
    "export": [(one.label, _cell(lead, one, {}, stopped=False)) for one in FILE if one.name == "occupancy"],
    "REST in": [sent.is_valid(), sent.validated_data["occupancy"], long.is_valid(), list(long.errors)],
    "service": LeadDetails(occupancy="rented").occupancy,
    "REST out": "occupancy" in LeadSerializer().fields,
    "admin": [sum("occupancy" in part["fields"] for _title, part in LeadAdmin.fieldsets),
              "occupancy" in LeadForm.base_fields],
    "erased": BLANK["occupancy"],
}))
'''


def test_a_new_column_of_lead_files_is_a_row_a_value_a_model_column_and_its_migration() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITH_OCCUPANCY],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "valhalla.settings"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "migrations": {"followups": ["Add field occupancy to lead"]},
        "row": ["vacant", {}],
        "taken over": [["occupancy"], "vacant", True],
        "export": [["Occupancy", "vacant"]],
        "REST in": [True, "rented", False, ["occupancy"]],
        "service": "rented",
        "REST out": True,
        "admin": [1, True],
        "erased": "",
    }
