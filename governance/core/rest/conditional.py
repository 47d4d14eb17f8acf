"""Answers with an ETag, which a client that has them already receives as 304 without a body (RFC 9110)."""

from __future__ import annotations

import hashlib
from typing import Any

from django.http import HttpRequest, HttpResponseBase, HttpResponseNotModified
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag


def tag(request: HttpRequest, answer: Any) -> HttpResponseBase | None:
    """Give a rendered answer an ETag of what it says, unless it has one; return 304 if the client has it.

    The row is read and answered all the same: what is saved is its way.
    """
    etag = answer.headers.get("ETag") or quote_etag(hashlib.sha256(answer.content).hexdigest()[:32])
    answer.headers["ETag"] = etag
    known = get_conditional_response(request, etag=etag)
    if not isinstance(known, HttpResponseNotModified):
        return None
    for name, value in answer.headers.items():
        if not name.startswith("Content-"):
            known.headers[name] = value
    return known
