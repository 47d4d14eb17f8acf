"""The search terms that find a person in stored text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

SEPARATORS = r"[\s.()/‑–-]{0,3}"  # between the digits of a phone number
ERASED = "erased"


@dataclass(frozen=True)
class Words:
    """The terms that identify a person, in any form: case, spaces, formats of a phone number."""

    texts: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()  # E.164

    @classmethod
    def of(cls, texts: Iterable[str] = (), phones: Iterable[str] = ()) -> Words:
        spoken = {text.strip() for text in texts if len(text.strip()) > 1}
        # JSON's escapes of letters with accents
        spoken |= {json.dumps(text)[1:-1] for text in spoken}
        return cls(tuple(sorted(spoken)), tuple(sorted({phone for phone in phones if phone})))

    @cached_property
    def pattern(self) -> re.Pattern[str] | None:
        """Return a pattern that finds any of them; None if there is nothing to find."""
        parts = [
            r"(?<!\w)" + r"\s+".join(re.escape(piece) for piece in text.split()) + r"(?!\w)"
            for text in self.texts
        ]
        parts += [_phone_pattern(phone) for phone in self.phones]
        return re.compile("|".join(parts), re.IGNORECASE) if parts else None

    @cached_property
    def hints(self) -> tuple[str, ...]:
        """Return short texts, one of which occurs wherever `pattern` matches, for the database."""
        pieces = {max(text.split(), key=len) for text in self.texts}
        return tuple(sorted(pieces | {phone[-4:] for phone in self.phones}))

    def occur_in(self, *texts: str) -> bool:
        return self.pattern is not None and any(self.pattern.search(text) for text in texts)

    def struck_from(self, text: str) -> str:
        """Return the text with each occurrence replaced."""
        return self.pattern.sub(f"[{ERASED}]", text) if self.pattern else text


def _phone_pattern(phone: str) -> str:
    """Return a pattern for a number in E.164 with any separators, a North American one also without +1."""
    digits = phone.lstrip("+")
    country = ""
    if len(digits) == 11 and digits.startswith("1"):
        country, digits = rf"(?:\+?1{SEPARATORS})?", digits[1:]
    return r"(?<!\d)" + country + r"\+?\(?" + SEPARATORS.join(digits) + r"(?!\d)"
