"""The browser and system that somebody signed in with, from their User-Agent header."""

from __future__ import annotations

import ua_parser

READ = 400  # characters; those of real browsers have fewer than 300
KEPT = 40


def read_device(agent: str) -> tuple[str, str]:
    """Return the browser and the system that a User-Agent header names; empty if it names none."""
    said = agent[:READ].replace("\0", "")
    if not said:
        return "", ""
    found = ua_parser.parse(said)
    browser = found.user_agent.family if found.user_agent else ""
    system = found.os.family if found.os else ""
    return browser[:KEPT], system[:KEPT]
