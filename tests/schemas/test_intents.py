"""Provenance: closed, and forgiving about the forms that people and models write."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from asg_mcp.core.intents import Category
from asg_mcp.schemas.intents import Provenance, WriteArguments


def write(**given: Any) -> WriteArguments:
    return WriteArguments.model_validate({"intent_category": "Fix", "intent_description": "Mend it", **given})


def test_plain_texts_stand_for_their_main_field() -> None:
    given = {
        "authority": "on-call",
        "alternatives": ["wait", {"description": "restart", "confidence": 0.2, "why_not": "slow"}],
        "notify": ["ops"],
    }
    assert Provenance.model_validate(given).dump() == {
        "authority": {"principal": "on-call"},
        "alternatives": [
            {"description": "wait"},
            {"description": "restart", "confidence": 0.2, "why_not": "slow"},
        ],
        "notify": [{"who": "ops"}],
    }


def test_a_delegation_chain_may_be_names_or_links() -> None:
    chain = ["board", {"from": "cto", "to": "on-call", "scope": "restarts"}]
    authority = Provenance.model_validate({"authority": {"principal": "board", "delegation_chain": chain}}).dump()
    assert authority["authority"]["delegation_chain"] == [
        {"from": "board"},
        {"from": "cto", "to": "on-call", "scope": "restarts"},
    ]


@pytest.mark.parametrize("expected", ["faster", 12, {"p99_ms": 200}, [1], None, False])
def test_what_is_expected_may_be_any_json(expected: Any) -> None:
    assert Provenance.model_validate({"expected": expected}).dump() == {"expected": expected}


def test_a_tool_call_keeps_arguments_result_and_cost() -> None:
    call = {"tool": "kubectl", "arguments": {"a": None}, "result": None, "tokens": 12, "cost": 0.01, "duration_ms": 3.5}
    assert Provenance.model_validate({"tool_calls": [call]}).dump() == {"tool_calls": [call]}


def test_a_tool_call_may_use_the_names_of_the_reference_project() -> None:
    call = Provenance.model_validate({"tool_calls": [{"tool_name": "ls", "timestamp": "2026-01-01T00:00:00Z"}]})
    assert call.tool_calls[0].tool == "ls"
    assert call.tool_calls[0].at == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "given",
    [
        {"agnet": "x"},
        {"authority": {"scope": "all"}},
        {"authority": ""},
        {"authority": {"principal": "x", "chain": []}},
        {"alternatives": [{"why_not": "slow"}]},
        {"alternatives": [{"description": "a", "confidence": 2}]},
        {"tool_calls": [{"arguments": {}}]},
        {"notify": [{"who": "x", "urgency": "someday"}]},
    ],
)
def test_what_provenance_does_not_know_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Provenance.model_validate(given)


def test_provenance_given_as_json_text_is_read() -> None:
    assert write(provenance='{"agent":"a","authority":"b"}').provenance.agent == "a"


@pytest.mark.parametrize("spelling", ["Fix", "fix", " FIX "])
def test_a_category_is_known_however_it_is_capitalised(spelling: str) -> None:
    assert write(intent_category=spelling).intent_category is Category.FIX


@pytest.mark.parametrize("missing", ["intent_category", "intent_description"])
def test_category_and_description_of_a_write_are_required(missing: str) -> None:
    given = {"intent_category": "Fix", "intent_description": "Mend it"}
    del given[missing]
    with pytest.raises(ValidationError, match=missing):
        WriteArguments.model_validate(given)


def test_an_unknown_category_is_refused_and_not_made_custom() -> None:
    with pytest.raises(ValidationError, match="Rollback"):
        write(intent_category="Repair")
