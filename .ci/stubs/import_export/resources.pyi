from collections.abc import Sequence
from typing import Any

from django.db.models import Model
from import_export.fields import Field
from tablib import Dataset

class ResourceOptions:
    model: type[Model]
    fields: Sequence[str]
    import_id_fields: Sequence[str]

class ModelResource:
    _meta: ResourceOptions
    fields: dict[str, Field]
    def __init__(self, **kwargs: Any) -> None: ...
    def before_import_row(self, row: Any, **kwargs: Any) -> None: ...
    def import_field(
        self, field: Field, instance: Any, row: Any, is_m2m: bool = False, **kwargs: Any
    ) -> None: ...
    def import_instance(self, instance: Any, row: Any, **kwargs: Any) -> None: ...
    def save_instance(self, instance: Any, is_create: bool, row: Any, **kwargs: Any) -> None: ...
    def import_data(
        self, dataset: Dataset, dry_run: bool = False, raise_errors: bool = False, **kwargs: Any
    ) -> Any: ...
