"""Django's backend for PostgreSQL, with two per-request operations made cheaper."""
