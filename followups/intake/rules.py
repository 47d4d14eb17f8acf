"""One cell of a lead spreadsheet -> its value, and a named problem if it could not be read as it is.

Every rule takes the text of a cell and returns ``(value, problem)``; no text makes a rule raise. A value that
could not be read is blank, and its problem quotes the text.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

import phonenumbers
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.translation import gettext_lazy

from governance.core.places import ALL, Province, read_label

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

# Maximum lengths in characters. A longer cell is left empty and reported; a longer id refuses the row.
ID_LENGTH: Final = 64
NAME_LENGTH: Final = 200
CITY_LENGTH: Final = 80
EMAIL_LENGTH: Final = 254
SOURCE_LENGTH: Final = 80
NOTES_LENGTH: Final = 19_900  # an extension still fits after it
EXTRA_LENGTH: Final = 2_000
SCORE_PLACES: Final = 4

Effect = Literal["refused", "ignored", "left_empty", "kept"]

# What happened to the cell or the row, and the sentence for it.
_PROBLEMS: Final[dict[str, tuple[Effect, StrOrPromise]]] = {
    "id_missing": ("refused", gettext_lazy("The lead has no id; the line was refused.")),
    "id_too_long": (
        "refused",
        gettext_lazy("The id “%(value)s” has more than %(limit)s characters; the line was refused."),
    ),
    "province_missing": ("refused", gettext_lazy("The province is empty; the line was refused.")),
    "province_unknown": (
        "refused",
        gettext_lazy("“%(value)s” is not a Canadian province or territory; the line was refused."),
    ),
    "too_many_cells": (
        "refused",
        gettext_lazy(
            "The line has more cells than the header: a cell that contains a separator needs "
            "quotation marks; the line was refused."
        ),
    ),
    "broken_quotes": (
        "refused",
        gettext_lazy("A quotation mark is not closed or is in the wrong place; the line was refused."),
    ),
    "line_too_large": (
        "refused",
        gettext_lazy("The line is longer than %(limit)s characters; the line was refused."),
    ),
    "blank_line": ("ignored", gettext_lazy("The line is empty; it was skipped.")),
    "total_line": ("ignored", gettext_lazy("The line is a total, not a lead; it was skipped.")),
    "phone_unreadable": (
        "left_empty",
        gettext_lazy("“%(value)s” is not a phone number that exists; the phone was left empty."),
    ),
    "phone_abroad": (
        "kept",
        gettext_lazy("The phone number “%(value)s” is outside North America; it was kept."),
    ),
    "email_unreadable": (
        "left_empty",
        gettext_lazy("“%(value)s” is not an e-mail address; the e-mail was left empty."),
    ),
    "score_unreadable": (
        "left_empty",
        gettext_lazy("The score “%(value)s” is not a number between 0 and 1; it was left empty."),
    ),
    "score_out_of_range": (
        "left_empty",
        gettext_lazy(
            "The score “%(value)s” is not between 0 and 1 (or 0 and 100 percent); it was left empty."
        ),
    ),
    "score_rounded": (
        "kept",
        gettext_lazy("The score “%(value)s” was rounded to four decimals."),
    ),
    "language_unknown": (
        "left_empty",
        gettext_lazy("“%(value)s” is neither English nor French; the language was left empty."),
    ),
    "postal_code_unreadable": (
        "left_empty",
        gettext_lazy("“%(value)s” is not a Canadian postal code; it was left empty."),
    ),
    "city_no_market": (
        "kept",
        gettext_lazy(
            "The city “%(value)s” cannot name a market (1 to 40 letters, digits, spaces and . ' & / -); "
            "the city was kept and the market is ALL."
        ),
    ),
    "date_unclear": (
        "kept",
        gettext_lazy("It is not clear which number in “%(value)s” is the day; the date was kept as text."),
    ),
    "date_impossible": (
        "kept",
        gettext_lazy("“%(value)s” is not a calendar day; the date was kept as text."),
    ),
    "date_unreadable": (
        "kept",
        gettext_lazy("“%(value)s” is not a date that can be read; it was kept as text."),
    ),
    "date_future": (
        "kept",
        gettext_lazy("The date “%(value)s” is in the future; it was kept."),
    ),
    "too_long": (
        "left_empty",
        gettext_lazy("%(field)s: the cell has more than %(limit)s characters; it was left empty."),
    ),
    "control_characters": (
        "kept",
        gettext_lazy("%(field)s: “%(value)s” holds characters that cannot be shown; they were removed."),
    ),
    "short_line": (
        "kept",
        gettext_lazy("The line has fewer cells than the header; the missing ones count as empty."),
    ),
}

_QUOTED: Final = frozenset(f"'{sign}" for sign in "=+-@\t\r")
_SHOWN = 80  # characters of a value that a sentence quotes


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem with a cell or a row.

    `field` is the lead's field, the heading of an unknown column, or ``line``; `limit` counts characters.
    """

    field: str
    code: str
    value: str
    limit: int = 0

    @property
    def effect(self) -> Effect:
        """Return the effect on the row (``refused``, ``ignored``) or the cell (``left_empty``, ``kept``)."""
        return _PROBLEMS[self.code][0]

    @property
    def message(self) -> str:
        """Return the sentence, in the active language."""
        from followups.fields import label_of  # which names the rules of this module

        value = self.value if len(self.value) <= _SHOWN else f"{self.value[: _SHOWN - 1]}…"
        return str(_PROBLEMS[self.code][1]) % {
            "value": value,
            "limit": self.limit,
            "field": label_of(self.field),
        }


