"""How a token looks: `vh_`, random letters and digits, and a checksum by which secret scanners recognize it.

As GitHub's: 43 signs (256 bits) and their CRC-32 as six more, in base 62. Tokens issued before have another
form, and are valid all the same.
"""

from __future__ import annotations

import re
import secrets
from string import ascii_letters, digits
from zlib import crc32

PREFIX = "vh_"
SIGNS = digits + ascii_letters
LENGTH, CHECKSUM = 43, 6
PATTERN = re.compile(f"{PREFIX}[0-9A-Za-z]{{{LENGTH + CHECKSUM}}}")


def new_text() -> str:
    body = "".join(secrets.choice(SIGNS) for _sign in range(LENGTH))
    return f"{PREFIX}{body}{checksum(body)}"


def checksum(body: str) -> str:
    number, found = crc32(body.encode()), ""
    for _sign in range(CHECKSUM):
        number, rest = divmod(number, len(SIGNS))
        found = SIGNS[rest] + found
    return found


def is_mistyped(text: str) -> bool:
    """Return whether a text begins as our tokens do and cannot be one: cut, changed or made up."""
    if not text.startswith(PREFIX):
        return False
    body = text[len(PREFIX) : -CHECKSUM]
    return PATTERN.fullmatch(text) is None or checksum(body) != text[-CHECKSUM:]
