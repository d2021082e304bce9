"""What the scanner finds, what it never takes for a secret, and that no text makes it slow."""

from __future__ import annotations

import re
from typing import Any

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.core import secretscan
from asg_mcp.core.secretrules import RULES, Rule
from asg_mcp.core.secretscan import CUES, find_secrets, may_hold_secrets
from asg_mcp.core.values import encode
from tests.kit.hostile_texts import hostile
from tests.kit.secret_samples import ALNUM, Sample, credentials, harmless, personal

SAMPLES = credentials(1) + personal()


def cut(value: Any, found: secretscan.Finding) -> str:
    """The text that a finding is about."""
    for step in found.at[:-1] if found.in_key else found.at:
        value = value[step]
    text = found.at[-1] if found.in_key else str(value)
    assert isinstance(text, str)
    return text.encode()[found.start : found.end].decode()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.rule)
@pytest.mark.parametrize("place", ["alone", "deep", "in a large document", "behind other letters"])
def test_a_credential_is_found_wherever_it_stands(sample: Sample, place: str) -> None:
    value: Any = {
        "alone": sample.value,
        "deep": [{"a": [{"b": sample.value}]}],
        "in a large document": {"pad": ["x" * 40] * 500, "z": {"n": [1, sample.value]}, "m": dict.fromkeys(ALNUM, 1)},
        "behind other letters": {"ü": "grün 🌱", "v": sample.value},
    }[place]  # fmt: skip
    (found,) = find_secrets(value)
    assert (found.rule.name, cut(value, found)) == (sample.rule, sample.secret)


@pytest.mark.parametrize("seed", range(20))
def test_each_kind_of_credential_is_found_whatever_its_characters(seed: int) -> None:
    missed = [
        sample.rule
        for sample in credentials(seed)
        if [f.rule.name for f in find_secrets(sample.value)] != [sample.rule]
    ]
    assert missed == []


@pytest.mark.parametrize("seed", range(20))
def test_what_states_hold_is_never_taken_for_a_secret(seed: int) -> None:
    values = harmless(seed)
    assert len(values) >= 100
    alarms = [(value, find_secrets(value)[0].rule.name) for value in values if find_secrets(value)]
    assert alarms == []
    assert find_secrets(values) == []


@pytest.mark.parametrize(
    "frame",
    ["export X=@@", 'X: "@@"', "f('@@')", "key=@@;x", "https://a/?token=@@&b=1", "[@@]", "\\n@@\\n", "`@@`.", "- @@\n"],
)
def test_a_token_is_found_in_the_middle_of_any_text(frame: str) -> None:
    for sample in credentials(4):
        if sample.value == sample.secret:
            assert [
                cut(frame.replace("@@", sample.secret), f) for f in find_secrets(frame.replace("@@", sample.secret))
            ]


@pytest.mark.parametrize(
    "frame",
    ['{"db": {"password": "@@"}}', "{'api_key': '@@'}", '{\\"client_secret\\": \\"@@\\"}', "Pwd=@@;", "--password @@"],
)
def test_a_generated_password_is_found_behind_its_name(frame: str) -> None:
    text = frame.replace("@@", "kX9mQ2v" + "R7!pL4z")
    assert [cut(text, found) for found in find_secrets(text)] == ["kX9mQ2v" + "R7!pL4z"]


def test_a_key_that_is_a_token_is_found_as_a_key() -> None:
    token = next(sample.secret for sample in SAMPLES if sample.rule == "github-token")
    for value in ({token: 1}, {token: {"x": [1, 2]}}, {"a": [{token: {}}], "pad": ["x" * 40] * 500}):
        (found,) = find_secrets(value)
        assert (found.in_key, found.at[-1], cut(value, found)) == (True, token, token)


def test_several_secrets_in_one_text_are_all_found() -> None:
    texts = [sample.value for sample in credentials(3) if isinstance(sample.value, str)]
    together = " and ".join(texts)
    assert len(find_secrets(together)) == len(texts)


def test_a_name_above_the_value_counts_as_one_before_it() -> None:
    secret = next(sample.secret for sample in SAMPLES if sample.rule == "assigned-secret")
    assert find_secrets(secret) == []
    (found,) = find_secrets(secret, ("db", "password"))
    assert (found.rule.name, found.at) == ("assigned-secret", ())


def test_a_secret_is_not_pieced_together_from_two_texts() -> None:
    token = next(sample.secret for sample in SAMPLES if sample.rule == "github-token")
    assert find_secrets([token[:20], token[20:]]) == []
    assert find_secrets({"a": token[:20], "b": token[20:]}) == []


def test_a_finding_does_not_hold_the_secret() -> None:
    for sample in SAMPLES:
        for found in find_secrets(sample.value):
            assert sample.secret not in repr(found)


@given(st.integers(0, 40), st.integers(0, 200), st.sampled_from(SAMPLES), st.booleans())
def test_the_first_pass_never_loses_what_the_rules_would_find(
    before: int, items: int, sample: Sample, in_map: bool
) -> None:
    pad: Any = [f"text {number}" for number in range(items)]
    value: Any = ["x" * before, pad, sample.value]
    if in_map:
        value = {"a" * (before + 1): pad, **{f"k{number}": number for number in range(items)}, "v": sample.value}
    sheet = secretscan._Sheet()
    sheet.lay_out((), (), value)
    everything = sheet.findings()
    assert set(find_secrets(value)) == set(everything)
    assert everything
    assert may_hold_secrets(encode(value))


# --- linear time ------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_pattern_has_one_group_and_no_long_counted_repeat(rule: Rule) -> None:
    """RE2 matches in time linear in the text and in its program, which counted repeats unfold into."""
    compiled = re2.compile(rule.pattern.encode())
    assert compiled.groups == 1
    counts = [int(count) for text in (rule.pattern, *rule.cues) for count in re.findall(r"[{,]([0-9]+)", text)]
    assert max(counts, default=0) <= 300
    assert isinstance(CUES, type(compiled))


def test_each_pass_over_a_hostile_text_moves_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps, not time: searches end behind where they began, and are no more than the bytes that matches take."""
    patterns = []
    for rule, cues, pattern in secretscan._RULES:
        counter = _Counter(pattern)
        patterns.append((rule, cues, counter))
    monkeypatch.setattr(secretscan, "_RULES", tuple(patterns))
    size = 20_000
    for what, value in hostile(size):
        for _, _, counter in patterns:
            counter.starts.clear()
        find_secrets(value)
        for rule, _, counter in patterns:
            assert counter.starts == sorted(set(counter.starts)), (what, rule.name)
            assert len(counter.starts) <= size // 8 + 2, (what, rule.name)


class _Counter:
    def __init__(self, pattern: Any) -> None:
        self.pattern = pattern
        self.starts: list[int] = []

    def search(self, text: bytes, at: int = 0) -> Any:
        self.starts.append(at)
        return self.pattern.search(text, at)


def test_a_deep_document_is_encoded_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def counted(value: Any) -> bytes:
        data = encode(value)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(secretscan, "encode", counted)
    deep: Any = "password=" + "x" * 50_000
    for _ in range(120):
        deep = {"secret": [deep]}
    find_secrets(deep)
    assert sum(sizes) <= 20 * 60_000
