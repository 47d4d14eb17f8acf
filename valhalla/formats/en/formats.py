"""English: “Nov. 24, 2026 20:38 UTC”, which may break only before the hour."""

DATETIME_FORMAT = "N\u00a0j,\u00a0Y H:i\u00a0T"
