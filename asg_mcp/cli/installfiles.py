"""The file of a client: read with care, changed in one member, written whole, with a backup beside it.

Its owner is somebody else's program, and people edit it by hand. Whatever is not understood is left as it is, and said.
"""

from __future__ import annotations

import glob
import os
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import portalocker

from asg_mcp import config
from asg_mcp.cli.installentries import is_ours, shown
from asg_mcp.cli.installjson import Document, NotEditable
from asg_mcp.core.limits import CLIENT_CONFIG_BYTES_MAX
from asg_mcp.errors import AsgError
from asg_mcp.services.files import make_folder, new_file, place_new, sync_folder

_MARK = "\ufeff"
_PROJECT_MODE = 0o644
_USER_MODE = 0o600
_LOCK = "install.lock"
_LOCK_SECONDS_MAX = 10.0


class ClientConfigError(AsgError):
    """The configuration of a client cannot be used or changed; it is as it was."""

    code = "client_config_error"


class ClientConfigBroken(ClientConfigError):
    """It is no JSON that its client could read, or has no one place for a server."""

    code = "client_config_broken"


class ClientConfigUnusable(ClientConfigError):
    """The system does not let this user read or write it."""

    code = "client_config_unusable"


class ServerNameTaken(ClientConfigError):
    """Under the name is something else."""

    code = "server_name_taken"


@dataclass(frozen=True, slots=True)
class Place:
    """A file, and how much its client takes."""

    path: Path
    title: str
    """Of the client."""
    takes_comments: bool
    within: Path | None = None
    """The folder that the file must not leave by a link: a project may be somebody else's."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of a file."""

    state: str
    """added, updated, unchanged or removed."""
    file: Path
    backup: Path | None = None
    entry: dict[str, Any] | None = None
    """The entry as it was before."""


def put_server(place: Place, keys: tuple[str, str], entry: dict[str, Any], *, replace: bool) -> Changed:
    """Have the client start a server by this entry, under `keys`: the container and the name.

    Other fields of an entry of ours stay, and so do other variables in its `env`. Raises ServerNameTaken for an entry
    that says something else, unless it is one of ours and `replace`; ClientConfigBroken and ClientConfigUnusable.
    """
    with _alone():
        file = _File(place)
        before = file.entry(keys)
        wanted = _merged(before or {}, entry)
        if before == wanted:
            return Changed("unchanged", file.path, entry=before)
        if before is not None:
            _check_ours(file.path, keys[1], before)
            if not replace:
                raise ServerNameTaken(
                    f"{place.title} has {keys[1]} already, started in another way: {file.path}",
                    hint="--force replaces its command and arguments, and keeps a backup; --name adds a second server.",
                    file=str(file.path),
                    has=shown(before),
                    wanted=entry,
                )
        backup = file.put(keys, before, wanted)
        return Changed("added" if before is None else "updated", file.path, backup, before)


def take_server(place: Place, keys: tuple[str, str]) -> Changed:
    """Take the server away again, and with it the file or the container that `put_server` made for it.

    Raises ServerNameTaken when it is none of ours; the others as `put_server` does.
    """
    with _alone():
        file = _File(place)
        before = file.entry(keys)
        if before is None:
            return Changed("unchanged", file.path)
        _check_ours(file.path, keys[1], before)
        return Changed("removed", file.path, file.take(keys, before), before)


