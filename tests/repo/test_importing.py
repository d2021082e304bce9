"""The log that an archive tells of, gone through once."""

from __future__ import annotations

from hashlib import sha256

import pytest

from asg_mcp.core.merkle import EMPTY_ROOT, root_of_leaves
from asg_mcp.repo.importing import GrowingRoot


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 64, 100, 257])
def test_a_root_that_grows_leaf_by_leaf_is_that_over_all_leaves_at_hand(size: int) -> None:
    leaves = [sha256(b"%d" % number).digest() for number in range(size)]
    growing = GrowingRoot()
    assert growing.root() == EMPTY_ROOT
    for number, leaf in enumerate(leaves, 1):
        growing.add(leaf)
        assert growing.root() == root_of_leaves(leaves[:number])
    assert growing.size == size
