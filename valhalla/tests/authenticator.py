"""A software authenticator: it makes passkeys and signs with them as a browser and its device do."""

from __future__ import annotations

import hashlib
import json
import secrets
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, VERIFIED, ATTESTED, EXTENDED = (
    0x01,
    0x04,
    0x40,
    0x80,
)  # https://www.w3.org/TR/webauthn-3/#authdata-flags


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Authenticator:
    """One passkey. `flags` and `origin` are what an honest browser sends; `count` grows with each use.

    `extensions` is CBOR that the device adds of its own accord.
    """

    extensions = b""

    def __init__(self, origin: str = "http://localhost") -> None:
        self.origin, self.flags, self.count = origin, PRESENT | VERIFIED, 1
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_bytes(32)
        self.party = "localhost"

    def make(self, options: dict[str, Any]) -> str:
        """Answer navigator.credentials.create(), as JSON."""
        assert options["authenticatorSelection"]["userVerification"] == "required"
        self.party = options["rp"]["id"]
        numbers = self.key.public_key().public_numbers()
        public = cbor2.dumps(
            {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        )
        attested = secrets.token_bytes(16) + struct.pack(">H", len(self.id)) + self.id + public
        data = self._data(ATTESTED) + attested + self.extensions
        stated = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options["challenge"])
        response = {"attestationObject": encoded(stated), "transports": ["internal"]}
        return self._answer(client, response)

    def sign(self, options: dict[str, Any], **changed: object) -> str:
        """Answer navigator.credentials.get(), as JSON; `changed` replaces fields of the response."""
        assert options["userVerification"] == "required"
        self.count += 1
        data = self._data() + self.extensions
        client = self._client("webauthn.get", options["challenge"])
        signed = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        response = {"authenticatorData": encoded(data), "signature": encoded(signed), "userHandle": None}
        return self._answer(client, {**response, **changed})

    def _data(self, more: int = 0) -> bytes:
        party = hashlib.sha256(self.party.encode()).digest()
        return (
            party
            + bytes([self.flags | more | (EXTENDED if self.extensions else 0)])
            + struct.pack(">I", self.count)
        )

    def _client(self, kind: str, challenge: str) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(said).encode()

    def _answer(self, client: bytes, response: dict[str, Any]) -> str:
        return json.dumps(
            {
                "id": encoded(self.id),
                "rawId": encoded(self.id),
                "type": "public-key",
                "response": {"clientDataJSON": encoded(client), **response},
                "clientExtensionResults": {},
            }
        )
