"""The tool catalogue: one record a tool, which unpacks, makes one call down, and packs."""
