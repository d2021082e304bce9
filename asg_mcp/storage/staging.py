"""What a transaction reads of its own refs before they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asg_mcp.storage.base import Ref


def with_staged(there: Sequence[Ref], staged: Mapping[str, Ref | None], prefix: str, after: str) -> list[Ref]:
    """The stored refs of a range with those that are staged (None: dropped) over them, in name order."""
    wanted = [
        ref
        for name, ref in staged.items()
        if ref is not None and name.startswith(prefix) and (not after or name > after)
    ]
    return sorted([*(ref for ref in there if ref.name not in staged), *wanted], key=lambda ref: ref.name)
