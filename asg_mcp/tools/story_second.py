"""The second chapter of the story: several agents, and evidence of what they did."""

from __future__ import annotations

from asg_mcp.tools.examples import Example

SECOND: tuple[Example, ...] = (
    Example(
        "asg_open_session",
        {
            "agent": "upgrader",
            "branch": "work/upgrade",
            "path_scope": ["/cluster"],
            "intent_description": "Bring the cluster to v42",
            "authority": {"principal": "on-call"},
            "expires": "3600",
        },
        {"session": "<session>", "agent": "upgrader", "branch": "work/upgrade", "scope": ["/cluster"]},
        "A branch and paths for one agent. What it writes with the session is bound by both.",
    ),
    Example(
        "asg_set",
        {
            "session": "<session>",
            "path": "/cluster/node-3/image",
            "value": "v42",
            "intent_category": "Refine",
            "intent_description": "Upgrade node-3 first",
            "confidence": 0.8,
            "provenance": {"intent_id": "upgrade-node-3"},
        },
        {"commit": "<first>", "ref": "work/upgrade", "changed": 1},
        "Written in the session: its agent, its branch, its authority.",
    ),
    Example(
        "asg_set",
        {
            "path": "/cluster/node-3/image",
            "value": "v41.1",
            "intent_category": "Fix",
            "intent_description": "Patch the driver",
            "provenance": {"agent": "night-watch"},
        },
        {"commit": "<patch>", "ref": "main", "changed": 1},
        "Meanwhile, on main.",
    ),
    Example(
        "asg_merge",
        {"source": "work/upgrade", "intent_description": "Bring the upgrade in", "provenance": {"agent": "planner"}},
        {
            "merged": False,
            "ref": "main",
            "conflicts": [
                {
                    "path": "/cluster/node-3/image",
                    "base": "v41",
                    "ours": "v41.1",
                    "theirs": "v42",
                    "rule": "scalar",
                    "ours_by": {"commit": "<patch>", "agent": "night-watch"},
                    "theirs_by": {"commit": "<first>", "agent": "upgrader"},
                }
            ],
        },
        "Both sides changed one path: nothing is written, and the conflict says who did what.",
    ),
    Example(
        "asg_merge",
        {
            "source": "work/upgrade",
            "intent_description": "Bring the upgrade in; it has the patch",
            "resolutions": [{"path": "/cluster/node-3/image", "take": "theirs"}],
            "provenance": {"agent": "planner"},
        },
        {"merged": True, "commit": "<merged>", "ref": "main", "parent": "<patch>", "changed": 1, "conflicts": []},
        "The same call with the choice finishes it. Blame names the upgrader, not the merger.",
    ),
    Example(
        "asg_resolve",
        {
            "session": "<session>",
            "outcome": "partially_fulfilled",
            "summary": "node-3 runs v42; the others wait for a window.",
            "observed": "latency 180 ms",
            "deviations": [{"description": "only one node was upgraded", "impact": "the cluster runs two images"}],
        },
        {"intent": "<session>", "outcome": "partially_fulfilled", "children": []},
        "What became of it, once it is known. The session is closed.",
    ),
    Example(
        "asg_query",
        {"target": "intents", "filters": {"has_deviations": True}},
        {
            "items": [
                {
                    "intent": "<session>",
                    "agent": "upgrader",
                    "status": "partially_fulfilled",
                    "children": [{"intent": "upgrade-node-3", "status": "open"}],
                }
            ]
        },
        "Intents that did not go as meant, with what was done for them.",
    ),
    Example(
        "asg_speculate",
        {"label": "spread over three zones"},
        {"handle": "<zones>", "changed": 0},
        "A private copy of main, whatever its size.",
    ),
    Example(
        "asg_speculate",
        {"label": "one larger node"},
        {"handle": "<larger>", "changed": 0},
        "Another way to try.",
    ),
    Example(
        "asg_spec_modify",
        {
            "handle": "<zones>",
            "operations": [{"op": "set", "path": "/cluster/zones", "value": ["a", "b", "c"]}],
        },
        {"handle": "<zones>", "changed": 4},
        "Nobody else sees this; read it at the ref `spec:` and the handle.",
    ),
    Example(
        "asg_spec_modify",
        {"handle": "<larger>", "operations": [{"op": "set", "path": "/cluster/node-3/cpus", "value": 64}]},
        {"handle": "<larger>", "changed": 1},
        "The other way.",
    ),
    Example(
        "asg_compare",
        {"handles": ["<zones>", "<larger>"]},
        {"speculations": [{"handle": "<zones>"}, {"handle": "<larger>"}], "pairs": [{}]},
        "Each against where it began, and against the other.",
    ),
    Example(
        "asg_discard",
        {"handle": "<larger>", "lesson": "No machine of that size is free before March."},
        {"handle": "<larger>", "lesson": "No machine of that size is free before March."},
        "Dropped; what was learned stays findable.",
    ),
    Example(
        "asg_commit_spec",
        {
            "handle": "<zones>",
            "intent_category": "Refine",
            "intent_description": "Spread the cluster over three zones",
            "confidence": 0.7,
        },
        {"commit": "<spread>", "ref": "main", "parent": "<merged>", "conflicts": []},
        "One commit on top of what others did meanwhile; it records the way that was not taken.",
    ),
    Example(
        "asg_plan",
        {
            "name": "upgrade",
            "description": "Every node on v42",
            "tasks": [
                {"id": "drain", "title": "Drain node-1", "priority": "high"},
                {"id": "boot", "title": "Boot node-1 on v42", "blocked_by": ["drain"]},
            ],
        },
        {"plan": {"name": "upgrade", "status": "active"}},
        "A plan with two tasks, one after the other.",
    ),
    Example(
        "asg_next_task",
        {"plan": "upgrade", "agent": "worker-1", "claim": True},
        {"task": {"id": "drain", "status": "in_progress"}},
        "The next task that is ready, claimed: no other worker gets it while the lease runs.",
    ),
    Example(
        "asg_update_task",
        {
            "plan": "upgrade",
            "task": "drain",
            "action": "complete",
            "agent": "worker-1",
            "proof": {"kind": "commit", "value": "<spread>"},
        },
        {"task": {"id": "drain", "status": "done"}},
        "Done, with a commit as the proof; `boot` is ready now.",
    ),
    Example(
        "asg_migrate",
        {"action": "apply", "to": "1.0.0"},
        {"state": "up_to_date", "from": "absent", "to": "1.0.0"},
        "The state says from now on which version of its own schema it has.",
    ),
    Example(
        "asg_create_epoch",
        {"id": "night-1", "description": "Everything done about node-3", "since": "2001-01-01"},
        {"epoch": "night-1", "state": "open"},
        "Work that belongs together, from the first day on.",
    ),
    Example(
        "asg_seal_epoch",
        {"id": "night-1", "summary": "node-3 drained and upgraded; latency recovered."},
        {"epoch": "night-1", "root": "<root>", "tag": "epoch/night-1", "bundle": "asg://epoch/night-1/bundle"},
        "Fixed for ever: members, the root of the log, and a signature over it.",
    ),
)
