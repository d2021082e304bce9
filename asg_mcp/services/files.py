"""Files that appear whole or not at all, and stay after a power cut: for what is kept outside a store."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

_MODE = 0o600
_FOLDER_MODE = 0o700


def make_folder(folder: Path) -> None:
    """The folder and those above it, 0700 where they are made. Raises OSError."""
    folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Put a file (0600) of this content in the place of whatever is there, durably. Raises OSError."""
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
    sync_folder(path.parent)


def new_file(path: Path) -> BinaryIO:
    """A new file (0600), to be written and read. Raises OSError, where there is one too."""
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _MODE), "w+b")


def place_new(made: Path, path: Path) -> None:
    """Give a finished file, which is durable already, its name in the same file system; it replaces nothing.

    Raises FileExistsError when there is something of that name, and OSError.
    """
    try:
        # A link is made or refused at once; a rename would replace what another process put there.
        os.link(made, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise FileExistsError(str(path)) from None
        made.rename(path)
    made.unlink(missing_ok=True)
    sync_folder(path.parent)


def remove(files: Iterable[Path]) -> None:
    """Take away the files that are there, as far as the system lets us."""
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Windows keeps them so by itself."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems refuse it, and have their own way
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
