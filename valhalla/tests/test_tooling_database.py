"""What a test that commits for real leaves behind: the database that the first test met."""

from __future__ import annotations

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from governance.core import append_only
from governance.models import MarketPolicy, User

pytestmark = pytest.mark.both

SEEDED = 13


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", ["first", "next", "last"])
def test_each_test_that_commits_meets_the_seeds_the_triggers_and_nothing_else(turn: str) -> None:
    assert MarketPolicy.objects.count() == SEEDED
    assert MarketPolicy.history.count() == SEEDED
    assert append_only.missing(connection) == []
    assert ContentType.objects.get_for_model(User).pk in set(ContentType.objects.values_list("pk", flat=True))
    assert not User.objects.exists()
    User.objects.create(username=turn)
    MarketPolicy.objects.all().delete()