def problem(field: str, code: str, value: str, limit: int = 0) -> Problem:
    """Return the problem `code`, with its value safe for every screen, file and database."""
    return Problem(field, code, printable(value), limit)


def _unprintable(sign: str) -> bool:
    if sign in "\t\n\r":
        return False
    return unicodedata.category(sign) in {"Cc", "Cs"} or sign in "\ufeff\u200b"


def printable(text: str) -> str:
    """Return `text` with control characters and lone surrogates escaped (``\\x00``)."""
    if text.isprintable():
        return text
    return "".join(ascii(sign)[1:-1] if _unprintable(sign) else sign for sign in text)


def clean(text: str, field: str) -> tuple[str, Problem | None]:
    """Return `text` without control characters, lone surrogates, byte-order marks and zero-width spaces.

    Line breaks and tabs stay; a line break becomes ``\\n``.
    """
    if text.isprintable():
        return text, None
    kept = "".join(sign for sign in text if not _unprintable(sign))
    found = problem(field, "control_characters", text) if len(kept) != len(text) else None
    return kept.replace("\r\n", "\n").replace("\r", "\n"), found


def without_quote(text: str) -> str:
    """Return `text` without the quote that an export puts before a potential formula."""
    return text[1:] if text[:2] in _QUOTED else text


