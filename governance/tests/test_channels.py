"""The table of channels is the only place that knows which channels there are."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from governance.core.channels import CALL, CHANNELS

pytestmark = pytest.mark.once

ROOT = Path(settings.BASE_DIR)
TABLE = ROOT / "governance" / "core" / "channels.py"
TOP = ("valhalla", "governance", "followups", "buyers", "offers")
IN_A_TEMPLATE = re.compile(rf"[=!]=\s*[\"'](?:{'|'.join(CHANNELS)})[\"']")


def product_code() -> Iterator[Path]:
    """Return the product's modules but the table, tests, migrations and the demo, which tells a story."""
    for name in TOP:
        for path in (ROOT / name).rglob("*.py"):
            if path != TABLE and not {"tests", "migrations", "demo"} & set(path.parts):
                yield path


def named(nodes: list[ast.expr | None]) -> set[str]:
    """Return the channels that nodes name, by a code or as `CALL`; a pair counts by its first."""
    nodes = [node.elts[0] if isinstance(node, ast.Tuple) and node.elts else node for node in nodes]
    constants = {node.value for node in nodes if isinstance(node, ast.Constant)}
    names = {CALL for node in nodes if isinstance(node, ast.Name) and node.id == "CALL"}
    return {str(value) for value in constants if value in CHANNELS} | names


def second_tables(tree: ast.AST) -> list[int]:
    """Return the lines that list channels, or branch on one by its code."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Dict(keys=several):
                wrong = len(named(several)) > 1
            case ast.Tuple(elts=elts) | ast.List(elts=elts) | ast.Set(elts=elts):
                wrong = len(named([*elts])) > 1
            case ast.Compare(left=left, comparators=others):
                wrong = any(isinstance(one, ast.Constant) and named([one]) for one in (left, *others))
            case ast.ClassDef(body=body):  # choices
                wrong = len(named([one.value for one in body if isinstance(one, ast.Assign)])) > 1
            case ast.MatchValue(value=value):
                wrong = bool(named([value]))
            case _:
                continue
        if wrong:
            found.append(node.lineno)
    return found


@pytest.mark.parametrize(
    "code",
    [
        'NAMES = {"SMS": 1, CALL: 2}',
        'KNOWN = ("SMS", "EMAIL")',
        'CHOICES = [("SMS", "text"), ("CALL", "call")]',
        'class Channel:\n    SMS = "SMS", "text"\n    EMAIL = "EMAIL", "mail"',
        'if channel == "SMS": pass',
        'match channel:\n    case "CALL": pass',
    ],
)
def test_a_second_table_is_noticed(code: str) -> None:
    assert second_tables(ast.parse(code))


def test_no_module_but_the_table_lists_channels_or_branches_on_a_code() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path in product_code()
        if (lines := second_tables(ast.parse(path.read_text())))
    }
    assert found == {}


def test_no_template_or_script_branches_on_a_channel() -> None:
    pages = [*(ROOT / "templates").rglob("*.html"), *(ROOT / "static").glob("*.js")]
    assert len(pages) > 50
    assert [page.name for page in pages if IN_A_TEMPLATE.search(page.read_text())] == []


# Loads Valhalla with one more row in the table and says what knows it.
WITH_A_FAX = """
import json, sys, types
from datetime import UTC, datetime
from pathlib import Path

import django
import governance.core

path = Path("governance/core/channels.py")
row = '''    "FAX": Channel(
        kind=PHONE, name="Fax", noun="fax", plural="faxes", start="Start the fax",
        outcomes=("SENT", "REPLIED"), default_outcome="SENT", link="fax", written=False,
    ),
'''
before, after = path.read_text().split("}\\n\\nCHANNEL_CHOICES")
module = types.ModuleType("governance.core.channels")
sys.modules["governance.core.channels"] = governance.core.channels = module
exec(compile(before + row + "}\\n\\nCHANNEL_CHOICES" + after, str(path), "exec"), module.__dict__)

django.setup()

from django.apps import apps
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.state import ProjectState

from followups import forms, wording
from followups.api.serializers import ChannelField
from followups.rules import Step, read_steps
from followups.rules.lead_gate import PointState, first_usable
from governance.accounts.admin.work import WorkProfileForm
from governance.contact.api.filters import DecisionFilter
from governance.market.forms import PolicyForm
from governance.market.rules import read_rules
from governance.market.wording import channels_in_words

loader = MigrationLoader(None)
changes = MigrationAutodetector(
    loader.project_state(), ProjectState.from_apps(apps), MigrationQuestioner()
).changes(graph=loader.graph)
codes = lambda form, field: [code for code, _name in form.base_fields[field].choices]
complete = forms.CompleteForm(channel="FAX", may_override=False, zone="UTC", at=datetime.now(UTC))
print(json.dumps({
    "apps with a migration": sorted(changes),
    "outcomes": [name for name, _label in complete.fields["outcome"].choices],
    "default": complete.fields["outcome"].initial,
    "queue": codes(forms.QueueForm, "channel"),
    "inbound": codes(forms.InboundForm, "channel"),
    "consent": codes(forms.ConsentForm, "channel"),
    "market policy": codes(PolicyForm, "channels"),
    "work profile": codes(WorkProfileForm, "channels"),
    "filter": [code for code, _name in DecisionFilter.base_filters["channel"].extra["choices"]],
    "REST": ChannelField().run_validation(" fax "),
    "step": read_steps([{"channel": "FAX"}])[0].channel,
    "policy": list(read_rules({"channels_allowed": ["FAX", "SMS"]}).channels),
    "words": channels_in_words(["FAX"]),
    "link": wording.point_link("FAX", "+14165550100", "text"),
    "point": first_usable([PointState(1, "EMAIL", ""), PointState(2, "PHONE", "")], "FAX").id,
}))
"""


def test_a_fourth_channel_is_a_row_of_the_table_and_a_migration_of_two_apps() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITH_A_FAX],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "valhalla.settings"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    every = [*CHANNELS, "FAX"]
    assert json.loads(done.stdout) == {
        "apps with a migration": ["followups", "governance"],
        "outcomes": ["SENT", "REPLIED"],
        "default": "SENT",
        "queue": ["", *every],
        "inbound": every,
        "consent": every,
        "market policy": every,
        "work profile": every,
        "filter": every,
        "REST": "FAX",
        "step": "FAX",
        "policy": ["SMS", "FAX"],
        "words": "faxes",
        "link": "fax:+14165550100",
        "point": 2,
    }
