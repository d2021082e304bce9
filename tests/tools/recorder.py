"""A repository that does nothing but remember how it was called, and samples of what a real one answers."""

from __future__ import annotations

from typing import Any

from asg_mcp.core.ids import CommitId, NodeId
from asg_mcp.core.intents import Category
from asg_mcp.errors import HandleNotFound
from asg_mcp.repo import results as r
from asg_mcp.repo.repository import Repository
from asg_mcp.tools.catalogue import CATALOGUE
from asg_mcp.tools.registry import Caller, ToolContext

HEAD = CommitId.of(b"head")
PARENT = CommitId.of(b"parent")
AT = "2026-01-02T02:00:00.000000Z"
CALLER = Caller(principal="ana", client="probe/1.0", default_agent="probe")

ROOT = NodeId.of(b"root")
BY_NAME = {tool.name: tool for tool in CATALOGUE}
WRITTEN = r.WriteResult(commit=HEAD, ref="main", parent=PARENT, object=ROOT, changed=1, rebased=False)


def commit_info(**changes: Any) -> r.CommitInfo:
    """A commit with everything required and nothing else, but for the changes."""
    given: dict[str, Any] = {
        "id": HEAD,
        "seq": 2,
        "parents": (PARENT,),
        "at": AT,
        "principal": "ana",
        "agent": "night-watch",
        "client": "probe/1.0",
        "session": "",
        "category": Category.FIX,
        "confidence": None,
        "intent_id": "",
        "parent_intent": "",
        "description": "Take node-3 out of rotation",
        "reasoning": "",
        "tags": (),
        "provenance": {},
    }
    return r.CommitInfo(**(given | changes))


class Recorder(Repository):
    """Answers each method with what it was given for it, and keeps the arguments of the calls."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def _answer(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.calls.append((args, kwargs))
        answer = self.answers[name]
        return answer(*args, **kwargs) if callable(answer) else answer

    def session(self, handle: str) -> r.SessionInfo:
        if "session" not in self.answers:
            raise HandleNotFound(f"There is no session {handle!r}")
        found: r.SessionInfo = self.answers["session"]
        return found

    async def commit(self, *args: Any, **kwargs: Any) -> Any:
        return self._answer("commit", args, kwargs)

    async def merge(self, *args: Any, **kwargs: Any) -> Any:
        return self._answer("merge", args, kwargs)

    async def revert(self, *args: Any, **kwargs: Any) -> Any:
        return self._answer("revert", args, kwargs)

    async def branch(self, *args: Any, **kwargs: Any) -> Any:
        return self._answer("branch", args, kwargs)

    async def delete_branch(self, *args: Any, **kwargs: Any) -> Any:
        return self._answer("delete_branch", args, kwargs)

    async def get(self, *args: Any, **kwargs: Any) -> Any:
        return self._answer("get", args, kwargs)

    async def search(self, *args: Any, **kwargs: Any) -> Any:
        return self._answer("search", args, kwargs)

    async def list_refs(self, *args: Any, **kwargs: Any) -> Any:
        return self._answer("list_refs", args, kwargs)

    async def diff(self, *args: Any, **kwargs: Any) -> Any:
        return self._answer("diff", args, kwargs)

    async def log(self, *args: Any, **kwargs: Any) -> Any:
        return self._answer("log", args, kwargs)

    async def blame(self, *args: Any, **kwargs: Any) -> Any:
        return self._answer("blame", args, kwargs)

    async def query(self, *args: Any, **kwargs: Any) -> Any:
        return self._answer("query", args, kwargs)


async def called(tool: str, arguments: dict[str, Any], **answers: Any) -> tuple[Recorder, dict[str, Any]]:
    """Call a tool by name over a recorder: the recorder, and the reply as it travels."""
    found = BY_NAME[tool]
    recorder = Recorder(**answers)
    reply = await found.handler(ToolContext(recorder, CALLER), found.params.model_validate(arguments))
    return recorder, reply.dump()
