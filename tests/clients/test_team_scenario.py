"""A planner, two workers and an auditor, each with a server process of its own, on one store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.agents import Refused, agent, run_program

WHY = {"intent_category": "Refine", "intent_description": "A step of the test"}


async def test_delegated_work_is_bound_merged_explained_and_sealed_across_processes(tmp_path: Path) -> None:
    store = tmp_path / "state.db"
    async with agent(store, "planner") as planner:
        await planner.write("asg_set", path="/", value={"web": {"replicas": 2, "image": "v1"}, "db": {"size": 1}})
        await planner.call("asg_create_epoch", id="rollout", description="The rollout of v2")
        session = await planner.call(
            "asg_open_session",
            agent="worker",
            branch="work/web",
            path_scope=["/web"],
            intent_description="Roll out v2",
            authority="the release board",
        )
        async with agent(store, "worker", "--session", session["session"]) as worker:
            done = await worker.call("asg_set", path="/web/image", value="v2", confidence=0.8, **WHY)
            assert done["ref"] == "work/web"
            with pytest.raises(Refused, match="outside the scope"):
                await worker.call("asg_set", path="/db/size", value=9, **WHY)
            with pytest.raises(Refused, match="works on work/web"):
                await worker.call("asg_set", path="/web/image", value="v3", ref="main", **WHY)
            with pytest.raises(Refused, match="agent 'worker'"):
                await worker.call("asg_set", path="/web/image", value="v3", **WHY, provenance={"agent": "boss"})
            tried = await worker.call("asg_speculate", label="more replicas")
            with pytest.raises(Refused, match="no speculation"):
                await planner.call("asg_get", ref="spec:000000000000")
            operations = [{"op": "set", "path": "/web/replicas", "value": 5}]
            await worker.call("asg_spec_modify", handle=tried["handle"], operations=operations)
        await planner.write("asg_set", path="/web/replicas", value=3)
        merged = await planner.call("asg_merge", source="work/web", intent_description="Bring v2 in")
        assert (merged["merged"], merged["conflicts"]) == (True, [])
        image = await planner.blame("/web/image")
        assert (image["agent"], image["confidence"], image["authority"]["principal"]) == (
            "worker",
            0.8,
            "the release board",
        )
        lost = await planner.call(
            "asg_commit_spec", handle=tried["handle"], target="main", **WHY, provenance={"agent": "planner"}
        )
        assert [conflict["path"] for conflict in lost["conflicts"]] == ["/web/replicas"]
        await planner.call("asg_discard", handle=tried["handle"], lesson="Three are enough.")
        lessons = await planner.call("asg_query", target="speculations", filters={"text": "enough"})
        assert [item["lesson"] for item in lessons["items"]] == ["Three are enough."]
        await planner.call("asg_resolve", session=session["session"], outcome="fulfilled", summary="v2 is out.")
        sealed = await planner.call("asg_seal_epoch", id="rollout", summary="v2 is out.")
        assert sealed["commits"] >= 3
    async with agent(store, "auditor", "--read-only") as auditor:
        [tree] = (await auditor.call("asg_query", target="intents", filters={"intent": session["session"]}))["items"]
        assert (tree["status"], [child["agent"] for child in tree["children"]]) == ("fulfilled", ["worker"])
        [epoch] = (await auditor.call("asg_query", target="epochs"))["items"]
        assert epoch["root"] == sealed["root"]
    code, told = await run_program("verify", "--db", str(store), "--json")
    assert code == 0, told
