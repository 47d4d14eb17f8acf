"""Django's backend for PostgreSQL, with three per-request operations made cheaper."""
