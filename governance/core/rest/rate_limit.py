"""The rate limit of tokens: calls in the last minute, counted across all web processes of a machine.

The counts are in a small file under VAR, which never grows, and are read and written with a lock on a few of
its bytes: a call costs microseconds and no query. See docs/decisions/calls-per-minute.md.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import threading
import time
from math import ceil, floor
from pathlib import Path

from django.conf import settings

log = logging.getLogger(__name__)

MINUTE = 60
SLOT = struct.Struct("<8sIIII")  # token, minute, calls in it, calls in the minute before, unused
# A token's count is in any slot of the shelf that its digest selects: capacity for 4,096 tokens at a time.
SHELVES, SLOTS = 256, 16
SHELF = SLOT.size * SLOTS
_file: tuple[Path, int] | None = None
_threads = threading.Lock()  # the system's lock separates processes, not the threads of one


def wait_for(calls: int, before: int, into: float, most: int) -> int:
    """Return 0 if one more call stays within `most` per minute, else after how many seconds it would.

    The last 60 seconds are this minute's `calls` and, of the minute `before`, the share that is still within
    them, `into` seconds after this minute began: twice the number around a full minute is refused.
    """
    if calls + before * (MINUTE - into) / MINUTE + 1 <= most:
        return 0
    if calls + 1 <= most:
        return max(1, _up(MINUTE * (1 - (most - calls - 1) / before) - into))
    left = MINUTE - into
    if most < 1:
        return MINUTE
    return max(1, _up(left + MINUTE * (1 - (most - 1) / calls)))


def _up(seconds: float) -> int:
    return ceil(round(seconds, 6))  # 30.000000000000004 is 30


def seconds_to_wait(digest: str, most: int) -> int:
    """Count a call of the token with this digest; return 0, or the seconds until the next is allowed.

    A refused call is not counted. If the file cannot be used, the call is allowed: permissions do not depend
    on it.
    """
    now = time.time()
    minute, into = floor(now / MINUTE), now % MINUTE
    place = int(digest[:4], 16) % SHELVES * SHELF
    whose = bytes.fromhex(digest[4:20])
    try:
        with _threads:
            file = _opened()
            fcntl.lockf(file, fcntl.LOCK_EX, SHELF, place)
            try:
                shelf = list(SLOT.iter_unpack(os.pread(file, SHELF, place).ljust(SHELF, b"\0")))
                slot = _slot(shelf, whose)
                found, of_minute, calls, before, _unused = shelf[slot]
                if found != whose or of_minute < minute - 1:
                    calls = before = 0
                elif of_minute == minute - 1:
                    calls, before = 0, calls
                wait = wait_for(calls, before, into, most)
                if not wait:
                    os.pwrite(file, SLOT.pack(whose, minute, calls + 1, before, 0), place + slot * SLOT.size)
                return wait
            finally:
                fcntl.lockf(file, fcntl.LOCK_UN, SHELF, place)
    except OSError as problem:
        log.error("calls are not counted: %s", problem.strerror)
        return 0


def _slot(shelf: list[tuple[bytes, int, int, int, int]], whose: bytes) -> int:
    """Return the number of a token's slot: its own, or that of the least recently and least used token."""
    for number, slot in enumerate(shelf):
        if slot[0] == whose:
            return number
    return min(range(SLOTS), key=lambda number: shelf[number][1:3])


def _opened() -> int:
    global _file
    path = Path(settings.VAR) / "calls"
    if _file is None or _file[0] != path:
        if _file is not None:
            os.close(_file[1])
        _file = path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return _file[1]
