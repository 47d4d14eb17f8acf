"""The rate limits of tokens and people: calls in the last minute, counted by all processes of a machine.

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
from dataclasses import dataclass, field
from math import ceil, floor
from pathlib import Path

from django.conf import settings
from django.http import HttpResponseBase

from governance.core.request_values import RequestValue

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


@dataclass(frozen=True, slots=True)
class Counted:
    """A counted call: `wait` is 0 if it is allowed, else after how many seconds the next one is.

    `left` calls remain until some become free again, in `reset` seconds; it is None if nothing is counted.
    """

    wait: int
    left: int | None
    reset: int


def count_call(digest: str, most: int) -> Counted:
    """Count a call of the token, or person, with this digest, which may make `most` a minute.

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
                shelf = os.pread(file, SHELF, place).ljust(SHELF, b"\0")
                slot = _slot(shelf, whose)
                found, of_minute, calls, before, _unused = SLOT.unpack_from(shelf, slot)
                if found != whose or of_minute < minute - 1:
                    calls = before = 0
                elif of_minute == minute - 1:
                    calls, before = 0, calls
                wait = wait_for(calls, before, into, most)
                if wait:
                    return Counted(wait, 0, wait)
                os.pwrite(file, SLOT.pack(whose, minute, calls + 1, before, 0), place + slot)
                left = most - calls - 1 - ceil(before * (MINUTE - into) / MINUTE)
                return Counted(0, max(left, 0), ceil(MINUTE - into))
            finally:
                fcntl.lockf(file, fcntl.LOCK_UN, SHELF, place)
    except OSError as problem:
        log.error("calls are not counted: %s", problem.strerror)
        return Counted(0, None, 0)


def _slot(shelf: bytes, whose: bytes) -> int:
    """Return where a digest's slot begins: its own, or that of the least recently and least used digest."""
    found = shelf.find(whose)
    while found >= 0 and found % SLOT.size:
        found = shelf.find(whose, found + 1)
    if found >= 0:
        return found
    return min(range(0, SHELF, SLOT.size), key=lambda begin: SLOT.unpack_from(shelf, begin)[1:3])


@dataclass(slots=True)
class Limits:
    """What a request has used of each limit that it is counted under, for the headers of its response.

    See draft-ietf-httpapi-ratelimit-headers: `q` calls in `w` seconds; `r` remain for `t` seconds.
    """

    policies: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)

    def add(self, name: str, most: int, counted: Counted) -> None:
        if counted.left is not None:
            self.policies.append(f'"{name}";q={most};w={MINUTE}')
            self.states.append(f'"{name}";r={counted.left};t={counted.reset}')

    def put_on(self, response: HttpResponseBase) -> None:
        response.headers["RateLimit-Policy"] = ", ".join(self.policies)
        response.headers["RateLimit"] = ", ".join(self.states)


LIMITS: RequestValue[Limits] = RequestValue("api_limits")


def _opened() -> int:
    global _file
    path = Path(settings.VAR) / "calls"
    if _file is None or _file[0] != path:
        if _file is not None:
            os.close(_file[1])
            _file = None  # else a folder that is missing leaves a closed file behind
        _file = path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return _file[1]
