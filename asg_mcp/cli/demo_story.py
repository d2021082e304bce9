"""The story that `demo` plays: what each agent calls, in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from asg_mcp.core.values import JsonValue

NODE = "/cluster/node-3"
STATUS = f"{NODE}/status"
VERSION = "/services/checkout/version"
NEW_VERSION = "2.4.1"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool."""

    tool: str
    arguments: Mapping[str, JsonValue]


def _node(pods: int, disk_errors: int = 0) -> JsonValue:
    return {"status": "ready", "pods": pods, "disk_errors": disk_errors}


SET_UP = Call(
    "asg_set",
    {
        "path": "/",
        "value": {
            "cluster": {"node-1": _node(14), "node-2": _node(9), "node-3": _node(11, disk_errors=37)},
            "services": {
                "checkout": {"version": "2.4.0", "replicas": 6},
                "search": {"version": "1.9.3", "replicas": 3},
            },
        },
        "intent_category": "Checkpoint",
        "intent_description": "Record the cluster as it was handed over to the night",
        "provenance": {"agent": "provisioner"},
    },
)

LOOK = Call("asg_get", {"path": NODE})

DRAIN = Call(
    "asg_apply",
    {
        "operations": [
            {"op": "set", "path": STATUS, "value": "draining"},
            {"op": "set", "path": f"{NODE}/taint", "value": "NoSchedule"},
        ],
        "intent_category": "Fix",
        "intent_description": "Drain node-3 before its disk fails",
        "reasoning": "37 disk errors in 10 minutes, twice the rate of the hour before. "
        "Its 11 pods fit on node-1 and node-2.",
        "confidence": 0.73,
        "tags": ["incident"],
        "provenance": {
            "agent": "night-watch",
            "authority": {
                "principal": "alice@ops",
                "scope": "keep the cluster serving, 22:00 to 06:00",
                "delegation_chain": [
                    {"from": "alice@ops", "to": "on-call", "scope": "nights of this week"},
                    {"from": "on-call", "to": "night-watch", "scope": "drain at most one node"},
                ],
            },
            "alternatives": [
                {"description": "Reboot node-3", "confidence": 0.2, "why_not": "the disk errors would come back"},
                {
                    "description": "Wait for the morning shift",
                    "confidence": 0.35,
                    "why_not": "at this rate the disk fails before 4 AM",
                },
            ],
            "expected": "node-3 is empty within 15 minutes, and checkout answers within 200 ms",
        },
    },
)

RELEASE = Call(
    "asg_set",
    {
        "path": VERSION,
        "value": NEW_VERSION,
        "intent_category": "Refine",
        "intent_description": "Roll out checkout 2.4.1",
        "confidence": 0.95,
        "provenance": {"agent": "release-bot"},
    },
)

ASK = Call("asg_blame", {"path": STATUS})

UNDO = Call(
    "asg_revert",
    {
        "agent": "night-watch",
        "intent_description": "The disk was replaced at 7 AM; node-3 can serve again",
        "provenance": {"agent": "bob"},
    },
)
