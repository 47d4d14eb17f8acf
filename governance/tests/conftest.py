"""What the tests of governance share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from governance.core import hooks
from governance.core.hooks import LeadFacts


@pytest.fixture
def leads(monkeypatch: pytest.MonkeyPatch) -> dict[str, LeadFacts]:
    """Leads as the gate asks for them, by id; the packs' own answer is out of the way for the test."""
    known: dict[str, LeadFacts] = {}
    answer: Callable[[str], LeadFacts | None] = known.get
    monkeypatch.setattr(hooks.lead_facts, "_answerers", [answer])
    return known


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The provinces whose gate was said to have changed."""
    provinces: list[str] = []
    monkeypatch.setattr(
        hooks.on_gate_changed, "_answerers", [lambda province, by, at: provinces.append(province)]
    )
    return provinces
