"""A least-recently-used cache bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class ByteCache(Generic[T]):
    """Keeps what was used last, up to `bytes_max` by the callers' own estimates. Safe for several threads."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._items: OrderedDict[int, tuple[T, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, number: int) -> T | None:
        """What is kept under the number."""
        with self._lock:
            found = self._items.get(number)
            if found is None:
                return None
            self._items.move_to_end(number)
            return found[0]

    def put(self, number: int, item: T, size_bytes: int) -> None:
        """Keep an item, at the cost of those used longest ago."""
        with self._lock:
            old = self._items.pop(number, None)
            if old is not None:
                self._bytes -= old[1]
            self._items[number] = (item, size_bytes)
            self._bytes += size_bytes
            while self._bytes > self._bytes_max and len(self._items) > 1:
                _, (_, size) = self._items.popitem(last=False)
                self._bytes -= size

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._items.clear()
            self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """The estimate of what is kept."""
        return self._bytes
