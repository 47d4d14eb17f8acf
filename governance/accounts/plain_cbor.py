"""CBOR as authenticators write it, and no other: decoding the rest can exhaust the memory.

With shared values, 400 bytes expand to gigabytes as soon as they are encoded again.
"""

from __future__ import annotations

_FALSE, _TRUE, _NULL = 0xF4, 0xF5, 0xF6
_STRINGS = 2, 3
_TAG, _SIMPLE = 6, 7
_IN_THE_HEAD = 24  # smaller values are in the first byte itself
_LENGTHS = {24: 1, 25: 2, 26: 4}  # bytes of the value that follows; none needs eight
_HEADER = 37  # of authenticator data: relying party, flags and count
_ATTESTED = 0x40
_DEVICE_AND_LENGTH = 18  # before the credential's id: the device's model, the id's length


def require_plain(data: bytes) -> None:
    """Refuse all but the CTAP2 canonical form: no tags, floats, indefinite or overlong lengths.

    https://fidoalliance.org/specs/fido-v2.1-ps-20210615/fido-client-to-authenticator-protocol-v2.1-ps-20210615.html
    #ctap2-canonical-cbor-encoding-form. So encoding it again gives the same length. Raises ValueError.
    """
    place = 0
    while place < len(data):
        head = data[place]
        kind, value = head >> 5, head & 0x1F
        place += 1
        if kind == _TAG or (kind == _SIMPLE and head not in (_FALSE, _TRUE, _NULL)):
            raise ValueError("CBOR of a kind that no authenticator writes")
        if kind == _SIMPLE:
            continue
        if value >= _IN_THE_HEAD:
            length = _LENGTHS.get(value, 0)
            value = int.from_bytes(data[place : place + length], "big")
            place += length
            if value < (_IN_THE_HEAD if length == 1 else 1 << 4 * length):
                raise ValueError("CBOR with a length that is left open or longer than needed")
        if kind in _STRINGS:
            place += value


def cbor_of(data: bytes) -> bytes:
    """Return the CBOR within authenticator data: the public key and the extensions, if any.

    https://www.w3.org/TR/webauthn-3/#sctn-authenticator-data
    """
    start = _HEADER
    if len(data) > start and data[start - 5] & _ATTESTED:
        at = start + _DEVICE_AND_LENGTH
        start = at + int.from_bytes(data[at - 2 : at], "big")
    return data[start:]
