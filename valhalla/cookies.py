"""The names of our cookies, and messages in one of them."""

from __future__ import annotations

from django.conf import settings
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.messages.storage.session import SessionStorage


class MessagesCookie(CookieStorage):
    """What a page says once, in a cookie that is named like all others."""

    cookie_name = settings.MESSAGES_COOKIE_NAME


class Messages(FallbackStorage):
    """Messages in a cookie, and in the session where they do not fit."""

    storage_classes = (MessagesCookie, SessionStorage)
