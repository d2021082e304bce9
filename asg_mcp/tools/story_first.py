"""The first chapter of the story: one agent at night, another in the morning."""

from __future__ import annotations

from asg_mcp.tools.examples import Example

FIRST: tuple[Example, ...] = (
    Example(
        "asg_apply",
        {
            "operations": [
                {"op": "set", "path": "/cluster/node-3", "value": {"status": "ready", "image": "v41", "cpu": 0.97}},
                {"op": "append", "path": "/alerts", "value": "node-3: cpu over 95 % for 10 minutes"},
            ],
            "intent_category": "Checkpoint",
            "intent_description": "Record the cluster as the monitor sees it",
            "provenance": {"agent": "monitor"},
        },
        {"commit": "<seen>", "ref": "main", "rebased": False},
        "Two changes that belong together, as one commit.",
    ),
    Example(
        "asg_set",
        {
            "path": "/cluster/node-3/status",
            "value": "drained",
            "intent_category": "Fix",
            "intent_description": "Take node-3 out of rotation",
            "reasoning": "CPU over 95 % for 10 minutes, and its replicas have room.",
            "confidence": 0.73,
            "tags": ["incident"],
            "expected_head": "<seen>",
            "provenance": {
                "agent": "night-watch",
                "authority": {"principal": "on-call", "scope": "drain at most one node"},
                "alternatives": [{"description": "restart the kubelet", "why_not": "it did not help last week"}],
                "expected": "latency below 200 ms within 5 minutes",
            },
        },
        {"commit": "<drain>", "ref": "main", "parent": "<seen>", "object": "<object>", "changed": 1, "rebased": False},
        "One value, with everything that the morning shift will ask about.",
    ),
    Example(
        "asg_get",
        {"path": "/cluster/node-3"},
        {
            "ref": "main",
            "commit": "<drain>",
            "path": "/cluster/node-3",
            "value": {"status": "drained", "image": "v41", "cpu": 0.97},
            "type": "map",
            "truncated": False,
            "omitted": [],
            "last_change": {
                "commit": "<drain>",
                "agent": "night-watch",
                "category": "Fix",
                "description": "Take node-3 out of rotation",
                "confidence": 0.73,
            },
        },
        "A subtree, and who touched it last.",
    ),
    Example(
        "asg_search",
        {"query": "drained"},
        {
            "commit": "<drain>",
            "matches": [{"path": "/cluster/node-3/status", "value": "drained", "type": "string", "on": "value"}],
        },
        "Where a text occurs.",
    ),
    Example(
        "asg_blame",
        {"path": "/cluster/node-3/status"},
        {
            "path": "/cluster/node-3/status",
            "entries": [
                {
                    "path": "/cluster/node-3/status",
                    "type": "string",
                    "value": "drained",
                    "commit": "<drain>",
                    "agent": "night-watch",
                    "principal": "<principal>",
                    "client": "<client>",
                    "category": "Fix",
                    "description": "Take node-3 out of rotation",
                    "reasoning": "CPU over 95 % for 10 minutes, and its replicas have room.",
                    "confidence": 0.73,
                    "authority": {"principal": "on-call", "scope": "drain at most one node"},
                    "alternatives": [{"description": "restart the kubelet", "why_not": "it did not help last week"}],
                    "expected": "latency below 200 ms within 5 minutes",
                    "tags": ["incident"],
                    "at": "<time>",
                }
            ],
        },
        "What happened at 2 AM, asked at 8 AM.",
    ),
    Example(
        "asg_branch",
        {"name": "plan/upgrade", "from": "main"},
        {"name": "plan/upgrade", "kind": "branch", "commit": "<drain>"},
        "A branch on which to try something.",
    ),
    Example(
        "asg_set",
        {
            "ref": "plan/upgrade",
            "path": "/cluster/node-3/image",
            "value": "v42",
            "intent_category": "Explore",
            "intent_description": "Try the image with the fixed driver",
            "confidence": 0.6,
            "provenance": {"agent": "planner"},
        },
        {"commit": "<upgrade>", "ref": "plan/upgrade", "parent": "<drain>", "changed": 1},
        "The same on another branch.",
    ),
    Example(
        "asg_diff",
        {"ref_a": "main", "ref_b": "plan/upgrade"},
        {
            "commit_a": "<drain>",
            "commit_b": "<upgrade>",
            "changes": [{"op": "replace", "path": "/cluster/node-3/image", "old": "v41", "new": "v42"}],
            "next_cursor": "",
        },
        "What the branch would change.",
    ),
    Example(
        "asg_list_branches",
        {"prefix": "plan/"},
        {
            "branches": [
                {
                    "name": "plan/upgrade",
                    "kind": "branch",
                    "commit": "<upgrade>",
                    "agent": "planner",
                    "description": "Try the image with the fixed driver",
                    "ahead": 1,
                    "behind": 0,
                }
            ],
            "total": 1,
            "next_cursor": "",
        },
        "The plans that are open.",
    ),
    Example(
        "asg_delete_branch",
        {"name": "plan/upgrade"},
        {"name": "plan/upgrade", "kind": "branch", "commit": "<upgrade>"},
        "The plan is dropped; its commit can still be read under its id.",
    ),
    Example(
        "asg_log",
        {"limit": 1},
        {
            "ref": "main",
            "commits": [
                {
                    "commit": "<drain>",
                    "parents": ["<seen>"],
                    "agent": "night-watch",
                    "category": "Fix",
                    "description": "Take node-3 out of rotation",
                    "confidence": 0.73,
                    "tags": ["incident"],
                    "at": "<time>",
                }
            ],
            "next_cursor": "<more>",
        },
        "The last commit.",
    ),
    Example(
        "asg_query",
        {"filters": {"tags": ["incident"], "confidence_max": 0.8}},
        {
            "ref": "main",
            "items": [{"commit": "<drain>", "agent": "night-watch", "confidence": 0.73}],
            "next_cursor": "",
        },
        "Changes made in incidents by agents that were not sure.",
    ),
    Example(
        "asg_revert",
        {
            "commits": ["<drain>"],
            "intent_description": "The alert was a faulty sensor",
            "provenance": {"agent": "morning-shift"},
        },
        {
            "commit": "<undo>",
            "ref": "main",
            "parent": "<drain>",
            "reverted": ["<drain>"],
            "changed": 1,
            "conflicts": [],
        },
        "One commit undone; later work of others would have come back as conflicts.",
    ),
    Example(
        "asg_delete",
        {
            "path": "/alerts/0",
            "intent_category": "Fix",
            "intent_description": "Remove the false alert",
            "provenance": {"agent": "morning-shift"},
        },
        {"commit": "<gone>", "ref": "main", "parent": "<undo>", "changed": 1},
        "A path removed; blame still explains it.",
    ),
)
