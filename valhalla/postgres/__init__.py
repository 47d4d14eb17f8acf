"""Django's backend for PostgreSQL, with two things that every request does done more cheaply."""
