"""French: « 24 nov. 2026 20:38 UTC », which may break only before the hour."""

DATETIME_FORMAT = "j\u00a0N\u00a0Y H:i\u00a0T"
