"""Phones and e-mail addresses as they are compared, and the keyed hashes under which they are remembered."""

from __future__ import annotations

import hashlib
import hmac

import phonenumbers
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.translation import gettext as _

PHONE, EMAIL, LEAD = "PHONE", "EMAIL", "LEAD"
KIND_OF_CHANNEL = {"SMS": PHONE, "CALL": PHONE, "EMAIL": EMAIL}


def read_phone(text: str) -> str:
    """Return a phone number in E.164, read as a Canadian would write it. Raises ValidationError."""
    try:
        number = phonenumbers.parse(text, "CA")
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_possible_number(number):
        raise ValidationError(_("“%(text)s” is no phone number.") % {"text": text[:30]}, code="invalid_phone")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def read_email(text: str) -> str:
    """Return an e-mail address as it is compared: trimmed and lower-case. Raises ValidationError."""
    address = text.strip().lower()
    local_part, at_sign, domain = address.rpartition("@")
    plain = "".join("a" if sign.isalnum() else sign for sign in local_part)  # accents occur before the @
    try:
        EmailValidator()(f"{plain}{at_sign}{domain}")
    except ValidationError:
        raise ValidationError(
            _("“%(text)s” is no e-mail address.") % {"text": text[:60]}, code="invalid_email"
        ) from None
    if len(address) > 254:
        raise ValidationError(_("An e-mail address has at most 254 characters."), code="invalid_email")
    return address


def digest(kind: str, value: str) -> str:
    """Return the keyed hash (HMAC-SHA-256, hex) of a point that was read by `read_phone` or `read_email`."""
    return hmac.new(
        settings.CONTACT_HASH_KEY.encode(), f"{kind}:{value}".encode(), hashlib.sha256
    ).hexdigest()


def key_fingerprint() -> str:
    """Return what tells one key from another without revealing it."""
    return digest("KEY", "fingerprint")
