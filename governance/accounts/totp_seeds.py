"""The seeds of authenticator apps, encrypted with a key that is separate from the database.

An encrypted seed is the number of its key and, in base64, nonce, ciphertext and tag of AES-256-GCM (NIST SP
800-38D): `k01:` and 64 characters for 20 bytes. It can only be decrypted for the person it was encrypted for.
"""

from __future__ import annotations

import binascii
import logging
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.core.errors import Unavailable
from governance.core.key_file import number_of
from governance.core.key_ring import KeyRing

log = logging.getLogger(__name__)

RING = KeyRing(
    "SECOND_FACTOR_KEY",
    no_key=gettext_lazy(
        "The second factor key is missing: set SECOND_FACTOR_KEY, or restore second_factor_key in "
        "VALHALLA_VAR; until then codes of authenticator applications are refused, and backup codes work."
    ),
    not_recorded=gettext_lazy(
        "This database has not recorded its second factor key yet: run manage.py migrate."
    ),
    new_key=gettext_lazy(
        "SECOND_FACTOR_KEY is a key that this database does not know yet: run manage.py "
        "rotate_second_factor_key to add it."
    ),
    kept_missing=gettext_lazy(
        "Second factor key %(number)s is missing, and second factors were encrypted with it: add it to "
        "SECOND_FACTOR_KEYS_KEPT, or to the file second_factor_key in VALHALLA_VAR."
    ),
    other_key=gettext_lazy(
        "SECOND_FACTOR_KEY is not the key that this database’s second factors were encrypted with: set it to "
        "that key; until then codes of authenticator applications are refused, and backup codes work."
    ),
)
SEED_BYTES = 20  # as RFC 4226 recommends
MOST_BYTES = 29  # of a seed whose encrypted form fits the 80 characters of its column
NONCE_BYTES = 12
MARK = "k"  # an encrypted seed begins with it, and a plain one, in hexadecimal digits, cannot


@dataclass(frozen=True, slots=True)
class _Key:
    cipher: AESGCM
    fingerprint: str


@lru_cache(maxsize=8)
def _read(text: str) -> _Key:
    return _Key(AESGCM(_derive(text, b"seeds")), _derive(text, b"fingerprint").hex())


def _derive(text: str, purpose: bytes) -> bytes:
    """Return 32 bytes of a key for one purpose (HKDF-SHA-256, RFC 5869)."""
    return HKDF(SHA256(), 32, salt=None, info=b"valhalla second factor " + purpose).derive(text.encode())


def fingerprints() -> Mapping[int, str]:
    """Return, by number, a fingerprint of each key that does not reveal it."""
    return {number_of(key): _read(key).fingerprint for key in RING.keys}


def current_key() -> int:
    """Return the number of the key that seeds are encrypted with. Raises Unavailable without one."""
    return number_of(_current())


def _current() -> str:
    if not RING.keys:
        raise Unavailable("second_factor_key", RING.no_key)
    return RING.keys[0]


def mark_of(number: int) -> str:
    """Return the prefix of the seeds encrypted with a key."""
    return f"{MARK}{number:02}:"


def is_sealed(text: str) -> bool:
    return text.startswith(MARK)


def _owner(user_id: int) -> bytes:
    return f"valhalla second factor of {user_id}".encode()


def new_seed(user_id: int) -> str:
    """Return a new encrypted seed. Raises Unavailable without a key."""
    return seal(secrets.token_bytes(SEED_BYTES), user_id)


def seal(seed: bytes, user_id: int) -> str:
    """Return a seed of at most 29 bytes as it is stored for a person. Raises Unavailable without a key."""
    key, nonce = _current(), secrets.token_bytes(NONCE_BYTES)
    sealed = nonce + _read(key).cipher.encrypt(nonce, seed, _owner(user_id))
    return mark_of(number_of(key)) + b64encode(sealed).decode()


def open_or_none(text: str, user_id: int) -> bytes | None:
    """Return a person's seed; None if it is not theirs, was changed, or its key is missing."""
    if not is_sealed(text):
        try:
            return binascii.unhexlify(text) if len(text) <= 2 * MOST_BYTES else None
        except ValueError:
            return None
    keys = {mark_of(number_of(key)): key for key in RING.keys}
    key = keys.get(text[: len(mark_of(1))])
    if key is None:
        return None
    try:
        sealed = b64decode(text[len(mark_of(1)) :], validate=True)
        return _read(key).cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _owner(user_id))
    except (InvalidTag, ValueError):
        return None


def unreadable() -> Unavailable:
    """Return the refusal for a seed that cannot be decrypted although the key is right."""
    return Unavailable(
        "second_factor_seed",
        _(
            "Your second factor cannot be read: sign in with a backup code, or ask a manager to reset your "
            "second factor."
        ),
    )
