"""What the SDK wants of the streams that it is given besides their messages."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Stream:
    """A stream that the SDK enters and leaves as a context, which closes it."""

    async def aclose(self) -> None:
        """Nothing, where whoever opened what is behind the stream closes it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()
