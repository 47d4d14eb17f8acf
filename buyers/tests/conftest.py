from typing import Any
from django.core.management import call_command
from django.db import connection
from django.test import TransactionTestCase
from governance.append_only import lifted_for_tests


def _new(self: Any) -> None:
    with lifted_for_tests(connection):
        call_command("flush", verbosity=0, interactive=False, allow_cascade=True, inhibit_post_migrate=False)


TransactionTestCase._fixture_teardown = _new


import pytest


@pytest.fixture(autouse=True)
def _plain_static(settings: Any) -> None:
    settings.STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