def _merged(before: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    wanted = {**before, **entry}
    if isinstance(before.get("env"), dict) and "env" in entry:
        wanted["env"] = {**before["env"], **entry["env"]}
    return wanted


def _check_ours(path: Path, name: str, entry: dict[str, Any]) -> None:
    if not is_ours(entry):
        raise ServerNameTaken(
            f"{path} has a server called {name} that is another program",
            hint="Choose another --name.",
            file=str(path),
            has=shown(entry),
        )


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of all who change files of clients, in a folder of our own: clients have theirs beside it."""
    place = config.state_folder() / _LOCK
    try:
        make_folder(place.parent)
        lock = portalocker.Lock(str(place), mode="a", timeout=_LOCK_SECONDS_MAX)
        lock.acquire()
    except portalocker.LockException as error:
        raise ClientConfigUnusable(
            "Another install or uninstall is at work", hint="Run this again when it has ended; nothing was written."
        ) from error
    except OSError as error:
        raise ClientConfigUnusable(
            f"{place} could not be made: {error.strerror or error}", hint="Make its folder writable for you."
        ) from error
    try:
        yield
    finally:
        lock.release()


class _File:
    """The file as it was when it was read."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.path = _real(place)
        self._stamp: tuple[int, ...] | None = None
        self._mode = _USER_MODE if place.within is None else _PROJECT_MODE
        self._group = -1
        self._bytes = self._read()
        try:
            text = self._bytes.decode()
        except UnicodeDecodeError as error:
            raise ClientConfigBroken(
                f"{self.path} is no UTF-8 text", hint="Save it as UTF-8 in an editor, then run this again."
            ) from error
        self._mark = _MARK if text.startswith(_MARK) else ""
        text = text.removeprefix(_MARK)
        with self._told():
            self._document = _document(text)
        if not self._document.is_strict and not place.takes_comments:
            raise ClientConfigBroken(
                f"{self.path} has comments or a comma too many, and {place.title} reads neither",
                hint="Take them out in an editor, then run this again.",
            )

    def entry(self, keys: tuple[str, str]) -> dict[str, Any] | None:
        with self._told():
            found = self._document.get(keys)
            if found is not None and not isinstance(found, dict):
                raise NotEditable(f"What it has under {' → '.join(keys)} is no JSON object")
        return found

    def put(self, keys: tuple[str, str], before: dict[str, Any] | None, wanted: dict[str, Any]) -> Path | None:
        """Write the wanted entry in the place of the one before; the backup's name, None where there was no file."""
        changed = self._document
        with self._told():
            if before is None:
                changed = changed.put(keys, wanted)
            else:
                for key in [key for key, value in wanted.items() if before.get(key) != value]:
                    changed = changed.put((*keys, key), wanted[key])
        _check_edit(self._document, changed, keys, wanted)
        return self._replace(changed.text)

    def take(self, keys: tuple[str, str], before: dict[str, Any]) -> Path | None:
        """Write the file without the entry, as it was before `put` where nothing else changed; the backup's name."""
        container = keys[:1]
        was = self._text_before(keys[0])
        with self._told():
            if was is not None and _document(was).put(keys, before).text == self._document.text:
                _check_edit(self._document, _document(was), keys, None)
                return self._replace(was)
            changed = self._document.without(keys)
            if changed.is_bare(container) and (was is None or _document(was).get(container) is None):
                changed = changed.without(container)
        _check_edit(self._document, changed, keys, None)
        is_made = was is None and "".join(changed.text.split()) == "{}"
        return self._replace(None if is_made else changed.text)

    def _text_before(self, container: str) -> str | None:
        """What the newest backup without a server of ours has: the file before the first `put`; None without one."""
        names = self.path.parent.glob(f"{glob.escape(self.path.name)}.*Z*.bak")
        for backup in sorted(names, key=lambda name: name.lstat().st_mtime_ns, reverse=True):
            try:
                text = backup.read_bytes().decode().removeprefix(_MARK)
                servers = _document(text).value.get(container, {})
            except (OSError, ValueError):  # not ours, or not as it was
                continue
            if isinstance(servers, dict) and not any(
                isinstance(one, dict) and is_ours(one) for one in servers.values()
            ):
                return text
        return None

    def _replace(self, text: str | None) -> Path | None:
        """Give the file this text, or take it away, unless somebody else has changed it; the backup's name."""
        if self._stamp is not None and not self._mode & stat.S_IWUSR:
            raise ClientConfigUnusable(
                f"{self.path} is read-only", hint="Make it writable for you (chmod u+w), then run this again."
            )
        made = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        backup, is_done = None, False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            backup = self._back_up()
            if text is not None:
                self._write_new(made, f"{self._mark}{text}".encode())
            # Looked at as late as can be: what clients save at any moment must not be replaced by what was read before.
            if self._stamp != _stamp(self.path):
                raise self._changed()
            if text is None:
                self.path.unlink()
            elif self._stamp is None:
                place_new(made, self.path)
            else:
                made.replace(self.path)
            is_done = True
            sync_folder(self.path.parent)
        except FileExistsError as error:
            raise self._changed() from error
        except OSError as error:
            raise self._unusable(error, "written") from error
        finally:
            if self.path.parent.is_dir():
                made.unlink(missing_ok=True)
            if backup is not None and not is_done:
                backup.unlink(missing_ok=True)
        return backup

    def _write_new(self, path: Path, content: bytes) -> None:
        """A new file, durable, with the mode and the group of this one. Raises FileExistsError and OSError."""
        file = new_file(path)
        try:
            with file:
                file.write(content)
                file.flush()
                _give(file.fileno(), self._mode, self._group)
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _read(self) -> bytes:
        try:
            found = self.path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise ClientConfigUnusable(
                    f"{self.path} is no file", hint=f"Move it away, or name {self._place.title}'s file with --config."
                )
            if os.name == "posix" and found.st_uid != os.geteuid():
                raise ClientConfigUnusable(
                    f"{self.path} belongs to another user", hint="Run this as the user who runs the client."
                )
            if found.st_size > CLIENT_CONFIG_BYTES_MAX:
                raise ClientConfigUnusable(
                    f"{self.path} has more than {CLIENT_CONFIG_BYTES_MAX:,} bytes",
                    hint="Add the server by hand: --print shows what to add.",
                    limit="CLIENT_CONFIG_BYTES_MAX",
                )
            self._mode = stat.S_IMODE(found.st_mode)
            self._group = found.st_gid
            self._stamp = _stamp(self.path)
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise self._unusable(error, "read") from error

    def _back_up(self) -> Path | None:
        if self._stamp is None:
            return None
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        number, backup = 0, self.path.with_name(f"{self.path.name}.{stamp}.bak")
        while True:
            try:
                self._write_new(backup, self._bytes)
            except FileExistsError:
                number += 1
                backup = self.path.with_name(f"{self.path.name}.{stamp}-{number}.bak")
            else:
                return backup

    def _changed(self) -> ClientConfigUnusable:
        return ClientConfigUnusable(
            f"{self.path} was changed by another program just now", hint="Run this again; nothing was written."
        )

    def _unusable(self, error: OSError, what: str) -> ClientConfigUnusable:
        return ClientConfigUnusable(
            f"{self.path} could not be {what}: {error.strerror or error}",
            hint="Make it and its folder writable for you; or --print shows what to add by hand.",
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What cannot be edited, told with the file and the line."""
        try:
            yield
        except NotEditable as error:
            raise ClientConfigBroken(
                f"{self.path}, line {error.line}, column {error.column}: {error}",
                hint="It was left as it is. Mend it in an editor, then run this again; or --print shows what to add.",
                file=str(self.path),
                line=error.line,
                column=error.column,
            ) from error


def _real(place: Place) -> Path:
    """The file itself where a link leads to it; a manager of dotfiles keeps its link. Raises ClientConfigUnusable."""
    path = place.path
    try:
        real = path.resolve() if path.is_symlink() else path.parent.resolve() / path.name
    except (OSError, RuntimeError) as error:
        raise ClientConfigUnusable(f"{path} is a link that leads nowhere", hint="Remove the link.") from error
    if path.is_symlink() and not real.exists():
        raise ClientConfigUnusable(f"{path} is a link that leads nowhere", hint=f"Remove it, or make {real}.")
    if place.within is not None and not real.is_relative_to(place.within.resolve()):
        raise ClientConfigUnusable(
            f"{path} is a link out of the project, to {real}", hint="Remove the link, or name the file with --config."
        )
    return real


def _document(text: str) -> Document:
    return Document(text if text.strip() else "{}\n")


def _give(descriptor: int, mode: int, group: int) -> None:
    """Give an open file these."""
    if sys.platform == "win32":
        return
    try:
        os.fchown(descriptor, -1, group)
    except PermissionError:
        mode &= ~stat.S_IRWXG  # the rights of that group are not for another one
    os.fchmod(descriptor, mode)


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _check_edit(before: Document, after: Document, keys: tuple[str, str], expected: dict[str, Any] | None) -> None:
    """An edit of a text is checked by what it means: everything else must read as it did."""
    container, name = keys
    servers = dict(before.value.get(container, {}))
    servers.pop(name, None)
    rest = dict(after.value.get(container, {}))
    found = rest.pop(name, None)
    others = [{key: value for key, value in each.items() if key != container} for each in (before.value, after.value)]
    assert found == expected and rest == servers and others[0] == others[1], "BUG: the edit changed something else"
