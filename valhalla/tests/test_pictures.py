"""The README's pictures: there, small enough, and made by the command that the README names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.once


def test_the_readmes_pictures_are_there_with_words_and_made_by_the_command() -> None:
    shown = re.findall(r"!\[([^\]]{20,})\]\(docs/pictures/([a-z]+\.png)\)", (ROOT / "README.md").read_text())
    made = re.findall(r'print\("([a-z]+\.png)"', (ROOT / ".ci" / "pictures").read_text())
    assert sorted(name for _words, name in shown) == sorted(made)
    assert len(made) == 4
    for name in made:
        picture = ROOT / "docs" / "pictures" / name
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size < 400_000
