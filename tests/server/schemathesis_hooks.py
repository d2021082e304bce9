"""Loaded by schemathesis in a process of its own: makes what it sends meet what the store holds.

Random texts name no branch, plan or handle, and most calls would end in a 404. So in most valid requests the texts that
name something are replaced by names that are there, from the file that ASG_NAMES names. What is meant to be refused is
left alone.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import schemathesis

LEFT_ALONE = 0.3
"""Of the valid requests."""
DROPPED = 0.7
"""Of each of the arguments that a call needs not, and that random ones make fail."""
_OPTIONAL = frozenset({"session", "expected_head", "expected_object", "provenance", "cursor", "confidence", "tags"})
_RANDOM = random.Random(1)
_NAMES: dict[str, list[str]] = json.loads(Path(os.environ["ASG_NAMES"]).read_text())


@schemathesis.hook
def before_call(_: Any, case: Any, __: Any) -> None:
    if case.meta is None or not case.meta.generation.mode.is_positive or _RANDOM.random() < LEFT_ALONE:
        return
    for part in (case.body, case.query, case.path_parameters):
        if isinstance(part, dict):
            _fill(part)


def _fill(part: dict[str, Any]) -> None:
    for name, given in list(part.items()):
        if name in _OPTIONAL and _RANDOM.random() < DROPPED:
            del part[name]
        elif name in _NAMES and isinstance(given, str):
            part[name] = _RANDOM.choice(_NAMES[name])
        elif name in _NAMES and isinstance(given, list) and all(isinstance(item, str) for item in given):
            part[name] = [_RANDOM.choice(_NAMES[name]) for _ in given]
        elif isinstance(given, list):
            for item in given:
                if isinstance(item, dict):
                    _fill(item)
