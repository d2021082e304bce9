"""How far a run of `verify` has come: a file beside the store's high-water marks, outside of the store."""

from __future__ import annotations

import logging

from asg_mcp.services.files import make_folder, write_whole
from asg_mcp.services.marks import MarkFiles

logger = logging.getLogger(__name__)
_NAME = "verify.json"


class RunFile:
    """See `repo.verifying_scope.Journal`. A file that cannot be written costs the run nothing but its going on."""

    def __init__(self, marks: MarkFiles) -> None:
        self._marks = marks

    def load(self, store: str) -> bytes:
        """See Journal."""
        try:
            return (self._marks.folder(store) / _NAME).read_bytes()
        except OSError:
            return b""

    def save(self, store: str, content: bytes) -> None:
        """See Journal."""
        folder = self._marks.folder(store)
        try:
            make_folder(folder)
            write_whole(folder / _NAME, content)
        except OSError as error:
            logger.warning("How far verify has come was not kept: %s", error)

    def clear(self, store: str) -> None:
        """See Journal."""
        try:
            (self._marks.folder(store) / _NAME).unlink(missing_ok=True)
        except OSError as error:
            logger.warning("What an earlier run of verify left could not be removed: %s", error)
