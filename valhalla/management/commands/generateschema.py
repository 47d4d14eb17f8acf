"""DRF's command with drf-spectacular's generator: its own cannot read the API's descriptions."""

from __future__ import annotations

from typing import Any

from rest_framework.management.commands import generateschema


class Command(generateschema.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        options["generator_class"] = options["generator_class"] or (
            "drf_spectacular.generators.SchemaGenerator"
        )
        super().handle(*args, **options)
