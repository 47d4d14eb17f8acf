"""Cookie names, and flash messages in a cookie of ours."""

from __future__ import annotations

from django.conf import settings
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.messages.storage.session import SessionStorage


class MessagesCookie(CookieStorage):
    """Flash messages in a cookie that follows our naming."""

    cookie_name = settings.MESSAGES_COOKIE_NAME


class Messages(FallbackStorage):
    """Flash messages in a cookie, or in the session if they do not fit."""

    storage_classes = (MessagesCookie, SessionStorage)
