"""What somebody signed in with, from what her browser says of itself."""

from __future__ import annotations

import ua_parser

READ = 400  # characters; a browser's own are fewer than 300
KEPT = 40


def read_device(agent: str) -> tuple[str, str]:
    """Return the browser and the system that a User-Agent header names; empty where it names none."""
    said = agent[:READ].replace("\0", "")
    if not said:
        return "", ""
    found = ua_parser.parse(said)
    browser = found.user_agent.family if found.user_agent else ""
    system = found.os.family if found.os else ""
    return browser[:KEPT], system[:KEPT]
