"""Every sentence that a person can see has its French."""

from __future__ import annotations

import io
import re
import subprocess
from pathlib import Path

import polib
import pytest
from babel.messages.extract import extract
from django.conf import settings
from django.utils.translation import override
from django.utils.translation import templatize  # type: ignore[attr-defined]  # missing in the stubs

from governance.contact.reasons import SENTENCES

pytestmark = pytest.mark.once

ROOT = Path(settings.BASE_DIR)
CATALOGUE = ROOT / "locale" / "fr" / "LC_MESSAGES" / "django.po"
KEYWORDS = {"_": None, "gettext": None, "gettext_lazy": None, "ngettext": (1, 2), "ngettext_lazy": (1, 2)}
PLACEHOLDER = re.compile(r"%\([a-z_]+\)[sd]|\{[a-z_]+\}")


def sources() -> list[Path]:
    named = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.html"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    return [ROOT / name for name in named if "/tests/" not in name and "/migrations/" not in name]


def used() -> dict[str, str]:
    """Return every msgid of code and templates with the file that uses it."""
    found: dict[str, str] = {}
    for path in sources():
        if not path.exists():
            continue
        text = path.read_text()
        code = text
        if path.suffix == ".html":  # what templatize makes is Python but for its indentation
            code = "\n".join(line.strip() for line in templatize(text, origin=str(path)).splitlines())
        for _line, msgids, _comments, _context in extract("python", io.BytesIO(code.encode()), KEYWORDS):
            first = msgids[0] if isinstance(msgids, tuple) else msgids
            if first:
                found[first] = str(path.relative_to(ROOT))
    return found


def test_every_sentence_has_its_french() -> None:
    known = {entry.msgid: entry for entry in polib.pofile(str(CATALOGUE)) if not entry.obsolete}
    missing = {
        msgid: where for msgid, where in used().items()
        if msgid not in known or known[msgid].fuzzy or not known[msgid].translated()
    }  # fmt: skip
    assert not missing


def test_the_catalogue_holds_nothing_that_nobody_says() -> None:
    entries = {entry.msgid for entry in polib.pofile(str(CATALOGUE)) if not entry.obsolete}
    assert entries <= set(used())


def test_translations_keep_the_placeholders() -> None:
    for entry in polib.pofile(str(CATALOGUE)):
        wanted = set(PLACEHOLDER.findall(entry.msgid))
        said = [entry.msgstr] if not entry.msgid_plural else list(entry.msgstr_plural.values())
        for text in said:
            assert set(PLACEHOLDER.findall(text)) <= wanted | set(PLACEHOLDER.findall(entry.msgid_plural)), entry.msgid
            assert entry.msgid_plural or set(PLACEHOLDER.findall(text)) == wanted, entry.msgid


def test_the_compiled_catalogue_is_that_of_the_source() -> None:
    compiled = polib.mofile(str(CATALOGUE.with_suffix(".mo")))
    source = polib.pofile(str(CATALOGUE))
    assert {e.msgid: (e.msgstr, e.msgstr_plural) for e in compiled} == {
        e.msgid: (e.msgstr, e.msgstr_plural) for e in source.translated_entries()
    }


def test_a_reason_is_said_in_french() -> None:
    with override("fr"):
        assert str(SENTENCES["holiday"]) != "It is a holiday there."
