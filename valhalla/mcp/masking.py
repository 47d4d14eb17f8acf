"""How names, phone numbers and e-mail addresses are shown to a token that may not see them."""

from __future__ import annotations

from governance.contact import digests

HIDDEN = "•••"
MOST_INITIALS = 4
SHOWN_DIGITS = 2


def mask_name(name: str) -> str:
    """Return a name's initials: “M. T.” for Marie Tremblay; blank stays blank."""
    words = [word for word in name.split() if word[0].isalpha()]
    if not words:
        return HIDDEN if name.strip() else ""
    return " ".join(f"{word[0].upper()}." for word in words[:MOST_INITIALS])


def mask_phone(phone: str) -> str:
    """Return an E.164 number with its area code (in North America) and its last two digits only."""
    if not phone:
        return ""
    end = phone[-SHOWN_DIGITS:] if len(phone) > 7 else ""
    if phone.startswith("+1") and len(phone) == 12:
        return f"+1 {phone[2:5]} {HIDDEN} ••{end}"
    return f"{HIDDEN} ••{end}"


def mask_email(address: str) -> str:
    """Return an address with its first letter and top-level domain only: a domain can name a person too."""
    if not address:
        return ""
    local, _at, domain = address.rpartition("@")
    top = domain.rpartition(".")[2]
    return f"{local[:1]}{HIDDEN}@{HIDDEN}.{top}" if local and top else HIDDEN


def mask_point(kind: str, value: str) -> str:
    """Return a contact point of a kind, masked."""
    return mask_phone(value) if kind == digests.PHONE else mask_email(value)
