"""Backup codes of a second factor: shown once, stored as hashes, each usable once."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from hmac import compare_digest

from argon2.low_level import Type, hash_secret_raw
from django.db import transaction
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken

from governance.accounts.models import BackupCode, User

HOW_MANY = 10
SALT_BYTES = 16
TIME_COST, MEMORY_COST = 2, 19 * 1024  # passes, KiB: Argon2id as in OWASP's Password Storage Cheat Sheet


def _hash(code: str, salt: str) -> str:
    """Return a code's hash, with its version and its salt."""
    digest = hash_secret_raw(
        code.encode(),
        bytes.fromhex(salt),
        time_cost=TIME_COST,
        memory_cost=MEMORY_COST,
        parallelism=1,
        hash_len=32,
        type=Type.ID,
    )
    return f"1${salt}${digest.hex()}"


def hash_codes(codes: Iterable[str]) -> list[str]:
    """Return the hashes of a person's codes, with one salt, so that checking a code costs one hash."""
    salt = secrets.token_hex(SALT_BYTES)
    return [_hash(code, salt) for code in codes]


def has_codes(user: User) -> bool:
    """Return whether a person has unused backup codes."""
    plain = StaticToken.objects.filter(device__user=user)
    return BackupCode.objects.filter(device__user=user).exists() or bool(plain.exists())


@transaction.atomic
def create_codes(user: User) -> list[str]:
    """Replace a person's codes with ten new ones, and return them."""
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name="backup codes")
    codes = [StaticToken.random_token() for _number in range(HOW_MANY)]
    BackupCode.objects.bulk_create(BackupCode(device=device, digest=one) for one in hash_codes(codes))
    return codes


@transaction.atomic
def use_code(user: User, code: str) -> bool:
    """Use up a code and return whether it was valid. Each wrong one doubles the wait for the next."""
    device = StaticDevice.objects.select_for_update().filter(user=user, confirmed=True).first()
    if device is None or not device.verify_is_allowed()[0]:
        return False
    hash_plain_codes(device)
    rows = list(BackupCode.objects.filter(device=device).order_by("pk")[: 2 * HOW_MANY])
    tried = {salt: _hash(code, salt) for salt in {row.digest.split("$")[1] for row in rows}}
    for row in rows:
        if compare_digest(row.digest, tried[row.digest.split("$")[1]]):
            row.delete()
            device.throttle_reset(commit=False)
            device.set_last_used_timestamp(commit=False)
            device.save()
            return True
    device.throttle_increment()
    return False


def hash_plain_codes(device: StaticDevice) -> None:
    """Hash codes that an earlier release stored in plain text."""
    plain = list(StaticToken.objects.filter(device=device).order_by("pk"))
    if plain:
        hashes = hash_codes(token.token for token in plain)
        BackupCode.objects.bulk_create(BackupCode(device=device, digest=one) for one in hashes)
        StaticToken.objects.filter(device=device).delete()
