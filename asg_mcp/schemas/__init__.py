"""Wire types, declared once: MCP input and output schemas, the published contract and the pages come from them."""
