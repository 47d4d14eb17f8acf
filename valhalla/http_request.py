"""The request as the web server passes it on; a header that cannot be decoded is treated as missing."""

from __future__ import annotations

import codecs
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.utils.http import parse_header_parameters

# Other codecs decode to NUL and lone surrogates (utf-7), refuse what they cannot decode (idna) or are not
# text (hex).
CHARSETS = ("utf-8", "ascii", "iso8859-1", "cp1252")


class Request(WSGIRequest):
    """Decodes text with the charset in Content-Type only if it is one of `CHARSETS`, else as UTF-8.

    Django accepts any Python codec by name, and decodes the query string at once with it: a failure there is
    outside of all error handling.
    """

    def _set_content_type_params(self, meta: Any) -> None:
        try:
            kind, params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except (LookupError, ValueError):
            kind, params = "", {}
        self.content_type, self.content_params = kind, params
        try:
            charset = codecs.lookup(params["charset"]).name if "charset" in params else ""
        except (LookupError, ValueError):
            charset = ""
        if charset in CHARSETS:
            self._encoding = charset
