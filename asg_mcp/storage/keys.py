"""What the backends share: how a remembered request is named, and what rows take in a cache."""

from __future__ import annotations

from blake3 import blake3

from asg_mcp.core.nodes import Node
from asg_mcp.core.values import encode

COMMIT_BYTES = 2_100
"""An estimate of what a commit takes in memory besides its texts."""
_NODE_BYTES, _ITEM_BYTES = 400, 260


def node_bytes(node: Node) -> int:
    """An estimate of what a node takes in memory."""
    return _NODE_BYTES + _ITEM_BYTES * len(node.items)


def reply_key(principal: str, request_id: str) -> bytes:
    """16 bytes that stand for one principal's request."""
    return blake3(encode([principal, request_id])).digest(16)
