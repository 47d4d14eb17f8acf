"""The operations board as data: the same tiles as the admin's first page, for the MCP server only."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from governance.core.rest.viewsets import ServiceViewSet
from governance.golive.banner import state_of
from governance.tripwire.banner import standing_of
from valhalla.pages.board import BAD, GOOD, PLAIN, UNKNOWN, WATCH, Tile, board_at
from valhalla.pages.navigation import figures_of

WORST_FIRST = (BAD, WATCH, UNKNOWN, GOOD, PLAIN)


class BoardViewSet(ServiceViewSet):
    """The board's tiles. Whoever may read KPI events may read each of its figures elsewhere."""

    rights: ClassVar[dict[str, str]] = {"board": "governance.view_kpievent"}

    def board(self, request: Request) -> Response:
        self.by()
        asked = request._request
        board = board_at(timezone.now(), state_of(asked), standing_of(asked), figures_of(asked))
        return Response(as_board(board))


def as_board(board: dict[str, Any]) -> dict[str, object]:
    """Return the board's sections and the worst state among their tiles, which is the verdict."""
    sections = [
        {"title": str(section.title), "tiles": [_as_tile(tile) for tile in section.tiles]}
        for section in board["sections"]
    ]
    states = {tile.state for section in board["sections"] for tile in section.tiles}
    return {
        "verdict": next((state for state in WORST_FIRST if state in states), UNKNOWN),
        "counted_at": board["counted_at"],
        "is_stale": board["is_stale"],
        "sections": sections,
    }


def _as_tile(tile: Tile) -> dict[str, str]:
    names = ("title", "figure", "state", "says", "target", "note")
    return {name: str(getattr(tile, name)) for name in names}
