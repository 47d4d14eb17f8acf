"""Key files, one key per line: the first is used for writing, all of them for reading."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

FIRST_KEY, MOST_KEYS = 1, 99
_NUMBERED = re.compile(r"k(0[1-9]|[1-9][0-9]):", re.ASCII)


def number_of(key: str) -> int:
    """Return the number that a key begins with, such as 2 for `k02:…`; a key without one is the first."""
    numbered = _NUMBERED.match(key)
    return int(numbered[1]) if numbered else FIRST_KEY


def read_keys(path: Path) -> tuple[str, ...]:
    """Return the keys of the file, the current one first; none if there is no file."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return ()
    return tuple(line.strip() for line in lines if line.strip())


def new_key() -> str:
    return secrets.token_urlsafe(64)


def make_key_file(path: Path) -> str:
    """Create the file with a first key, unless another process was faster, and return the key that counts."""
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(new_key())
            file.flush()
            os.fsync(file.fileno())  # the database is about to rely on it
    except FileExistsError:
        pass
    return path.read_text().strip()


def write_keys(path: Path, keys: Sequence[str]) -> None:
    """Replace the file atomically, readable only by its owner; a crash leaves the old or the new one."""
    beside = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(beside, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
        file.write("".join(f"{key}\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name must survive a power cut: the database is about to rely on it
    finally:
        os.close(folder)
