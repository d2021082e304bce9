"""The Dockerfile, as a list of instructions: as much of the format as ours uses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, with its continued lines joined."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """The exec form as it is; else what blanks separate."""
        found = json.loads(self.text) if self.text.startswith("[") else self.text.split()
        return [str(word) for word in found]

    @property
    def pairs(self) -> dict[str, str]:
        """Of ENV and LABEL: names and values."""
        return {name: value.strip('"') for name, value in re.findall(r'(\S+?)=("[^"]*"|\S+)', self.text)}


def instructions(text: str) -> list[Instruction]:
    """Every instruction of the file, in order."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n", "", "\n".join(lines))
    return [Instruction(*line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def stages(found: list[Instruction]) -> list[list[Instruction]]:
    """The instructions of each stage, each with its FROM first."""
    starts = [number for number, instruction in enumerate(found) if instruction.name == "FROM"]
    return [found[start:end] for start, end in zip(starts, [*starts[1:], len(found)], strict=True)]


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with `$NAME` and `${NAME}` replaced."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: values[found[1] or found[2]], text)


def of(found: list[Instruction], name: str) -> Iterator[Instruction]:
    """Those of one name."""
    return (instruction for instruction in found if instruction.name == name)