def single_spaced(text: str) -> str:
    """Return `text` in NFC, trimmed, with one space for any white space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def folded(text: str) -> str:
    """Return `text` as names are compared here: its letters and digits in upper case, without accents."""
    plain = unicodedata.normalize("NFKD", text)
    return "".join(sign for sign in plain if sign.isalnum()).upper()


def too_long(value: str, field: str, limit: int) -> tuple[str, Problem | None]:
    """Return `value`, or blank and a problem if it has more than `limit` characters. Nothing is cut."""
    return ("", problem(field, "too_long", value, limit)) if len(value) > limit else (value, None)


# --- id -------------------------------------------------------------------------------------------------


def read_external_id(text: str) -> tuple[str, Problem | None]:
    """Return the id, trimmed and single-spaced; case is kept. A blank or too long one refuses the row."""
    value = single_spaced(text)
    if not value:
        return "", problem("external_id", "id_missing", text)
    if len(value) > ID_LENGTH:
        return "", problem("external_id", "id_too_long", text, ID_LENGTH)
    return value, None


# --- province -------------------------------------------------------------------------------------------

# Names and abbreviations in English and French: Canada Post's current and former symbols, those of the
# Canadian Style and of the Office québécois de la langue française, and common ones.
_PROVINCE_NAMES: Final[dict[Province, str]] = {
    Province.BC: "BC|British Columbia|Brit. Col.|Colombie-Britannique|C.-B.|Col.-Brit.",
    Province.AB: "AB|Alberta|Alta.|Alb.",
    Province.SK: "SK|Saskatchewan|Sask.",
    Province.MB: "MB|Manitoba|Man.",
    Province.ON: "ON|Ontario|Ont.",
    Province.QC: "QC|Québec|Que.|PQ",
    Province.NB: "NB|New Brunswick|New Bruns.|Nouveau-Brunswick|Nouv.-Brunswick",
    Province.NS: "NS|Nova Scotia|Nouvelle-Écosse|Nouv.-Écosse",
    Province.PE: "PE|Prince Edward Island|PEI|PE Island|Île-du-Prince-Édouard|Î.-P.-É.|IPE|Île du P.-É.",
    Province.NL: "NL|Newfoundland and Labrador|Newfoundland & Labrador|Newfoundland|Labrador|"
    "NFLD|NFLD and Labrador|NFLD & Labrador|NFLD and Lab.|NFLD & Lab.|NF|LB|Terre-Neuve-et-Labrador|"
    "Terre-Neuve et du Labrador|Terre-Neuve & Labrador|Terre-Neuve|T.-N.-L.|T.-N.-et-L.|TNL",
    Province.YT: "YT|Yukon|Yukon Territory|YK|Territoire du Yukon",
    Province.NT: "NT|Northwest Territories|North West Territories|N.W.T.|NW Territories|"
    "Territoires du Nord-Ouest|T.N.-O.|T.N.O.",
    Province.NU: "NU|Nunavut|Nvt|Nun.",
}
_PROVINCES: Final[dict[str, str]] = {
    folded(name): province.value for province, names in _PROVINCE_NAMES.items() for name in names.split("|")
}
# Without their French accents these two are American states (Nebraska, Tennessee).
_MARKED_PROVINCES: Final[dict[str, str]] = {"NE": "NS", "TN": "NL"}
_PROVINCE_FRAME: Final = re.compile(r"^(?:PROVINCE(?:OF|DE|DU)|THE)|CANADA$")


@functools.lru_cache(maxsize=4096)
def _province(text: str) -> str:
    key = folded(text)
    if key in _MARKED_PROVINCES and re.search("[-.‐‑É]", unicodedata.normalize("NFC", text).upper()):
        return _MARKED_PROVINCES[key]
    return _PROVINCES.get(key) or _PROVINCES.get(_PROVINCE_FRAME.sub("", key), "")


def read_province(text: str) -> tuple[str, Problem | None]:
    """Return the two-letter code for a name or abbreviation in English or French; else refuse the row.

    Case, dots, hyphens, accents and spaces are ignored.
    """
    if not single_spaced(text):
        return "", problem("province", "province_missing", text)
    code = _province(text)
    return code, None if code else problem("province", "province_unknown", text)


# --- names ----------------------------------------------------------------------------------------------

_COMPANY = frozenset(
    "INC INCORPORATED INCORPOREE LTD LTEE LIMITED LIMITEE LLC LLP LP CORP CORPORATION CO COMPANY COMPAGNIE "
    "CIE ENR SENC SENCRL SARL HOLDINGS HOLDING GESTION PROPERTIES PROPERTY REALTY IMMEUBLES IMMOBILIER "
    "PLACEMENTS INVESTMENTS INVESTISSEMENTS ENTERPRISES ENTREPRISES ENTERPRISE GROUP GROUPE TRUST FIDUCIE "
    "ESTATE SUCCESSION BANK BANQUE CANADA".split()
)
_SUFFIXES = frozenset("JR SR II III IV MD PHD ESQ DDS QC KC CPA".split())
_WRITTEN = {
    "JR": "Jr", "SR": "Sr", "II": "II", "III": "III", "IV": "IV", "MR": "Mr", "MRS": "Mrs", "MS": "Ms",
    "DR": "Dr", "ST": "St", "STE": "Ste", "MME": "Mme", "MLLE": "Mlle", "AND": "and", "ET": "et", "NG": "Ng",
}  # fmt: skip
# Short words that are certainly names; other words of two letters may be initials ("JP").
_SHORT_NAMES = frozenset(
    "AL BO CY ED JO TY LI WU XU YU HO LE LO MA HU HE DO VU VO AU OH KO SU TU LU YE XI TA LY VY NA".split()
)
# De la Cruz or De La Cruz, van Dyk or Van Dyk: only the person knows.
_PARTICLES = frozenset(
    "DE DES DU LA LE LES VAN VON DER DEN TEN TER DI DA DOS DAS DO DEL DELLA DELLE EL AL BIN IBN".split()
)
# MacDonald or Macdonald, O'Connor or Oconnor, LeBlanc or Leblanc: the same.
_UNSURE_WORD = re.compile(
    r"MAC(?!K$|KS$|HADO$|IAS$|IEL$|EY$|Y$|E$|H$).{3,}|FITZ.+"
    r"|O(?:CONNOR|CONNELL|CONNER|BRIEN|NEILL|NEIL|NEAL|DONNELL|REILLY|HARA|KEEFE|LEARY|TOOLE|SULLIVAN|MALLEY|ROURKE"
    r"|DONOGHUE|DOHERTY|DWYER|FLAHERTY|GRADY|HALLORAN|HARE|KANE|MEARA|RIORDAN|SHEA)"
    r"|DEANGELO|DEANGELIS|DELUCA|DEMARCO|DESOUZA|DEJESUS|DEROSA|DEVRIES|DIPIETRO|DIMARCO|DIMAIO|DAMBROSIO|DAMOURS"
    r"|VANDYK|VANDYKE|VANBUREN|VANDENBERG|VANDERBERG|VANHORN|VONBERG|LEBLANC|LEROY|LABELLA|LARUE|LASALLE|DUBOSE"
)
_VOWEL = re.compile("[AEIOUY]")
_NAME_SIGNS = re.compile(r"[^\W\d_]+(?:[-'’.][^\W\d_]+)*\.?|&")


def _plain(word: str) -> str:
    return "".join(
        sign for sign in unicodedata.normalize("NFKD", word) if not unicodedata.combining(sign)
    ).upper()


def _differ_in_case_alone(one: str, other: str) -> bool:
    # The Turkish letters i and the German ß do not survive a round trip through upper case.
    return len(one) == len(other) and one.casefold() == other.casefold()


def _capital(word: str) -> str:
    return word[:1] + word[1:].lower()


def _piece_case(piece: str) -> str | None:
    """Return a run of letters in name case, or None if the case is not certain."""
    plain = _plain(piece)
    if piece in _WRITTEN:
        return _WRITTEN[piece]
    if len(plain) == 1:
        return piece
    if not _VOWEL.search(plain) and not plain.startswith("MC"):
        return None
    if len(plain) == 2 and plain not in _SHORT_NAMES and plain == piece:
        return None
    if _UNSURE_WORD.fullmatch(plain):
        return None
    if re.fullmatch(r"MC[A-Z]{2,}", plain):
        return f"Mc{_capital(piece[2:])}"
    return _capital(piece)


def _word_case(word: str) -> str | None:
    if word == "&":
        return word
    cased: list[str] = []
    for part in re.split(r"([-.])", word):
        if part in {"-", ".", ""}:
            cased.append(part)
            continue
        halves = re.split("(['’])", part)
        if len(halves) > 3 or (len(halves) == 3 and _plain(halves[0]) not in {"O", "L"}):
            return None  # D'Angelo or d'Angelo, N'Diaye or N'diaye
        if "-" in word and _plain(part) in _PARTICLES:
            return None
        pieces = [half if half in {"'", "’"} else _piece_case(half) for half in halves]
        if None in pieces:
            return None
        cased += [piece for piece in pieces if piece is not None]
    return "".join(cased)


def name_case(name: str) -> str:
    """Return a name written in capitals in name case, or unchanged if the right case is not certain.

    Unchanged: companies, initials of two letters, particles (de la, van der), Mac… and Fitz…, and anything
    that is not entirely in capitals.
    """
    words = name.split(" ")
    if not name.isupper() or not all(_NAME_SIGNS.fullmatch(word) for word in words):
        return name
    bare = [_plain(word).rstrip(".") for word in words]
    if any(word.replace(".", "") in _COMPANY for word in bare) or any(
        word in _PARTICLES for word in bare[:-1]
    ):
        return name
    if all(len(word) == 1 for word in bare):
        return name
    cased = " ".join(_word_case(word) or "?" for word in words)
    return cased if _differ_in_case_alone(cased, name) else name


def read_name(text: str) -> tuple[str, Problem | None]:
    """Return the name single-spaced, "Last, First" as "First Last", capitals in name case if certain."""
    name = single_spaced(text)
    if len(name) > NAME_LENGTH:
        return too_long(name, "name", NAME_LENGTH)
    parts = [part.strip() for part in name.split(",")]
    words = {folded(word) for word in re.split(r"[ ,]", name)}
    if len(parts) != 2 or not all(parts) or words & _COMPANY or words & _SUFFIXES:
        return name_case(name), None
    return " ".join(name_case(part) for part in reversed(parts)), None


# --- city and market ------------------------------------------------------------------------------------

_CITY_PARTICLES = frozenset(
    "DE DU DES LA LE LES SUR SOUS AUX AU EN ET À A LÈS L D OF THE AND ON UPON BY".split()
)
_CITY_NAMES = {"BAIE-D'URFÉ": "Baie-D'Urfé", "LASALLE": "LaSalle"}


def city_case(city: str) -> str:
    """Return a city written in one case with the usual capitals, or unchanged if that is not certain."""
    if len(city) <= 3 or not (city.isupper() or city.islower()):
        return city
    plain_city = city.replace("’", "'")
    upper = plain_city.upper()
    if upper in _CITY_NAMES:
        return _CITY_NAMES[upper]
    cased: list[str] = []
    for part in re.split(r"([ \-'./&]+)", upper):
        plain = _plain(part)
        after = cased[-1] if cased else ""
        if not any(sign.isalpha() for sign in plain):
            cased.append(part)
        elif after == "'" and plain == "S":
            cased.append("s")
        elif after == " " and part in {"LA", "LE", "LES"}:
            return city  # Lac La Biche, but Portage la Prairie
        elif cased and part in _CITY_PARTICLES:
            cased.append(part.lower())
        elif len(plain) == 1:
            cased.append(part)
        elif part in _WRITTEN:
            cased.append(_WRITTEN[part])
        elif re.fullmatch(r"MC[A-Z]{2,}", plain):
            cased.append(f"Mc{_capital(part[2:])}")
        elif plain != "MT" and not _VOWEL.search(plain):
            return city
        else:
            cased.append(_capital(part))
    text = "".join(cased)
    return text if _differ_in_case_alone(text, plain_city) else city


@functools.lru_cache(maxsize=4096)
def _market(city: str) -> str:
    try:
        return read_label(city)
    except ValidationError:
        return ""


def read_city(text: str) -> tuple[str, str, Problem | None]:
    """Return city, market label and problem; without a city that can be a label the market is ALL."""
    city = " ".join(unicodedata.normalize("NFKC", text).split())
    if not city:
        return "", ALL, None
    if len(city) > CITY_LENGTH:
        return "", ALL, problem("city", "too_long", city, CITY_LENGTH)
    market = _market(city)
    if not market:
        return city, ALL, problem("city", "city_no_market", city)
    return city_case(city), market, None


_POSTAL_CODE = re.compile(
    r"([ABCEGHJ-NPRSTVXY][0-9][ABCEGHJ-NPRSTV-Z])(?:[ -]?([0-9][ABCEGHJ-NPRSTV-Z][0-9]))?"
)


def read_postal_code(text: str) -> tuple[str, Problem | None]:
    """Return ``A1A 1A1`` (or only the first three characters, Canada Post's forward sortation area)."""
    code = single_spaced(text)
    if not code:
        return "", None
    found = _POSTAL_CODE.fullmatch(code.upper()) if code.isascii() else None
    if not found:
        return "", problem("postal_code", "postal_code_unreadable", text)
    return " ".join(part for part in found.groups() if part), None


# --- phone and e-mail -----------------------------------------------------------------------------------

_PHONE = re.compile(
    r"(?:(?:telephone|téléphone|phone|tel|tél|ph)[ .:]*)?"
    r"(?P<number>\+?\(?[0-9][0-9 ().\-‐‑–/]*)"
    r"(?:[,;]?\s?(?:extension|ext|poste|x|#)[ .:]*(?P<extension>[0-9]{1,7}))?",
    re.IGNORECASE,
)


def read_phone(text: str) -> tuple[str, str, Problem | None]:
    """Return the number in E.164, its extension, and a problem.

    A number without a country code is a North American one. It must exist in the numbering plan; a cell that
    holds anything else besides one number is not split.
    """
    written = " ".join(unicodedata.normalize("NFKC", text).split())
    if not written:
        return "", "", None
    refusal = problem("phone", "phone_unreadable", text)
    found = _PHONE.fullmatch(written) if len(written) <= 60 else None
    if not found:
        return "", "", refusal
    number = _plain_number(found["number"])
    if number is None:
        try:
            number = phonenumbers.parse(found["number"], "CA")
        except phonenumbers.NumberParseException:
            return "", "", refusal
    if not _is_valid(number):
        return "", "", refusal
    phone = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    abroad = None if number.country_code == 1 else problem("phone", "phone_abroad", text)
    return phone, found["extension"] or "", abroad


_NOT_A_DIGIT = re.compile("[^0-9]")
_PLAIN_NUMBER = re.compile("1?([2-9][0-9]{9})")


def _plain_number(text: str) -> phonenumbers.PhoneNumber | None:
    """Return what `phonenumbers.parse` does for a plain North American number, else None; much faster."""
    digits = _NOT_A_DIGIT.sub("", text)
    found = _PLAIN_NUMBER.fullmatch(digits)
    if found is None or (text[0] == "+" and digits[0] != "1"):
        return None
    return phonenumbers.PhoneNumber(country_code=1, national_number=int(found[1]))


def _is_valid(number: phonenumbers.PhoneNumber) -> bool:
    # most are Canadian: looking for the country of a number takes longer than asking for one
    return phonenumbers.is_valid_number_for_region(number, "CA") or phonenumbers.is_valid_number(number)


class _InternationalEmail(EmailValidator):
    """Django's validator with letters of any script before the @ (RFC 6531), as in ``andré@example.com``."""

    user_regex = re.compile(r"[-!#$%&'*+/=?^`{}|~\w]+(?:\.[-!#$%&'*+/=?^`{}|~\w]+)*\Z")


_check_email = _InternationalEmail(allowlist=[])


def read_email(text: str) -> tuple[str, Problem | None]:
    """Return the address with its domain in lower case; the part before the @ keeps its case."""
    address = unicodedata.normalize("NFC", text).strip()
    if not address:
        return "", None
    if len(address) > EMAIL_LENGTH:
        return too_long(address, "email", EMAIL_LENGTH)
    user, _at, domain = address.rpartition("@")
    address = f"{user}@{domain.lower()}"
    try:
        _check_email(address)
    except ValidationError:
        return "", problem("email", "email_unreadable", text)
    if not re.fullmatch(r"[\w.\-]+", domain):
        return "", problem("email", "email_unreadable", text)
    return address, None


# --- score, language, source, date ----------------------------------------------------------------------

_SCORE = re.compile(r"([+-]?)([0-9]*)(?:[.,]([0-9]+))? ?(%?)")


def read_score(text: str) -> tuple[Decimal | None, Problem | None]:
    """Return the score as a fraction 0 to 1: ``2%`` is 0.02, ``0,10`` is 0.10, ``61`` is out of range."""
    written = " ".join(unicodedata.normalize("NFKC", text).split()).replace("−", "-")
    if not written:
        return None, None
    found = _SCORE.fullmatch(written) if len(written) <= 40 else None
    if not found or not (found[2] or found[3]):
        return None, problem("score", "score_unreadable", text)
    number = Decimal(f"{found[1]}{found[2] or 0}.{found[3] or 0}")
    if found[4]:
        number = number.scaleb(-2)
    if not 0 <= number <= 1:
        return None, problem("score", "score_out_of_range", text)
    score = round(abs(number), SCORE_PLACES)
    return score, problem("score", "score_rounded", text) if score != number else None


_LANGUAGES: Final[dict[str, str]] = {
    **dict.fromkeys("EN ENG ENGLISH ENCA ENUS ENGB ANGLAIS ANG ANGLOPHONE".split(), "en"),
    **dict.fromkeys("FR FRA FRE FRENCH FRCA FRFR FRANCAIS FRANCAISE FRANCOPHONE".split(), "fr"),
}


def read_language(text: str) -> tuple[str, Problem | None]:
    """Return ``en`` or ``fr``."""
    if not single_spaced(text):
        return "", None
    code = _LANGUAGES.get(folded(text), "")
    return code, None if code else problem("language", "language_unknown", text)


def read_source(text: str) -> tuple[str, Problem | None]:
    """Return the source as a label: NFKC, trimmed, single-spaced, lower-case (``Web Form``: ``web form``)."""
    label = " ".join(unicodedata.normalize("NFKC", text).split()).lower()
    return too_long(label, "source", SOURCE_LENGTH)


_YEAR_FIRST = re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})")
_YEAR_LAST = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})")
_WITH_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.,+\-Zz]+")


