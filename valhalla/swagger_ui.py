"""Finds the two files of Swagger UI that the API's reference needs, among the 12 MB of its package."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage

FILES = ("swagger-ui-bundle.js", "swagger-ui.css")
PREFIX = "swagger-ui"
_SOURCE_MAP = re.compile(rb"^(//# sourceMappingURL=\S+|/\*# sourceMappingURL=\S+ ?\*/)$", re.M)


class _WithoutSourceMaps(FileSystemStorage):
    """Reads files without the reference to their source maps, which are larger than the files."""

    prefix = PREFIX  # where collectstatic puts them

    def _open(self, name: str, mode: str = "rb") -> File[bytes]:
        return ContentFile(_SOURCE_MAP.sub(b"", Path(self.path(name)).read_bytes()), name)


class SwaggerUI(BaseFinder):
    """Finds `swagger-ui/…` in drf-spectacular-sidecar, without adding its app and all of its files."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        package = find_spec("drf_spectacular_sidecar")
        assert package is not None, "drf-spectacular-sidecar is missing: make setup"
        assert package.origin is not None
        folder = Path(package.origin).parent / "static/drf_spectacular_sidecar/swagger-ui-dist"
        self.storage = _WithoutSourceMaps(location=folder)

    def check(self, **kwargs: object) -> list[Any]:
        return []

    def find(self, path: str, find_all: bool = False, **kwargs: object) -> Any:
        found = [self.storage.path(name) for name in FILES if path == f"{PREFIX}/{name}"]
        return found if find_all else (found[0] if found else None)

    def list(self, ignore_patterns: Any) -> Iterator[tuple[str, FileSystemStorage]]:
        for name in FILES:
            yield name, self.storage
