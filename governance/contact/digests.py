"""Phone numbers and e-mail addresses in normal form, and the keyed hashes under which they are stored."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core.channels import EMAIL as EMAIL
from governance.core.channels import PHONE as PHONE
from governance.core.errors import Unavailable
from governance.core.key_file import FIRST_KEY, number_of
from governance.core.key_ring import KeyRing

RING = KeyRing(
    "CONTACT_HASH_KEY",
    no_key=gettext_lazy(
        "The contact key is missing: set CONTACT_HASH_KEY, or restore contact_hash_key in VALHALLA_VAR; "
        "without it people who opted out would be contacted."
    ),
    not_recorded=gettext_lazy("This database has not recorded its contact key yet: run manage.py migrate."),
    new_key=gettext_lazy(
        "CONTACT_HASH_KEY is a key that this database does not know yet: run manage.py rotate_contact_key to "
        "add it."
    ),
    kept_missing=gettext_lazy(
        "Contact key %(number)s is missing, and opt-outs were written with it: add it to "
        "CONTACT_HASH_KEYS_KEPT, or to the file contact_hash_key in VALHALLA_VAR."
    ),
    other_key=gettext_lazy(
        "CONTACT_HASH_KEY is not the key that this database's opt-outs were written with: set it to that "
        "key, else people who opted out would be contacted."
    ),
)
JUST_CHANGED = gettext_lazy("The contact key was changed a moment ago; try again.")
DIGEST_LENGTH = 64
PRESS_LENGTH = 32  # of the token that ties a suppression to the key press that recorded it
LEAD = "LEAD"  # a lead that is suppressed as such, in addition to its numbers and addresses
_FINGERPRINT = ("KEY", "fingerprint")


_PLAIN_NUMBER = re.compile(r"\+1[2-9][0-9]{9}")


def read_phone(text: str) -> str:
    """Return a phone number in E.164, read as a Canadian would write it. Raises ValidationError."""
    if _PLAIN_NUMBER.fullmatch(text):  # as it is stored
        return text
    try:
        number = phonenumbers.parse(text, "CA")
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_possible_number(number):
        raise ValidationError(
            _("“%(text)s” is not a phone number.") % {"text": text[:30]}, code="invalid_phone"
        )
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def area_code(phone: str) -> str:
    """Return the area code of a number in E.164 of the North American plan, else blank."""
    plain = len(phone) == 12 and phone.startswith("+1") and phone[2:].isdigit() and phone.isascii()
    return phone[2:5] if plain else ""


def read_email(text: str) -> str:
    """Return an e-mail address in normal form: trimmed and lower-case. Raises ValidationError."""
    address = text.strip().lower()
    local_part, at_sign, domain = address.rpartition("@")
    plain = "".join("a" if sign.isalnum() else sign for sign in local_part)  # accents occur before the @
    try:
        EmailValidator()(f"{plain}{at_sign}{domain}")
    except ValidationError:
        raise ValidationError(
            _("“%(text)s” is not an e-mail address.") % {"text": text[:60]}, code="invalid_email"
        ) from None
    if len(address) > 254:
        raise ValidationError(_("An e-mail address has at most 254 characters."), code="invalid_email")
    return address


@dataclass(frozen=True, slots=True)
class Key:
    """A contact key: `k02:…` is number 2; one without a number, from before keys had one, is number 1."""

    number: int
    secret: bytes

    def digest(self, kind: str, value: str) -> str:
        """Return the keyed hash of a point. From number 2 on it begins with its key's number."""
        found = hmac.digest(self.secret, f"{kind}:{value}".encode(), "sha256").hex()
        if self.number == FIRST_KEY:
            return found
        return f"k{self.number:02}{found[: DIGEST_LENGTH - 3]}"


@dataclass(frozen=True, slots=True)
class _Keys:
    current: Key
    kept: tuple[Key, ...]  # the others
    fingerprints: dict[int, str]  # by number


@lru_cache(maxsize=8)
def _read_all(current: str, kept: tuple[str, ...]) -> _Keys:
    first, *others = (Key(number_of(text), text.encode()) for text in (current, *kept))
    return _Keys(first, tuple(others), {key.number: key.digest(*_FINGERPRINT) for key in (first, *others)})


def _keys() -> _Keys:
    if not settings.CONTACT_HASH_KEY:
        raise Unavailable("contact_key", RING.no_key)
    return _read_all(settings.CONTACT_HASH_KEY, tuple(settings.CONTACT_HASH_KEYS_KEPT))


def digest(kind: str, value: str) -> str:
    """Return the keyed hash (HMAC-SHA-256) of a point that was read by `read_phone` or `read_email`.

    Computed with the current key. Raises Unavailable `contact_key` while there is no key.
    """
    return _keys().current.digest(kind, value)


def every_digest(kind: str, value: str) -> tuple[str, ...]:
    """Return the point's hash under the current key, then under each kept one, for look-ups."""
    keys = _keys()
    return tuple(key.digest(kind, value) for key in (keys.current, *keys.kept))


def other_digests(kind: str, value: str, known: str) -> tuple[str, ...]:
    """Return the point's hashes under all keys but the one that made `known`; none while there is one key."""
    if not settings.CONTACT_HASH_KEYS_KEPT:
        return ()
    return tuple(found for found in every_digest(kind, value) if found != known)


def several_keys() -> bool:
    return bool(settings.CONTACT_HASH_KEYS_KEPT)


def key_number(found: str) -> int:
    """Return the number of the key that a digest was made with."""
    return int(found[1:3]) if found.startswith("k") else FIRST_KEY


def current_key() -> int:
    return _keys().current.number


def fingerprints() -> Mapping[int, str]:
    """Return, by number, a fingerprint of each key that does not reveal it. Raises Unavailable."""
    return _keys().fingerprints


def key_fingerprint() -> str:
    """Return the current key's fingerprint."""
    keys = _keys()
    return keys.fingerprints[keys.current.number]


def key_problem(remembered: Mapping[int, str]) -> str:
    """Return a sentence if these keys are not those that the database remembers; blank if all is well."""
    return RING.problem(fingerprints, remembered)
