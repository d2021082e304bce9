"""The cache keeps what was used last, within its bytes."""

from __future__ import annotations

from asg_mcp.storage.cache import ByteCache


def test_what_was_used_longest_ago_goes_first() -> None:
    cache: ByteCache[str] = ByteCache(30)
    for number in (1, 2, 3):
        cache.put(number, str(number), 10)
    assert cache.get(1) == "1"
    cache.put(4, "4", 10)
    assert [cache.get(number) for number in (1, 2, 3, 4)] == ["1", None, "3", "4"]
    assert cache.size_bytes == 30


def test_putting_again_counts_once_and_clearing_forgets() -> None:
    cache: ByteCache[str] = ByteCache(30)
    cache.put(1, "a", 20)
    cache.put(1, "b", 10)
    assert (cache.get(1), cache.size_bytes) == ("b", 10)
    cache.clear()
    assert (cache.get(1), cache.size_bytes) == (None, 0)


def test_one_item_larger_than_the_cache_is_kept_alone() -> None:
    cache: ByteCache[str] = ByteCache(30)
    cache.put(1, "a", 10)
    cache.put(2, "b", 100)
    assert (cache.get(1), cache.get(2)) == (None, "b")
