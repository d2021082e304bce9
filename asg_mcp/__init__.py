"""AgentStateGraph for Python: a content-addressed, branchable, blameable state store for AI agents."""

__version__ = "0.1.0"
