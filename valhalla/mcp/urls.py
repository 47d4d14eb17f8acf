"""What the MCP server's calls reach: the routes of the web server, and the board."""

from django.urls import path

from valhalla import urls
from valhalla.mcp.board import BoardViewSet

urlpatterns = [
    path("api/governance/board", BoardViewSet.as_view({"get": "board"}), name="mcp-board"),
    *urls.urlpatterns,
]
