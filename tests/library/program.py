"""A program of eighty lines that calls every method of the library once; run on a file that others write meanwhile."""

from __future__ import annotations

import json
import sys
from threading import Thread

from pydantic import BaseModel

from asg_mcp import StateGraph


class Node(BaseModel):
    """A machine of the cluster."""

    status: str
    load: float = 0.0


def main(path: str) -> list[str]:
    """Everything once; returns the commits that were acknowledged."""
    with StateGraph(path, agent="night-shift") as graph:
        seen: list[str] = []
        watch = graph.watch("/cluster/*/status", idle_seconds=50)
        watcher = Thread(target=lambda: seen.extend(change.path for change in watch))
        watcher.start()
        done = [
            graph.set("/cluster/n1", Node(status="up"), "Add node 1.", confidence=0.9, tags=["setup"]),
            graph.set_json("/config", {"replicas": 3, "old": 1}, "Set it up.", category="Explore", intent_id="setup"),
            graph.apply([{"op": "set", "path": "/cluster/n2", "value": {"status": "up"}}], "Add node 2."),
            graph.set("/cluster/n1/status", "draining", "It is too hot.", reasoning="The probe said 95 degrees."),
            graph.update("/config/replicas", lambda replicas: replicas + 1, "One more."),
            graph.delete("/config/old", "Nobody reads it."),
        ]
        assert graph.get("/cluster/n1", as_=Node).status == "draining"
        assert graph.read("/config/replicas").value == graph.get("/config")["replicas"] == 4
        assert [match.path for match in graph.search("draining")] == ["/cluster/n1/status"]

        blame = graph.blame("/cluster/n1/status")
        assert (blame.agent, blame["intent"]["description"]) == ("night-shift", "It is too hot.")
        assert "95 degrees" in blame.reasoning
        assert done[3].commit in [entry.id for entry in graph.log("main", 10_000)]
        (found,) = graph.query(agent_id="night-shift", tags=["setup"], confidence_min=0.8)
        assert found.intent.category == "Checkpoint"

        graph.branch("canary", "main")
        done.append(graph.set("/config/replicas", 9, "Try nine.", ref="canary"))
        assert "canary" in [branch.name for branch in graph.list_branches()]
        assert ("/config/replicas", "replace") in [(one.path, one["op"]) for one in graph.diff("main", "canary")]
        done.append(graph.merge("canary", description="Nine it is."))
        done.append(graph.revert(done[-1].commit, "Nine was too many."))
        graph.delete_branch("canary")

        first, second, third = (graph.speculate(label=f"try {number}") for number in range(3))
        graph.spec_set(first, "/config/replicas", 5)
        graph.spec_modify(second, [{"op": "delete", "path": "/config/replicas"}])
        assert graph.spec_get(first, "/config/replicas") == 5
        assert len(graph.compare([first, second]).pairs) == 1
        done.append(graph.commit_speculation(first, "Five is enough.", category="Refine", confidence=0.8))
        graph.discard_speculation(second, "It needs a number.")
        graph.spec_set(third, "/config/mode", "safe")
        done.append(graph.commit_spec(third, "Play it safe."))
        graph.discard(graph.speculate())

        graph.create_epoch("night", "What was done tonight.", root_intents=["setup"])
        assert graph.seal_epoch("night", "All went well.").size > 0
        assert [epoch.id for epoch in graph.list_epochs()] == ["night"]
        session = graph.open_session("helper", path_scope=["/notes"])
        done.append(graph.set("/notes/a", "Look at n1.", "Leave a note.", session=session.session))
        graph.resolve("fulfilled", "The note is there.", session=session.session)
        graph.plan("repair", "Mend node 1.", ["Cool it", "Put it back"])
        task = graph.next_task("repair", claim=True).task
        assert task is not None
        graph.update_task("repair", task.id, "complete", proof="It has 40 degrees.")
        assert graph.migrate("check").state == "unversioned"
        graph.set("/cluster/n1/status", "up", "It is cool again.")
        while seen.count("/cluster/n1/status") < 3 and watcher.is_alive():
            watcher.join(0.01)
        watch.close()
        watcher.join()
        assert seen.count("/cluster/n1/status") == 3
        return [write.commit for write in done]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1])))
