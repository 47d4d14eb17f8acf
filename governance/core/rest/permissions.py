"""Permissions of REST actions."""

from __future__ import annotations

from rest_framework import permissions
from rest_framework.request import Request

from governance.core import hooks


class NamedRight(permissions.BasePermission):
    """The view names the permission of each action; an action without one is refused to everybody."""

    def has_permission(self, request: Request, view: object) -> bool:
        if not request.user.is_authenticated:
            return False
        action = getattr(view, "action", None)
        if action is None:  # no action answers this method: the viewset itself answers 405
            return hasattr(view, "action_map")
        right = getattr(view, "rights", {}).get(action)
        # not `path`: it begins with the script prefix, which no route includes
        path = request._request.path_info
        if action == "metadata":  # OPTIONS: who reaches the address may read what it is for
            return bool(hooks.rights_at(request.user, request.auth, path))
        return right is not None and right in hooks.rights_at(request.user, request.auth, path)
