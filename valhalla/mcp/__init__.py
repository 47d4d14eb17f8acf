"""The MCP server: tools by which an AI assistant reads and records, with a token's permissions.

`calls` makes the calls of the REST API in this process, `masking` hides whom they are about, `answers` says
what leaves, `server` declares the tools. Only `manage.py mcp` imports the last two: their packages
are not installed everywhere.
"""
