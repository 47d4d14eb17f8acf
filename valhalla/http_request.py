"""The request as the web server hands it over; a header that nobody can read is as good as none."""

from __future__ import annotations

import codecs
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.utils.http import parse_header_parameters

# Others decode to NUL and lone surrogates (utf-7), refuse what cannot be decoded (idna) or are no text (hex).
CHARSETS = ("utf-8", "ascii", "iso8859-1", "cp1252")


class Request(WSGIRequest):
    """Reads text in the charset that Content-Type names only where it is one of `CHARSETS`, else as UTF-8.

    Django takes any codec of Python's by name, and reads the query string at once with it: what fails there
    fails outside of all handling of errors.
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
