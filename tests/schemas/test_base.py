"""Wire types: what is missing, what is null, and the schema that every client takes."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from asg_mcp.schemas.base import FROM_TEXT, SUMMED_UP, AnyJson, Params, Texts, Wire, json_schema
from tests.schemas.validation import faults

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class Inner(Params):
    """A docstring that nobody is sent."""

    note: Annotated[str, Field(description="A note")] = ""


class Sample(Params):
    source: Annotated[str, Field(alias="from", description="Where from")] = ""
    value: Annotated[AnyJson, Field(description="Any JSON")] = None
    count: Annotated[int | None, Field(ge=1, description="How many")] = None
    title: Annotated[str, Field(description="A field may have this name")] = "main"
    tags: Annotated[Texts, Field(default_factory=list, description="Labels")]
    inner: Annotated[list[Inner], FROM_TEXT, Field(default_factory=list, description="Notes")]
    brief: Annotated[Inner, FROM_TEXT, Field(description="Summed up", json_schema_extra=SUMMED_UP)] = Inner()


@given(JSON)
def test_any_json_keeps_its_value_and_its_type(value: Any) -> None:
    sample = Sample.model_validate({"value": value})
    assert sample.dump() == {"value": value}
    assert type(sample.value) is type(value)


@given(JSON)
def test_the_listed_schema_of_any_json_takes_any_json(value: Any) -> None:
    assert faults({"value": value}, json_schema(Sample, brief=True)) == []


@pytest.mark.parametrize("text", ["null", "[1]", '{"a":1}', "12", ""])
def test_a_string_given_as_a_value_stays_a_string(text: str) -> None:
    assert Sample.model_validate({"value": text}).value == text


def test_null_means_absent_except_where_any_json_may_stand() -> None:
    sample = Sample.model_validate({"from": None, "count": None, "tags": None, "title": None, "value": None})
    assert sample.dump() == {"value": None}
    assert sample.title == "main"


@pytest.mark.parametrize("given", [{"bogus": 1}, {"bogus": None}, {"inner": [{"bogus": None}]}])
def test_an_unknown_field_is_refused_even_when_it_is_null(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="bogus"):
        Sample.model_validate(given)


def test_the_json_text_of_an_array_or_object_is_taken_for_it() -> None:
    sample = Sample.model_validate({"inner": '[{"note":"a"}]', "brief": '{"note":"b"}', "tags": '["c"]'})
    assert sample.dump() == {"inner": [{"note": "a"}], "brief": {"note": "b"}, "tags": ["c"]}


def test_one_label_is_a_list_of_one() -> None:
    assert Sample.model_validate({"tags": "incident"}).tags == ["incident"]


@pytest.mark.parametrize("text", ["[1", "[" * 100_000])
def test_broken_json_text_is_refused_as_the_wrong_type(text: str) -> None:
    with pytest.raises(ValidationError):
        Sample.model_validate({"inner": text})


def test_a_field_travels_under_its_wire_name() -> None:
    assert Sample(source="x").dump() == {"from": "x"}  # type: ignore[call-arg]


def test_what_was_never_set_is_missing_and_none_is_null() -> None:
    class Reply(Wire):
        old: AnyJson = None
        new: AnyJson = None

    assert Reply(old=None).dump() == {"old": None}


def test_the_full_schema_is_inlined_untitled_and_without_null() -> None:
    assert json_schema(Sample)["properties"]["count"] == {"type": "integer", "description": "How many", "minimum": 1}
    assert json_schema(Sample)["properties"]["title"] == {
        "type": "string",
        "description": "A field may have this name",
        "default": "main",
    }
    assert json_schema(Sample)["properties"]["brief"]["properties"] == {
        "note": {"type": "string", "description": "A note", "default": ""}
    }


def test_the_brief_schema_sums_up_and_leaves_ranges_and_defaults_out() -> None:
    fields = json_schema(Sample, brief=True)["properties"]
    assert fields["count"] == {"type": "integer", "description": "How many"}
    assert fields["title"] == {"type": "string", "description": "A field may have this name"}
    assert fields["brief"] == {"type": "object", "description": "Summed up"}
    assert fields["inner"]["items"]["properties"] == {"note": {"type": "string", "description": "A note"}}


def test_a_type_without_fields_still_has_an_object_schema() -> None:
    class Nothing(Params):
        """No arguments."""

    assert json_schema(Nothing) == {"type": "object", "properties": {}, "additionalProperties": False}
