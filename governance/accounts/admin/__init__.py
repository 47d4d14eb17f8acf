"""Admin classes for accounts, one module per subject."""

from governance.accounts.admin import log, sessions, tokens, users, work

__all__ = ["log", "sessions", "tokens", "users", "work"]
