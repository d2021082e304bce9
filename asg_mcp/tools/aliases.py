"""The names under which the reference project has these tools, with its argument names. Answered, never listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PREFIX = "agentstategraph_"


@dataclass(frozen=True, slots=True)
class Alias:
    """A further name of a tool: what its arguments are called there, and what it always asks for."""

    name: str
    tool: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Its name for an argument -> ours."""
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the tool has them."""
        mapped = {self.renamed.get(name, name): item for name, item in given.items()}
        return {**mapped, **self.fixed}


def _same(*names: str, **renamed: str) -> tuple[Alias, ...]:
    return tuple(Alias(PREFIX + name, f"asg_{name}", renamed) for name in names)


ALIASES: tuple[Alias, ...] = (
    *_same("get", "set", "delete", "branch", "list_branches", "delete_branch", "diff", "merge", "log", "blame"),
    *_same("speculate", "create_epoch", "seal_epoch", "migrate", "next_task"),
    *_same("search", max_results="limit"),
    *_same("query", agent_id="agent"),
    *_same("spec_modify", "commit_spec", "discard", handle_id="handle"),
    *_same("compare", handle_ids="handles"),
    Alias(f"{PREFIX}get_tree", "asg_get", {"prefix": "path"}),
    Alias(f"{PREFIX}list_paths", "asg_get", {"prefix": "path", "max_depth": "depth"}),
    Alias(f"{PREFIX}commit_graph", "asg_log", {"depth": "limit"}),
    Alias(f"{PREFIX}intent_tree", "asg_query", {"root_commit_id": "intent"}, {"target": "intents"}),
    Alias(f"{PREFIX}stats", "asg_query", {}, {"target": "agents"}),
    Alias(f"{PREFIX}sessions", "asg_query", {"agent_id": "agent"}, {"target": "sessions"}),
    Alias(f"{PREFIX}list_epochs", "asg_query", {}, {"target": "epochs"}),
    Alias(
        f"{PREFIX}create_session",
        "asg_open_session",
        {
            "agent_id": "agent",
            "working_branch": "branch",
            "parent_session": "parent",
            "delegated_intent": "intent_description",
        },
    ),
    Alias(f"{PREFIX}create_plan", "asg_plan"),
)
