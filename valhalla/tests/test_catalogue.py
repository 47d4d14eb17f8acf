"""Every sentence that a person can see has its French."""

from __future__ import annotations

import ast
import io
import re
import subprocess
from datetime import date
from pathlib import Path

import polib
import pytest
from babel.messages.extract import extract
from django.conf import settings
from django.utils.formats import date_format
from django.utils.translation import override, templatize

from governance.contact.reasons import SENTENCES

pytestmark = pytest.mark.once

ROOT = Path(settings.BASE_DIR)
CATALOGUE = ROOT / "locale" / "fr" / "LC_MESSAGES" / "django.po"
KEYWORDS = {"_": None, "gettext": None, "gettext_lazy": None, "ngettext": (1, 2), "ngettext_lazy": (1, 2)}
LOOSE_SIGN = re.compile("« | [»;!?]")  # with an ordinary space
PLACEHOLDER = re.compile(r"%\([a-z_]+\)[sd]|\{[a-z_]+\}")


def sources() -> list[Path]:
    named = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.html"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
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


def french(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def test_no_sentence_stands_inside_an_f_string() -> None:
    """Neither gettext's collector nor the one above looks into them: such a sentence would stay English."""
    hidden = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in sources()
        if path.suffix == ".py" and path.exists()
        for text in ast.walk(ast.parse(path.read_text()))
        if isinstance(text, ast.JoinedStr)
        for call in ast.walk(text)
        if isinstance(call, ast.Call)
        if isinstance(call.func, ast.Name) and call.func.id in KEYWORDS
    ]
    assert not hidden


def test_every_sentence_has_its_french() -> None:
    known = {entry.msgid: entry for entry in polib.pofile(str(CATALOGUE)) if not entry.obsolete}
    missing = {
        msgid: where
        for msgid, where in used().items()
        if msgid not in known or known[msgid].fuzzy or not known[msgid].translated()
    }
    assert not missing


def test_the_catalogue_holds_nothing_that_nobody_says() -> None:
    entries = {entry.msgid for entry in polib.pofile(str(CATALOGUE)) if not entry.obsolete}
    assert entries <= set(used())


def test_translations_keep_the_placeholders() -> None:
    for entry in polib.pofile(str(CATALOGUE)):
        wanted = set(PLACEHOLDER.findall(entry.msgid))
        of_many = set(PLACEHOLDER.findall(entry.msgid_plural))
        for text in french(entry):
            assert set(PLACEHOLDER.findall(text)) <= wanted | of_many, entry.msgid
            assert entry.msgid_plural or set(PLACEHOLDER.findall(text)) == wanted, entry.msgid


def test_french_signs_stay_with_their_words_at_the_end_of_a_line() -> None:
    loose = [
        text for entry in polib.pofile(str(CATALOGUE)) for text in french(entry) if LOOSE_SIGN.search(text)
    ]
    assert not loose


def test_the_compiled_catalogue_is_that_of_the_source() -> None:
    compiled = polib.mofile(str(CATALOGUE.with_suffix(".mo")))
    source = polib.pofile(str(CATALOGUE))
    assert {e.msgid: (e.msgstr, e.msgstr_plural) for e in compiled} == {
        e.msgid: (e.msgstr, e.msgstr_plural) for e in source.translated_entries()
    }


def test_a_day_inside_a_french_sentence_is_written_small() -> None:
    """Our catalogue goes before Django's: a weekday of ours is also that of every date."""
    with override("fr"):
        assert date_format(date(2026, 11, 24), "l j F") == "mardi 24 novembre"


def test_a_reason_is_said_in_french() -> None:
    with override("fr"):
        assert str(SENTENCES["holiday"]) != "It is a holiday there."
