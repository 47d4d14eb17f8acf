"""Each cell of a lead spreadsheet is read by its rule, or named."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import phonenumbers
import pytest
from django.conf import settings
from django.utils import translation
from hypothesis import example, given
from hypothesis import strategies as st

from followups.intake import rules
from followups.models import Lead
from governance.contact import digests
from governance.core.places import Province

pytestmark = pytest.mark.once

TODAY = date(2026, 11, 24)


def code_of(found: rules.Problem | None) -> str:
    return found.code if found else ""


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("BC", "BC|bc|B.C.|B. C.|British Columbia|BRITISH COLUMBIA|Colombie-Britannique|C.-B.|c.b."),
        ("AB", "AB|Alberta|Alta.|ALTA|Alb.|alberta "),
        ("SK", "SK|Saskatchewan|Sask.|S.K."),
        ("MB", "MB|Manitoba|Man.|\tMANITOBA"),
        ("ON", "ON|on|ONTARIO |Ont.|Ontario|  o n "),
        ("QC", "QC|PQ|P.Q.|Qué.|Que|QUEBEC|Québec|Que\u0301bec|Province de Québec|Québec, Canada"),
        ("NB", "NB|N.-B.|N.B.|New Brunswick|Nouveau-Brunswick|NOUVEAU BRUNSWICK"),
        ("NS", "NS|N.S.|Nova Scotia|Nouvelle-Écosse|Nouvelle Ecosse|N.-É.|NÉ|N.E."),
        ("PE", "PE|PEI|P.E.I.|Prince Edward Island|Île-du-Prince-Édouard|Ile du Prince Edouard|Î.-P.-É.|IPE"),
        (
            "NL",
            "NL|Nfld|NFLD.|Newfoundland|Labrador|Newfoundland and Labrador|Newfoundland & Labrador|"
            "Nfld. & Lab.|Terre-Neuve-et-Labrador|Terre-Neuve|T.-N.-L.|T.-N.|N.L.",
        ),
        ("YT", "YT|Yukon|Yukon Territory|The Yukon|Territoire du Yukon|Y.T."),
        ("NT", "NT|NWT|N.W.T.|Northwest Territories|Territoires du Nord-Ouest|T.N.-O.|TNO"),
        ("NU", "NU|Nunavut|NUNAVUT|Nvt"),
    ],
)
def test_a_province_is_read_in_both_languages_and_every_abbreviation(code: str, names: str) -> None:
    for name in names.split("|"):
        assert (name, *rules.read_province(name)) == (name, code, None)


def test_every_province_has_its_own_names() -> None:
    assert {rules.read_province(province.value)[0] for province in Province} == set(Province.values)
    for province in Province:
        for language in ("en", "fr"):
            with translation.override(language):
                assert rules.read_province(str(province.label)) == (province.value, None)


@pytest.mark.parametrize(
    "text", ["Texas", "??", "ZZ", "Canada", "NE", "TN", "Q", "ONT QC", "-", "Ont4rio", "日本"]
)
def test_what_is_no_province_is_never_guessed(text: str) -> None:
    code, found = rules.read_province(text)
    assert (code, code_of(found)) == ("", "province_unknown")


@pytest.mark.parametrize("text", ["", "   ", "\u00a0", "\n"])
def test_a_blank_province_is_told_from_a_wrong_one(text: str) -> None:
    assert code_of(rules.read_province(text)[1]) == "province_missing"


def test_an_id_is_trimmed_and_keeps_its_case() -> None:
    assert rules.read_external_id("  L711-00001\u00a0") == ("L711-00001", None)
    assert rules.read_external_id("l711") == ("l711", None)
    assert rules.read_external_id("x" * 64) == ("x" * 64, None)


@pytest.mark.parametrize(
    ("text", "code"), [("", "id_missing"), (" \t ", "id_missing"), ("x" * 65, "id_too_long")]
)
def test_a_row_without_a_usable_id_is_refused(text: str, code: str) -> None:
    value, found = rules.read_external_id(text)
    assert value == ""
    assert found is not None
    assert (found.code, found.effect) == (code, "refused")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("  Kim  Evans ", "Kim Evans"),
        ("Contreras, Sandra", "Sandra Contreras"),
        ("CONTRERAS, SANDRA", "Sandra Contreras"),
        ("TREMBLAY, Élise", "Élise Tremblay"),
        ("St-Onge, Jacques", "Jacques St-Onge"),
        ("Smith, Mary Ann", "Mary Ann Smith"),
        ("DEREK HENRY", "Derek Henry"),
        ("MONIQUE ÉMOND", "Monique Émond"),
        ("JEAN-FRANÇOIS ST-ONGE", "Jean-François St-Onge"),
        ("BRIAN O'BRIEN", "Brian O'Brien"),
        ("BRIAN O’BRIEN", "Brian O’Brien"),
        ("LUC L'HEUREUX", "Luc L'Heureux"),
        ("KEITH MCKINNEY", "Keith McKinney"),
        ("RON MCDONALD", "Ron McDonald"),
        ("ANDREA LE", "Andrea Le"),
        ("JOHN F. KENNEDY JR.", "John F. Kennedy Jr."),
        ("HENRY SMITH III", "Henry Smith III"),
        ("JOHN & MARY SMITH", "John & Mary Smith"),
        ("ST. PIERRE", "St. Pierre"),
        ("JUDY MACK", "Judy Mack"),
        ("Jonathan Mccullough", "Jonathan Mccullough"),
        ("e\u0301lise", "élise"),
        ("", ""),
    ],
)
def test_a_name_is_written_as_one_says_it(written: str, name: str) -> None:
    assert rules.read_name(written) == (name, None)


@pytest.mark.parametrize(
    "name",
    [
        "STEPHEN OCONNOR",  # O'Connor?
        "JOHN MACDONALD",  # MacDonald?
        "ANN FITZGERALD",
        "SANDRA DE LA CRUZ",  # De La?
        "KEES VAN DYK",
        "MARIE D'AMOURS",
        "JP SMITH",  # initials?
        "RÉAL LEBLANC",
        "1234567 CANADA INC.",
        "ABC HOLDINGS LTD",
        "RBC",
        "Smith, John, Jr",
        "John Smith, Jr.",
        "Maple Homes, Inc.",
        "bell hooks",
        "DeShawn McCOY",
        "SMITH,",
        "J. R.",
    ],
)
def test_a_name_whose_writing_is_not_sure_stays_as_it_is(name: str) -> None:
    assert rules.read_name(name) == (name, None)


def test_a_name_that_is_too_long_is_left_empty_and_never_cut() -> None:
    value, found = rules.read_name("x" * 201)
    assert value == ""
    assert found is not None
    assert (found.code, found.effect, found.value) == ("too_long", "left_empty", "x" * 201)
    assert found.message == "Name: the cell has more than 200 characters; it was left empty."


@pytest.mark.parametrize(
    ("written", "city", "market"),
    [
        ("", "", "ALL"),
        ("  ", "", "ALL"),
        (" Montréal ", "Montréal", "MONTRÉAL"),
        ("MONTRÉAL", "Montréal", "MONTRÉAL"),
        ("toronto", "Toronto", "TORONTO"),
        ("Fort  St. John", "Fort St. John", "FORT ST. JOHN"),
        ("FORT ST. JOHN", "Fort St. John", "FORT ST. JOHN"),
        ("ST. JOHN'S", "St. John's", "ST. JOHN'S"),
        ("St. John’s", "St. John’s", "ST. JOHN'S"),
        ("HAPPY VALLEY-GOOSE BAY", "Happy Valley-Goose Bay", "HAPPY VALLEY-GOOSE BAY"),
        ("SEPT-ÎLES", "Sept-Îles", "SEPT-ÎLES"),
        ("TROIS-RIVIÈRES", "Trois-Rivières", "TROIS-RIVIÈRES"),
        ("SAINT-JEAN-SUR-RICHELIEU", "Saint-Jean-sur-Richelieu", "SAINT-JEAN-SUR-RICHELIEU"),
        ("NOTRE-DAME-DE-L'ÎLE-PERROT", "Notre-Dame-de-l'Île-Perrot", "NOTRE-DAME-DE-L'ÎLE-PERROT"),
        ("VAL-D'OR", "Val-d'Or", "VAL-D'OR"),
        ("BAIE-D'URFÉ", "Baie-D'Urfé", "BAIE-D'URFÉ"),
        ("L'ASSOMPTION", "L'Assomption", "L'ASSOMPTION"),
        ("LA TUQUE", "La Tuque", "LA TUQUE"),
        ("NIAGARA-ON-THE-LAKE", "Niagara-on-the-Lake", "NIAGARA-ON-THE-LAKE"),
        ("FORT MCMURRAY", "Fort McMurray", "FORT MCMURRAY"),
        ("100 MILE HOUSE", "100 Mile House", "100 MILE HOUSE"),
        ("CFB BORDEN", "CFB BORDEN", "CFB BORDEN"),  # an abbreviation: kept
        ("PORTAGE LA PRAIRIE", "PORTAGE LA PRAIRIE", "PORTAGE LA PRAIRIE"),  # but Lac La Biche
        ("Ｔｏｒｏｎｔｏ", "Toronto", "TORONTO"),
    ],
)
def test_a_city_is_readable_and_names_its_market(written: str, city: str, market: str) -> None:
    assert rules.read_city(written) == (city, market, None)


@pytest.mark.parametrize("city", ["Toronto <b>", "x" * 41, "Montr\ufffdal", "a@b", "Ville (centre)"])
def test_a_city_that_cannot_name_a_market_is_kept_and_reported(city: str) -> None:
    value, market, found = rules.read_city(city)
    assert (value, market, code_of(found)) == (city, "ALL", "city_no_market")


def test_a_city_too_long_for_any_screen_is_left_empty() -> None:
    value, market, found = rules.read_city("x" * 81)
    assert (value, market, code_of(found)) == ("", "ALL", "too_long")


@pytest.mark.parametrize(
    ("written", "postal_code"),
    [("m5v2t6", "M5V 2T6"), ("M5V-2T6", "M5V 2T6"), (" K1A  0B1 ", "K1A 0B1"), ("H2X", "H2X"), ("", "")],
)
def test_a_postal_code_is_written_as_canada_post_does(written: str, postal_code: str) -> None:
    assert rules.read_postal_code(written) == (postal_code, None)


@pytest.mark.parametrize("written", ["90210", "D1A 1A1", "M5V 2T", "M5V 2T6 x", "Z9Z 9Z9"])
def test_what_is_no_canadian_postal_code_is_left_empty(written: str) -> None:
    value, found = rules.read_postal_code(written)
    assert (value, code_of(found)) == ("", "postal_code_unreadable")


@pytest.mark.parametrize(
    ("written", "phone", "extension"),
    [
        ("tel: 519-555-0101", "+15195550101", ""),
        ("Tél. : 519 555 0101", "+15195550101", ""),
        ("514 555 0102", "+15145550102", ""),
        ("514.555.0102", "+15145550102", ""),
        ("(514)555-0101 ext. 12", "+15145550101", "12"),
        ("(514) 555-0101, poste 7", "+15145550101", "7"),
        ("514-555-0101 x204", "+15145550101", "204"),
        ("514-555-0101 #3", "+15145550101", "3"),
        ("1-807-555-0156", "+18075550156", ""),
        ("+1 506 555 0119", "+15065550119", ""),
        ("+18075550156", "+18075550156", ""),
        ("8195550117", "+18195550117", ""),
        ("514/555-0102", "+15145550102", ""),
        ("514\u00a0555–0102", "+15145550102", ""),
        ("", "", ""),
        ("   ", "", ""),
    ],
)
def test_a_phone_is_read_in_every_format(written: str, phone: str, extension: str) -> None:
    assert rules.read_phone(written) == (phone, extension, None)


AREA_CODES = (
    "204 226 236 249 250 263 289 306 343 354 365 367 368 382 403 416 418 428 431 437 438 450 474 506 514 519 "
    "548 579 581 584 587 604 613 639 647 672 683 705 709 742 753 778 780 782 807 819 825 867 873 879 902 905"
)


@pytest.mark.parametrize("area", AREA_CODES.split())
def test_every_canadian_area_code_is_known(area: str) -> None:
    assert rules.read_phone(f"{area} 555 0199")[0] == f"+1{area}5550199"


@pytest.mark.parametrize(
    "written",
    [
        "555", "416-555", "0000000000", "call wife", "n/a", "-", "999 555 0101", "116 555 0101",
        "416 155 0101", "519-555-0101 / 519-555-0102", "519-555-0101 wife", "1-800-FLOWERS", "+999 123",
        "x12", "٤١٦٥٥٥٠١٠١x",
        "5" * 500, "+" * 50,
    ],
)  # fmt: skip
def test_what_is_no_phone_is_left_empty_and_reported(written: str) -> None:
    phone, extension, found = rules.read_phone(written)
    assert (phone, extension, code_of(found)) == ("", "", "phone_unreadable")


def test_a_number_from_abroad_is_kept_and_remarked_on() -> None:
    phone, _extension, found = rules.read_phone("+44 20 7946 0958")
    assert phone == "+442079460958"
    assert found is not None
    assert (found.code, found.effect) == ("phone_abroad", "kept")


@pytest.mark.parametrize(
    ("written", "address"),
    [
        (" SContreras@EXAMPLE.org ", "SContreras@example.org"),
        ("gabrielle.massé@example.com", "gabrielle.massé@example.com"),
        ("e\u0301brunet@example.com", "ébrunet@example.com"),
        ("ÉBrunet@EXAMPLE.org", "ÉBrunet@example.org"),
        ("a+b@mail.exämple.ca", "a+b@mail.exämple.ca"),
        ("", ""),
    ],
)
def test_an_address_keeps_its_accents_and_its_case_before_the_at_sign(written: str, address: str) -> None:
    assert rules.read_email(written) == (address, None)


@pytest.mark.parametrize(
    "written",
    ["n/a", "@example.com", "a@", "a@b", "a b@example.com", "a@ex ample.com", "a@b@example.com",
     "a@example.com, b@example.com", "a@[127.0.0.1]", "a@localhost", "a..b@example.com",
     "a@exam\u3000ple.com", "☎@example.com"],
)  # fmt: skip
def test_what_is_no_address_is_left_empty_and_reported(written: str) -> None:
    value, found = rules.read_email(written)
    assert (value, code_of(found)) == ("", "email_unreadable")


def test_an_address_beyond_254_characters_is_left_empty() -> None:
    assert code_of(rules.read_email("a" * 250 + "@example.com")[1]) == "too_long"


@pytest.mark.parametrize(
    ("written", "score"),
    [
        ("2%", "0.02"), ("0,10", "0.10"), ("0.10", "0.10"), ("2,5 %", "0.025"), ("100%", "1"), ("0%", "0"),
        ("1", "1"), ("0", "0"), ("1,00", "1"), (".5", "0.5"), (" 0.45\u00a0", "0.45"), ("+0.3", "0.3"),
        ("０.５", "0.5"), ("-0", "0"),
    ],
)  # fmt: skip
def test_a_score_is_a_fraction(written: str, score: str) -> None:
    assert rules.read_score(written) == (Decimal(score), None)


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("high", "score_unreadable"), ("0.5.1", "score_unreadable"), ("%", "score_unreadable"),
        ("-", "score_unreadable"), (".", "score_unreadable"), ("NaN", "score_unreadable"),
        ("1e-1", "score_unreadable"), ("٠.٥", "score_unreadable"), ("0" * 50, "score_unreadable"),
        ("1/2", "score_unreadable"), ("61", "score_out_of_range"), ("1.7", "score_out_of_range"),
        ("-0.2", "score_out_of_range"), ("−0.2", "score_out_of_range"), ("150%", "score_out_of_range"),
        ("1,234", "score_out_of_range"), ("100.01%", "score_out_of_range"),
    ],
)  # fmt: skip
def test_words_and_values_out_of_range_are_left_empty_and_reported(written: str, code: str) -> None:
    score, found = rules.read_score(written)
    assert score is None
    assert found is not None
    assert (found.code, found.effect) == (code, "left_empty")


def test_a_score_of_many_decimals_is_rounded_and_remarked_on() -> None:
    score, found = rules.read_score("0.30000000000000004")
    assert (score, code_of(found)) == (Decimal("0.3"), "score_rounded")


@pytest.mark.parametrize(
    ("written", "language"),
    [("en", "en"), ("EN", "en"), ("English", "en"), ("en-CA", "en"), ("anglais", "en"), ("fr", "fr"),
     ("FR", "fr"), ("Français", "fr"), ("FRANCAIS ", "fr"), ("French", "fr"), ("", "")],
)  # fmt: skip
def test_a_language_is_english_or_french(written: str, language: str) -> None:
    assert rules.read_language(written) == (language, None)


@pytest.mark.parametrize("written", ["Spanish", "bilingual", "e", "?", "en/fr"])
def test_another_language_is_left_empty_and_reported(written: str) -> None:
    value, found = rules.read_language(written)
    assert (value, code_of(found)) == ("", "language_unknown")


def test_one_source_has_one_label() -> None:
    assert {rules.read_source(text)[0] for text in ("Web Form", "web  form ", "WEB FORM")} == {"web form"}
    assert rules.read_source("driving for $") == ("driving for $", None)
    assert code_of(rules.read_source("x" * 81)[1]) == "too_long"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("2026-09-10", "2026-09-10"),
        ("2026-9-1", "2026-09-01"),
        ("2026/09/10", "2026-09-10"),
        ("2026-09-10 14:22", "2026-09-10 14:22"),
        ("2026-09-10T14:22:05Z", "2026-09-10T14:22:05Z"),
        ("07/24/2026", "2026-07-24"),
        ("24/07/2026", "2026-07-24"),
        ("24.07.2026", "2026-07-24"),
        ("05/05/2026", "2026-05-05"),
        ("2026-11-24", "2026-11-24"),
        ("", ""),
    ],
)
def test_a_clear_date_is_iso_text(written: str, kept: str) -> None:
    assert rules.read_date(written, today=TODAY) == (kept, None)


@pytest.mark.parametrize(
    ("written", "kept", "code"),
    [
        ("05/10/2026", "05/10/2026", "date_unclear"),
        ("1-2-2026", "1-2-2026", "date_unclear"),
        ("12/01/2026", "12/01/2026", "date_unclear"),
        ("31/02/2026", "31/02/2026", "date_impossible"),
        ("13/13/2026", "13/13/2026", "date_impossible"),
        ("2026-02-30", "2026-02-30", "date_impossible"),
        ("0000-00-00", "0000-00-00", "date_impossible"),
        ("00/00/0000", "00/00/0000", "date_impossible"),
        ("2026-09-10T99:99", "2026-09-10T99:99", "date_impossible"),
        ("yesterday", "yesterday", "date_unreadable"),
        ("24/07/26", "24/07/26", "date_unreadable"),
        ("45921", "45921", "date_unreadable"),
        ("2026-11-25", "2026-11-25", "date_future"),
        ("28/11/2026", "2026-11-28", "date_future"),
    ],
)
def test_any_other_date_is_kept_as_text_and_remarked_on(written: str, kept: str, code: str) -> None:
    value, found = rules.read_date(written, today=TODAY)
    assert found is not None
    assert (value, found.code, found.effect) == (kept, code, "kept")


def test_a_date_reads_the_same_whatever_the_day_of_the_import() -> None:
    texts = ("28/11/2026", "2026-11-28", "05/12/2026")
    assert [rules.read_date(text, today=TODAY)[0] for text in texts] == [
        rules.read_date(text, today=date(2027, 3, 1))[0] for text in texts
    ]


@pytest.mark.parametrize(
    "notes",
    ['=HYPERLINK("http://x","y")', "<b>urgent</b>", 'says "maybe, after Xmas"', "-1+2", "@SUM(A1)", "é – à"],
)
def test_notes_stay_as_they_are_written(notes: str) -> None:
    assert rules.read_notes(notes) == (notes, None)


def test_an_extension_goes_into_the_notes() -> None:
    assert rules.read_notes("", extension="12") == ("ext. 12", None)
    assert rules.read_notes("call first", extension="12") == ("call first\next. 12", None)


def test_notes_that_are_too_long_are_left_empty_but_the_extension_stays() -> None:
    notes, found = rules.read_notes("x" * 19_901, extension="12")
    assert (notes, code_of(found)) == ("ext. 12", "too_long")


def test_characters_that_cannot_be_shown_are_removed_and_reported() -> None:
    text, found = rules.clean("a\x00b\ud800c\x1b[1m\u200b", "notes")
    assert text == "abc[1m"
    assert found is not None
    assert (found.code, found.effect) == ("control_characters", "kept")
    assert found.value == r"a\x00b\ud800c\x1b[1m\u200b"
    assert found.message.startswith("Notes: “a\\x00b")


def test_line_breaks_and_tabs_are_no_control_characters() -> None:
    assert rules.clean("a\r\nb\tc\rd é–", "notes") == ("a\nb\tc\nd é–", None)


@pytest.mark.parametrize(
    "cells",
    [
        ["TOTAL", "1666", ""], ["Total", "", ""], ["Total général", "1 666", "12,5 %"], ["", "Total:", "-3"],
        ["Grand total", "$ 1,200.00"], ["Sous-total", "", "12"], ["Total 418"], ["TOTAL", "0.45"],
    ],
)  # fmt: skip
def test_a_total_line_is_known_by_its_word_and_figures(cells: list[str]) -> None:
    assert rules.is_total(cells)


@pytest.mark.parametrize(
    "cells",
    [["TOTAL", "Marie", "QC"], ["L711-1", "1666"], ["", ""], [], ["Total Homes", "ON"], ["12", "TOTAL"]],
)
def test_a_lead_is_no_total_line(cells: list[str]) -> None:
    assert not rules.is_total(cells)


def test_every_problem_has_a_sentence_and_an_effect() -> None:
    for code in rules._PROBLEMS:
        found = rules.problem("score", code, "100 % “high”" * 20, 40)
        assert found.message.endswith(".")
        assert "%(" not in found.message
        assert len(found.message) < 300
        assert found.effect in {"refused", "ignored", "left_empty", "kept"}


def test_every_province_form_of_the_samples_is_read_or_known_to_be_none() -> None:
    none = {"", "??", "Texas", "ZZ", "Canada"}
    seen: set[str] = set()
    for name, encoding, separator in (("leads", "utf-8-sig", ","), ("leads_quebec", "cp1252", ";")):
        path = Path(settings.BASE_DIR) / "samples" / f"{name}.csv"
        with path.open(encoding=encoding, newline="") as file:
            seen |= {row[4] for row in csv.reader(file, delimiter=separator)} - {"Prov/Territory", "Province"}
    assert {text for text in seen if not rules.read_province(text)[0]} == none
    assert len(seen - none) == 49


def test_what_the_rules_let_through_fits_the_lead() -> None:
    def room(field: str) -> int:
        return int(getattr(Lead._meta.get_field(field), "max_length", 0))

    assert room("external_id") >= rules.ID_LENGTH
    assert room("name") >= rules.NAME_LENGTH
    assert room("city") >= rules.CITY_LENGTH
    assert room("source") >= rules.SOURCE_LENGTH
    assert room("notes") >= rules.NOTES_LENGTH + len("\next. 1234567")


RULES: list[Callable[[str], Any]] = [
    rules.read_external_id,
    rules.read_province,
    rules.read_name,
    rules.read_city,
    rules.read_postal_code,
    rules.read_phone,
    rules.read_email,
    rules.read_score,
    rules.read_language,
    rules.read_source,
    rules.read_notes,
    lambda text: rules.read_date(text, today=TODAY),
]


ANY_TEXT = st.one_of(
    st.text(st.characters(exclude_categories=[])),  # lone surrogates and NUL as well
    st.text("0123456789-+/.,%()x ", max_size=25),
    st.text("ABCDEILMNOSTU'’-., &ÉÎ", max_size=25),
    st.text("aé@.-_ ", max_size=25),
)


@given(ANY_TEXT)
@example("ǅ")
@example("İ'İ")
@example("ß" * 41)
@example("\ud800@\ud800.ca")
@example("9999-12-31T24:00")
def test_no_text_makes_a_rule_raise(text: str) -> None:
    for rule in RULES:
        *_values, found = rule(text)
        if found is not None:
            found.message.encode()
            found.value.encode()
    assert rules.is_total([text, text]) in {True, False}
    cleaned, _found = rules.clean(text, "notes")
    cleaned.encode()
    assert "\x00" not in cleaned


@given(ANY_TEXT)
@example("ÌI ÉT")
@example("0ıff")
@example("İSTANBUL’S")
def test_name_case_changes_case_alone(text: str) -> None:
    name = rules.single_spaced(text)
    assert rules.name_case(name).casefold() == name.casefold()
    assert rules.city_case(name).casefold().replace("’", "'") == name.casefold().replace("’", "'")


@given(ANY_TEXT)
@example("0'IÌ")
def test_what_a_rule_has_written_it_reads_again_the_same(text: str) -> None:
    text = rules.clean(text, "name")[0]
    for rule in (rules.read_external_id, rules.read_email, rules.read_source, rules.read_postal_code):
        value, _found = rule(text)
        assert rule(value)[0] == value
    city, market, _found = rules.read_city(text)
    assert rules.read_city(city)[:2] == (city, market)
    phone = rules.read_phone(text)[0]
    assert rules.read_phone(phone)[0] == phone
    score = rules.read_score(text)[0]
    assert score is None or (0 <= score <= 1 and rules.read_score(str(score)) == (score, None))


def test_a_number_is_read_as_the_library_of_numbers_reads_it(chance: random.Random) -> None:
    read = 0
    for _number in range(1000):
        digits = "".join(chance.choice("0123456789") for _digit in range(chance.choice([7, 9, 10, 10, 11])))
        text = chance.choice(["", "1", "+", "+1", "(", "011", "416", "1-800-", "+1 268 "]) + digits
        cut = chance.randrange(1, len(text))
        written = text[:cut] + chance.choice([" ", "-", ".", ") ", ""]) + text[cut:]
        try:
            number = phonenumbers.parse(written, "CA")
        except phonenumbers.NumberParseException:
            number = None
        found, _extension, _problem = rules.read_phone(written)
        if number is None or not phonenumbers.is_valid_number(number):
            assert found == "", written
        elif found:
            e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            assert (found, digests.read_phone(e164)) == (e164, e164), written
            read += 1
    assert read > 100
