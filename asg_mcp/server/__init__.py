"""The protocol side: dispatch of calls, the MCP server, and its transports."""
