"""Prompts: work that comes up again and again, each as one short message that names the tools to call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import mcp_types as types

from asg_mcp.errors import InvalidArgument
from asg_mcp.server.arguments import nearest, shown
from asg_mcp.tools.registry import Catalogue

DEFAULT_REF = "main"
ARGUMENT_CHARS_MAX = 4_096
"""Of one argument: a path has no more, and a goal that needs more is a document."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a prompt."""

    name: str
    description: str
    default: str | None = None
    """None: it must be given."""
    completes: str = ""
    """What it can be completed as: ref or path."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt. It is offered where all the tools that it names are."""

    name: str
    description: str
    arguments: tuple[Argument, ...]
    tools: tuple[str, ...]
    message: Callable[[Mapping[str, str]], str]

    @property
    def completes(self) -> dict[str, str]:
        """Which arguments can be completed, and as what."""
        return {one.name: one.completes for one in self.arguments if one.completes}


def _explain_change(given: Mapping[str, str]) -> str:
    return (
        f"Explain how {given['path']} on {given['ref']} came to be what it is. Call asg_blame with this path and ref, "
        "and with history if one change does not explain it. Where a commit names an intent, call asg_query with "
        "target intents and that intent in filters for what it served and what came of it. Tell who (verified and "
        "claimed), what, when, why, how sure, on whose authority, what else was considered, and what was expected. Say "
        "what the record does not tell."
    )


def _review_branch(given: Mapping[str, str]) -> str:
    source, target = given["source"], given["target"]
    return (
        f"Review {source} before it goes into {target}. Call asg_diff with ref_a {target} and ref_b {source} for what "
        f"changes, asg_log with ref {source} for the reasons, and asg_merge with source {source}, target {target} and "
        "preview for the conflicts. Name each change that has no good reason, low confidence or no authority, and each "
        "conflict with the side you would take and why. Merge only when you are told to."
    )


def _hand_over(given: Mapping[str, str]) -> str:
    return (
        f"Write a hand-over of what happened since {given['since']}. Call asg_query with since in filters, first "
        "with group_by agent and category for the course of it, then for the commits; follow next_cursor. Call "
        "asg_query with target intents for what is still open or went otherwise than expected. Tell what was "
        "decided and why, what is unfinished, what is uncertain (low confidence), and what to look at first."
    )


def _plan_work(given: Mapping[str, str]) -> str:
    return (
        f"Plan this: {given['goal']}\n\nRead what is there first: asg_search and asg_get for the state it touches, "
        "asg_query with target plans for plans that exist. Then call asg_plan once with all tasks: each small enough "
        "to finish in one go, with its blockers, the most urgent first. Take the first with asg_next_task, and "
        "complete each with asg_update_task and a proof."
    )


_REF = Argument("ref", "A branch, tag or commit; default main", DEFAULT_REF, "ref")

PROMPTS = (
    Prompt(
        "explain-change",
        "Why is this path what it is, and who made it so?",
        (Argument("path", "A JSON Pointer such as /cluster/node-3/status", None, "path"), _REF),
        ("asg_blame", "asg_query"),
        _explain_change,
    ),
    Prompt(
        "review-branch",
        "What would a branch bring, and should it?",
        (
            Argument("source", "The branch to review", None, "ref"),
            Argument("target", "Where it would go; default main", DEFAULT_REF, "ref"),
        ),
        ("asg_diff", "asg_log", "asg_merge"),
        _review_branch,
    ),
    Prompt(
        "hand-over",
        "What happened, what is open, what to look at first.",
        (Argument("since", "A time, RFC 3339, such as 2026-11-21T02:00:00Z"),),
        ("asg_query",),
        _hand_over,
    ),
    Prompt(
        "plan-work",
        "A goal as a plan of tasks that agents can take.",
        (Argument("goal", "What shall be so at the end"),),
        ("asg_search", "asg_get", "asg_query", "asg_plan", "asg_next_task", "asg_update_task"),
        _plan_work,
    ),
)


class PromptBook:
    """The prompts that one server offers."""

    def __init__(self, catalogue: Catalogue, prompts: Sequence[Prompt] = PROMPTS) -> None:
        names = {tool.name for tool in catalogue}
        self._offered = {one.name: one for one in prompts if names.issuperset(one.tools)}
        self.listed = types.ListPromptsResult(prompts=[_listed(one) for one in self._offered.values()])

    def find(self, name: str) -> Prompt:
        """The prompt of this name. Raises InvalidArgument."""
        found = self._offered.get(name)
        if found is None:
            guess = nearest(name, self._offered)
            also = f"Did you mean {guess}? " if guess else ""
            raise InvalidArgument(f"There is no prompt {shown(name)}", hint=f"{also}prompts/list names them all.")
        return found

    def get(self, name: str, arguments: Mapping[str, str]) -> types.GetPromptResult:
        """The message of a prompt. Raises InvalidArgument for a name, or arguments, that it does not know or lacks."""
        prompt = self.find(name)
        text = prompt.message(_given(prompt, arguments))
        content = types.TextContent(type="text", text=text)
        return types.GetPromptResult(
            description=prompt.description, messages=[types.PromptMessage(role="user", content=content)]
        )


def _given(prompt: Prompt, arguments: Mapping[str, str]) -> dict[str, str]:
    names = [one.name for one in prompt.arguments]
    for name, text in arguments.items():
        if name not in names:
            raise InvalidArgument(
                f"{prompt.name} has no argument {shown(name)}",
                hint=f"It takes {', '.join(names)}.",
                argument=shown(name),
            )
        if len(text) > ARGUMENT_CHARS_MAX:
            raise InvalidArgument(
                f"{name} has {len(text)} characters; at most {ARGUMENT_CHARS_MAX} are allowed", hint="Say it shorter."
            )
    given = {one.name: arguments.get(one.name, "").strip() or one.default for one in prompt.arguments}
    lacking = [one for one in prompt.arguments if given[one.name] is None]
    if lacking:
        raise InvalidArgument(
            f"{prompt.name} needs {lacking[0].name}", hint=f"{lacking[0].description}.", argument=lacking[0].name
        )
    return {name: text for name, text in given.items() if text is not None}


def _listed(prompt: Prompt) -> types.Prompt:
    return types.Prompt(
        name=prompt.name,
        description=prompt.description,
        arguments=[
            types.PromptArgument(name=one.name, description=one.description, required=one.default is None)
            for one in prompt.arguments
        ],
    )
