"""What tests need that commit for real."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from governance.append_only import append_only_models, remove


@pytest.fixture
def committed(transactional_db: None) -> Iterator[None]:
    """A database that other connections see; its triggers go before it is emptied and come back with it."""
    yield
    for model in append_only_models():
        remove(connection, model._meta.db_table)
