"""The import path by which sessions name what signed them in; the class is in governance/accounts/."""

from governance.accounts.authentication import RoleBackend

__all__ = ["RoleBackend"]
