"""The WebAuthn ceremonies: the browser's options for a passkey, and the check of its answer.

django-otp-webauthn does the cryptography; its own views are not served. A challenge is in the session, is for
one person and one kind of ceremony, and is valid once and for a few minutes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from ipaddress import ip_address

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.sessions.models import Session
from django.db import DatabaseError, DataError, IntegrityError, transaction
from django.http import HttpRequest
from django.http.request import split_domain_port
from django.utils.translation import gettext as _
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp_webauthn.exceptions import CredentialNotFound, CredentialUserMismatch
from django_otp_webauthn.helpers import WebAuthnHelper
from django_otp_webauthn.models import WebAuthnCredential
from webauthn.helpers import (
    base64url_to_bytes,
    parse_authentication_credential_json,
    parse_authenticator_data,
    parse_cbor,
)
from webauthn.helpers.structs import AuthenticatorSelectionCriteria, UserVerificationRequirement

from governance.accounts.devices import read_device
from governance.accounts.models import User
from governance.accounts.plain_cbor import cbor_of, require_plain
from governance.accounts.wording import device_in_words
from governance.core.errors import Refused
from governance.core.strict_json import UnreadableJSON, read_json

log = logging.getLogger(__name__)

CHALLENGE = "passkey_challenge"  # in the session
LASTS = settings.OTP_WEBAUTHN_TIMEOUT_SECONDS + 30  # seconds for the person and the network
LONGEST = 16 * 1024  # characters of an answer; those of browsers are fewer than 4,000
LONGEST_ID = 1023  # bytes, https://www.w3.org/TR/webauthn-3/#credential-id
HIGHEST_COUNT = 2**31 - 1  # the column's length
ADD, USE = "add", "use"  # the kinds of ceremony


def relying_party(request: HttpRequest) -> str:
    """Return the relying party of the passkeys: the requested host without its port."""
    return split_domain_port(request.get_host())[0]


def are_possible(request: HttpRequest) -> bool:
    """Return whether browsers allow passkeys at this address: a host name by https, or localhost."""
    host = relying_party(request)
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return request.is_secure() or host == "localhost" or host.endswith(".localhost")
    return False


class Ceremony(WebAuthnHelper):
    """The package's ceremonies with our settings: for the request's host, with fingerprint, face or PIN."""

    name = ""

    def get_allowed_origins(self) -> list[str]:
        return [f"{self.request.scheme}://{self.request.get_host()}"]

    def get_generate_registration_options_kwargs(self, *, user: AbstractBaseUser) -> dict[str, object]:
        asked: dict[str, object] = super().get_generate_registration_options_kwargs(user=user)
        asked["authenticator_selection"] = AuthenticatorSelectionCriteria(
            resident_key=self.get_discoverable_credentials_preference(),
            # a key that somebody left in the browser must not prove who is there
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return asked

    def create_credential(self, *given: object) -> WebAuthnCredential:
        made = super().create_credential(*given)
        made.name = self.name
        if len(made.credential_id) > LONGEST_ID or made.sign_count > HIGHEST_COUNT:
            raise ValueError("an id or a count that is too large")
        return made

    def create_attestation(self, *given: object) -> None:
        """Store no attestation: none is requested."""


def begin_adding(request: HttpRequest, user: User) -> dict[str, object]:
    """Return the options for creating a passkey, as JSON, and start a challenge."""
    options, state = Ceremony(request).register_begin(user)
    return _begun(request, user, ADD, options, state)


def begin_using(request: HttpRequest, user: User) -> dict[str, object]:
    """Return the options for signing and the passkeys for it, as JSON, and start a challenge."""
    options, state = Ceremony(request).authenticate_begin(user, require_user_verification=True)
    return _begun(request, user, USE, options, state)


def adding(request: HttpRequest, user: User, answer: str) -> Callable[[User, str], WebAuthnCredential]:
    """Return a function that stores the browser's new passkey, for `add_passkey`; uses up the challenge now.

    Raises WrongPasskey, and the returned function raises Refused.
    """
    state = _taken(request, user, ADD)

    def register(owner: User, name: str) -> WebAuthnCredential:
        ceremony = Ceremony(request)
        ceremony.name = name
        try:
            with transaction.atomic():
                return ceremony.register_complete(owner, state, _read(answer))
        except IntegrityError as known:
            raise Refused("known_passkey", _("This passkey was added before.")) from known
        except Exception as problem:
            _raise_unless_of_the_answer(problem)
            log.warning("%s could not add a passkey: %s", owner.username, type(problem).__name__)
            sentence = _("This device’s answer cannot be used. Start again, or use another device.")
            raise Refused("wrong_passkey", sentence) from problem

    return register


class WrongPasskey(Refused):
    """The answer matches none of the person's passkeys; `reason` is a code for the security log."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__("wrong_passkey", sentence)
        self.reason = reason


