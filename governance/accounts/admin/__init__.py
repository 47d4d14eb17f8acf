"""The screens of accounts in admin, one module a subject."""

from governance.accounts.admin import log, sessions, tokens, users, work

__all__ = ["log", "sessions", "tokens", "users", "work"]