def _calendar_day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def read_date(text: str, *, today: date) -> tuple[str, Problem | None]:
    """Return the date as ISO text, or unchanged (trimmed) with a problem.

    With the year last, the order of day and month is clear only if one of them is above 12 or both are the
    same. An ISO date with a time stays as it is.
    """
    written = single_spaced(text)
    if len(written) > EXTRA_LENGTH:
        return too_long(written, "date_added", EXTRA_LENGTH)
    if not written:
        return "", None
    iso = ""
    if found := _YEAR_FIRST.fullmatch(written):
        day = _calendar_day(int(found[1]), int(found[3]), int(found[4]))
    elif found := _YEAR_LAST.fullmatch(written):
        one, two, year = int(found[1]), int(found[3]), int(found[4])
        if one <= 12 and two <= 12 and one != two and one and two:
            return written, problem("date_added", "date_unclear", text)
        day = _calendar_day(year, *((two, one) if one > 12 else (one, two)))
    elif _WITH_TIME.fullmatch(written):
        try:
            day = datetime.fromisoformat(written.upper()).date()
        except ValueError:
            day = None
        iso = written
    else:
        return written, problem("date_added", "date_unreadable", text)
    if day is None:
        return written, problem("date_added", "date_impossible", text)
    # ISO even for a future date: else the same file would read differently once the day has come
    return iso or day.isoformat(), problem("date_added", "date_future", text) if day > today else None


# --- notes and total lines ------------------------------------------------------------------------------


def read_notes(text: str, *, extension: str = "") -> tuple[str, Problem | None]:
    """Return the trimmed notes, with the phone's extension on a last line of its own."""
    notes, found = too_long(text.strip(), "notes", NOTES_LENGTH)
    return "\n".join(part for part in (notes, f"ext. {extension}" if extension else "") if part), found


_TOTAL = re.compile(
    "(?:(?:GRAND|SUB|SOUS|NOMBRE)?TOTAL(?:S|GENERAL|PISTES|DESPISTES|LEADS)?|TOTAUX|SUM|SOMME)[0-9]*"
)
_FIGURE = re.compile(r"[-+]?[0-9][0-9 .,'’]*[%$]?|[-+]?[.,][0-9]+%?|\$ ?[0-9][0-9 .,]*")


def is_total(cells: list[str]) -> bool:
    """Return whether a line is a total: its first word says so, and every other cell is empty or a number."""
    filled = [" ".join(unicodedata.normalize("NFKC", cell).split()) for cell in cells if cell.strip()]
    return (
        bool(filled)
        and bool(_TOTAL.fullmatch(folded(filled[0])))
        and all(_FIGURE.fullmatch(cell) for cell in filled[1:])
    )