def check_passkey(request: HttpRequest, user: User, answer: str) -> WebAuthnCredential:
    """Return the passkey with which the person answered. Raises WrongPasskey.

    A wrong one delays the next attempt, twice as long each time, as a wrong backup code does; both share the
    delay.
    """
    state = _taken(request, user, USE)
    with transaction.atomic():
        # removing the passkey or resetting all waits for this, or this for it
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        gate = _gate(user)
        if not gate.verify_is_allowed()[0]:
            wrong = WrongPasskey("waits", _("Several attempts failed. Wait a few minutes, then try again."))
        else:
            try:
                with transaction.atomic():
                    passkey = Ceremony(request).authenticate_complete(user, state, _read(answer))
                    if not passkey.confirmed:
                        raise CredentialNotFound
            except Exception as problem:
                _raise_unless_of_the_answer(problem)
                wrong = _wrong(user, answer, problem)
                gate.throttle_increment()
            else:
                if gate.throttling_failure_count:
                    gate.throttle_reset()
                return passkey
    raise wrong


def default_name(request: HttpRequest) -> str:
    """Return a default name for a passkey: the browser and system that it is added with."""
    return device_in_words(*read_device(request.headers.get("User-Agent", "")))


def _begun(
    request: HttpRequest, user: User, kind: str, options: dict[str, object], state: dict[str, object]
) -> dict[str, object]:
    request.session[CHALLENGE] = {"kind": kind, "user": user.pk, "at": time.time(), "state": state}
    return options


def _taken(request: HttpRequest, user: User, kind: str) -> dict[str, object]:
    """Remove the challenge from the session, whatever the result. Raises WrongPasskey."""
    session = request.session
    begun = session.pop(CHALLENGE, None)
    with transaction.atomic():
        # two requests with one answer: the second waits here, and finds the challenge gone
        row = Session.objects.select_for_update().filter(session_key=session.session_key).first()
        if row is None or row.get_decoded().get(CHALLENGE) != begun:
            begun = None
        else:
            session.save()
    if begun is None or (begun["kind"], begun["user"]) != (kind, user.pk):
        raise WrongPasskey("no_challenge", _("This request was already used, or has expired. Start again."))
    if not 0 <= time.time() - begun["at"] < LASTS:
        raise WrongPasskey("too_late", _("That took too long. Start again."))
    state: dict[str, object] = begun["state"]
    return state


def _gate(user: User) -> StaticDevice:
    """Return the locked row that counts a person's wrong passkeys; backup codes share it."""
    found = StaticDevice.objects.select_for_update().filter(user=user).order_by("pk").first()
    return found or StaticDevice.objects.create(user=user, name="backup codes")


def _read(answer: str) -> dict[str, object]:
    if len(answer) > LONGEST:
        raise UnreadableJSON("too long")
    data = read_json(answer)
    if not isinstance(data, dict):
        raise UnreadableJSON("no object")
    results = data.get("clientExtensionResults")
    if not (isinstance(results, dict) and isinstance(results.get("credProps", {}), dict)):
        data.pop("clientExtensionResults", None)
    _require_plain_cbor(data.get("response"))
    return data


def _require_plain_cbor(response: object) -> None:
    """Refuse an answer whose CBOR is not plain, before decoding it: the signature does not protect it."""
    if not isinstance(response, dict):
        raise UnreadableJSON("no response")
    stated, signed = response.get("attestationObject"), response.get("authenticatorData")
    if stated is not None:
        made = base64url_to_bytes(stated)
        require_plain(made)
        data = parse_cbor(made)["authData"]
        if not isinstance(data, bytes):
            raise UnreadableJSON("no authenticator data")
        require_plain(cbor_of(data))
    if signed is not None:
        require_plain(cbor_of(base64url_to_bytes(signed)))


def _raise_unless_of_the_answer(problem: Exception) -> None:
    """Re-raise errors that the browser did not cause; parsers of foreign bytes raise almost anything."""
    if isinstance(problem, DatabaseError) and not isinstance(problem, DataError):
        raise problem


def _wrong(user: User, answer: str, problem: Exception) -> WrongPasskey:
    if isinstance(problem, (CredentialNotFound, CredentialUserMismatch)):
        sentence = _("This passkey is not one of yours. Use another one, or a code.")
        return WrongPasskey("unknown", sentence)
    if _counted_back(user, answer):
        sentence = _(
            "This passkey’s use counter went backwards, so it may have been copied. Use another passkey or a "
            "code, remove this one and tell a manager."
        )
        return WrongPasskey("counted_back", sentence)
    return WrongPasskey("wrong", _("This passkey was not accepted. Try again, or use a code."))


def _counted_back(user: User, answer: str) -> bool:
    """Return whether a refused answer has no higher counter than the last one of its passkey."""
    try:
        read = parse_authentication_credential_json(_read(answer))
        count = parse_authenticator_data(read.response.authenticator_data).sign_count
    except Exception:  # as above
        return False
    digest = WebAuthnCredential.get_credential_id_sha256(read.raw_id)
    known = WebAuthnCredential.objects.filter(user=user, credential_id_sha256=digest, sign_count__gte=count)
    return bool(known.filter(sign_count__gt=0).exists())
