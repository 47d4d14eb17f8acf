"""Fixtures that the tests of whole programs share."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from valhalla.tests.serving import MANAGE, ROOT, environment, install

PREPARE = """
from governance.models import User
from valhalla.running import collect_static
collect_static(print)
User.objects.create_user("vera", password="a long password", role="VA")
"""


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, migrated_once: str) -> Path:
    """A folder to be copied: secrets, static files and a migrated SQLite database with the VA vera."""
    var = tmp_path_factory.mktemp("installed")
    settings = environment(var, install(var, migrated_once))
    subprocess.run([*MANAGE, "shell", "--no-imports", "-c", PREPARE], cwd=ROOT, env=settings, check=True)
    return var
