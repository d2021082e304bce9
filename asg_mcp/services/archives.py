"""Archives of whole repositories: their manifest, their keys, and the evidence of the epochs that were sealed.

    keys.cbor             class key, salt of levels, sensitive prefixes with their keys: whoever has them can read all
    commits.cborseq       see repo.archiving, for these three
    events.cborseq
    refs.cborseq
    bundles/000001.zip    the evidence bundle of each epoch that was sealed and signed, in the order of the seals
    manifest.json         how far the log had come, signed where the store has a key; sizes and hashes of the files

See services.archivefile for the form of the file that they are in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import anyio.to_thread
from blake3 import blake3

from asg_mcp.core.classes import ValueClass
from asg_mcp.core.commitments import CLASS_KEY_BYTES
from asg_mcp.core.limits import ARCHIVE_MANIFEST_BYTES_MAX, BUNDLE_BYTES_MAX, CLASSES_MAX
from asg_mcp.core.notes import Checkpoint, Signer, parse_note, parse_verifier_key
from asg_mcp.core.paths import format_path
from asg_mcp.core.refs import check_ref_name
from asg_mcp.core.values import decode_block, encode
from asg_mcp.errors import AsgError, Conflict, InvalidArgument, LimitExceeded, Pruned, StoreIncompatible
from asg_mcp.evidence.verify import Unreadable, opened_archive
from asg_mcp.evidence.verify import verify as verify_bundle
from asg_mcp.repo.archived import Malformed, damaged, place
from asg_mcp.repo.archiving import VERSIONS, Exporting, Progress
from asg_mcp.repo.classing import NAME_CHARS, NAME_CHARS_MAX
from asg_mcp.repo.importing import ArchiveHead, SourceLog
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.view import View
from asg_mcp.services.archivefile import CHUNK_BYTES, ArchiveWriter, Part, content_of, read_parts, records_of
from asg_mcp.services.bundles import bundle_in, verifier_source
from asg_mcp.services.files import make_folder, remove, write_whole
from asg_mcp.services.signing import is_signed

FORMAT = "asg-mcp repository"
KEYS, COMMITS, EVENTS, REFS = "keys.cbor", "commits.cborseq", "events.cborseq", "refs.cborseq"
MANIFEST = "manifest.json"
_BUNDLE_BYTES_MORE = 1_000_000
"""What the form of a bundle adds to its files."""
_KEYS_BYTES_MAX = 1_000_000
_OTHER_PROGRAM = "P14"
"""A bundle whose derived files another version of this program made is one still: all that it shows was checked."""


@dataclass(frozen=True, slots=True)
class Exported:
    """An archive that was written."""

    size_bytes: int
    sha256: str
    checkpoint: Checkpoint
    signed: bool
    counts: Mapping[str, int]
    classes: tuple[str, ...]
    """Sensitive prefixes whose keys are in it."""
    epochs: Mapping[str, bool]
    """The sealed epochs, and whether the bundle of each is in it: not where it is unsigned, too large, or pruned."""


# --- writing ------------------------------------------------------------------------


async def write_archive(
    repo: Repository, file: BinaryIO, class_key: Callable[[str], str], signer: Signer | None, progress: Progress
) -> Exported:
    """Write one moment of a repository to an empty file: the same repository gives the same bytes.

    `class_key` gives the key of a sensitive prefix as hex digits. Without a signer the checkpoint is not signed. Raises
    Withheld where such a key is not there, LimitExceeded, StoreCorrupt and OSError.
    """
    archive = ArchiveWriter(file)
    told, classes = await repo.read(lambda view: _write_files(view, archive, class_key, progress))
    checkpoint = told.pop("log")
    told["checkpoint"] = {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}
    told["format"] = FORMAT
    told["files"] = {part.name: {"bytes": part.size, "sha256": part.sha256} for part in archive.parts}
    note = key = ""
    if signer is not None:
        key = str(await anyio.to_thread.run_sync(signer.key, checkpoint.origin))
        note = str(await anyio.to_thread.run_sync(signer.sign, checkpoint.origin, _signed_text(checkpoint, told, key)))
    told |= {"note": note, "key": key}
    archive.add(MANIFEST, [_json(told)])
    size = archive.end()
    digest = await anyio.to_thread.run_sync(_sha256, file)
    epochs = {one["epoch"]: one["file"] is not None for one in told["epochs"]}
    return Exported(size, digest, checkpoint, bool(note), told["counts"], classes, epochs)


def _signed_text(checkpoint: Checkpoint, manifest: Mapping[str, Any], key: str) -> str:
    """What is signed: the checkpoint of the log, and as its extension the hash of all else that the archive has."""
    return f"{checkpoint.text}archive {sha256(_json({**manifest, 'note': '', 'key': key})).hexdigest()}\n"


def _write_files(
    view: View, archive: ArchiveWriter, class_key: Callable[[str], str], progress: Progress
) -> tuple[dict[str, Any], tuple[str, ...]]:
    exporting = Exporting(view.reader, view.hasher, progress)
    keys = exporting.keys()
    live = tuple(group.name for group in view.hasher.classes.all if not group.destroyed)
    keys["class_keys"] = {name: class_key(name) for name in live}
    archive.add(KEYS, [encode(keys)])
    archive.add(COMMITS, _pieces(exporting.commits()))
    archive.add(EVENTS, _pieces(exporting.events()))
    archive.add(REFS, _pieces(exporting.refs()))
    epochs: list[dict[str, Any]] = []
    sealed = exporting.sealed()
    for number, record in enumerate(sealed, 1):
        data = _bundle(view, record.key)
        progress("bundles", number, len(sealed))
        name = None if data is None else f"bundles/{sum(one['file'] is not None for one in epochs) + 1:06}.zip"
        if data is not None and name is not None:
            archive.add(name, [data])
        size = int(record.data["size"])
        epochs.append({"epoch": record.key, "size": size, "root": exporting.root_at(size).hex(), "file": name})
    told = {"counts": exporting.counts, "version": exporting.version}
    return {"log": exporting.checkpoint(), "epochs": epochs, **told}, live


def _bundle(view: View, epoch: str) -> bytes | None:
    try:
        return bundle_in(view, epoch).data
    except (Conflict, LimitExceeded, Pruned):  # not signed yet, larger than bundles are, or a member is gone
        return None


def _pieces(records: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of some size."""
    held, size = list[bytes](), 0
    for record in records:
        held.append(record)
        size += len(record)
        if size >= CHUNK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def _sha256(file: BinaryIO) -> str:
    file.seek(0)
    digest = sha256()
    while piece := file.read(CHUNK_BYTES):
        digest.update(piece)
    return digest.hexdigest()


def _json(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told, indent=1, sort_keys=True).encode() + b"\n"


# --- reading ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ArchivedKeys:
    """The keys in an archive."""

    class_key: bytes
    level_salt: bytes
    classes: tuple[ValueClass, ...]
    class_keys: Mapping[str, str]


class ArchiveFile:
    """An archive in an open file; see `repo.importing.Archive`. Making one checks its form, its keys and its note.

    Raises ArchiveDamaged, and StoreIncompatible for an archive of a newer program.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        parts = read_parts(file)
        with place("The manifest"):
            told = self._manifest(parts)
            self._parts = {part.name: part for part in self._told_parts(parts, told["files"])}
            epochs = [(one["epoch"], one["size"], bytes.fromhex(one["root"]), one["file"]) for one in told["epochs"]]
            self._check_names(parts, [name for *_, name in epochs if name is not None])
            checkpoint = told["checkpoint"]
            head = ArchiveHead(
                Checkpoint(checkpoint["origin"], checkpoint["size"], bytes.fromhex(checkpoint["root"])),
                told["note"],
                told["key"],
                told["counts"],
                {epoch: (size, root) for epoch, size, root, _ in epochs},
                {},
                told["version"],
            )
            self.bundles = {epoch: str(name) for epoch, _, _, name in epochs if name is not None}
            """The files of the bundles, by epoch."""
            _check_head(head, told, len(epochs))
        with place(KEYS):
            self.keys = self._keys()
        classes = {group.name: (format_path(group.path), group.destroyed) for group in self.keys.classes}
        self.head = replace(head, classes=classes)

    def _manifest(self, parts: list[Part]) -> dict[str, Any]:
        if not parts or parts[-1].name != MANIFEST or parts[-1].size > ARCHIVE_MANIFEST_BYTES_MAX:
            raise Malformed("is not the last file, or is too large")
        part = parts[-1]
        self._file.seek(part.content)
        raw = self._file.read(part.size)
        told: dict[str, Any] = json.loads(raw)
        if told["format"] != FORMAT:
            raise Malformed("is that of something else")
        if type(told["version"]) is int and told["version"] > VERSIONS[-1]:
            raise StoreIncompatible(
                f"The archive has version {told['version']}, and this program reads {VERSIONS[-1]}",
                hint="Import it with the newer program that it was made with.",
            )
        digest = sha256(raw).hexdigest()
        list(content_of(self._file, replace(part, sha256=digest)))  # for its CRC
        if type(told["version"]) is not int or told["version"] not in VERSIONS or _json(told) != raw:
            raise Malformed("has another form than export-repo writes")
        return told

    def _told_parts(self, parts: list[Part], files: Mapping[str, Any]) -> Iterator[Part]:
        if [part.name for part in parts[:-1]] != sorted(files, key=_order) or len(parts) != len(files) + 1:
            raise Malformed("tells of other files than there are")
        for part in parts[:-1]:
            told = files[part.name]
            if told != {"bytes": part.size, "sha256": str(told["sha256"])}:
                raise Malformed(f"tells another size of {part.name}")
            yield replace(part, sha256=told["sha256"])

    def _check_names(self, parts: list[Part], bundles: list[str]) -> None:
        numbered = [f"bundles/{number:06}.zip" for number in range(1, len(bundles) + 1)]
        if bundles != numbered or [part.name for part in parts] != [KEYS, COMMITS, EVENTS, REFS, *bundles, MANIFEST]:
            raise Malformed("has other files than export-repo writes, or another order")

    def _keys(self) -> ArchivedKeys:
        part = self._parts[KEYS]
        if part.size > _KEYS_BYTES_MAX:
            raise Malformed("is too large")
        told = decode_block(b"".join(content_of(self._file, part)))
        classes = tuple(ValueClass(name, tuple(map(str, path)), gone) for name, path, gone in told["classes"])
        keys = ArchivedKeys(
            bytes.fromhex(told["class_key"]),
            bytes.fromhex(told["level_salt"]),
            classes,
            dict(told["class_keys"]),
        )
        again = {
            "class_key": keys.class_key.hex(),
            "level_salt": keys.level_salt.hex(),
            "classes": [[group.name, list(group.path), bool(group.destroyed)] for group in classes],
            "class_keys": {group.name: str(keys.class_keys[group.name]) for group in classes if not group.destroyed},
        }
        if encode(again) != encode(told) or {len(keys.class_key), len(keys.level_salt)} != {CLASS_KEY_BYTES}:
            raise Malformed("has another form than export-repo writes")
        names = {group.name for group in classes if group.path and 0 < len(group.name) <= NAME_CHARS_MAX}
        if len(names) != len(classes) or not NAME_CHARS.issuperset("".join(names)) or len(names) > CLASSES_MAX:
            raise Malformed("has a class of another form, or two of one name")
        if any(bytes.fromhex(key).hex() != key or len(key) != 2 * CLASS_KEY_BYTES for key in keys.class_keys.values()):
            raise Malformed("has a class key of another form")
        return keys

    def commits(self) -> Iterator[Any]:
        """See Archive."""
        return records_of(self._file, self._parts[COMMITS])

    def events(self) -> Iterator[Any]:
        """See Archive."""
        return records_of(self._file, self._parts[EVENTS])

    def refs(self) -> Iterator[Any]:
        """See Archive."""
        return records_of(self._file, self._parts[REFS])

    def bundle(self, epoch: str) -> bytes:
        """The evidence bundle of a sealed epoch. Raises ArchiveDamaged."""
        part = self._parts[self.bundles[epoch]]
        if part.size > BUNDLE_BYTES_MAX + _BUNDLE_BYTES_MORE:
            raise damaged(part.name, "is larger than a bundle can be")
        return b"".join(content_of(self._file, part))

    def check_bundles(self, source: SourceLog, progress: Progress) -> None:
        """Verify every bundle, each against the root that the log had at its seal. Raises ArchiveDamaged."""
        for number, epoch in enumerate(self.bundles, 1):
            name = self.bundles[epoch]
            with place(name):
                try:
                    ev = verify_bundle(opened_archive(self.bundle(epoch)), None, verifier_source(), _blake3)
                except Unreadable as error:
                    raise Malformed(str(error)) from error
                violated = [one for one in ev.findings.violated if one != _OTHER_PROGRAM]
                if violated:
                    raise Malformed(f"does not verify: {ev.findings.reasons(violated[0])[0]}")
                if (ev.epoch, (ev.sealing.size, ev.sealing.root)) != (epoch, source.sealed[epoch]):
                    raise Malformed(f"is not the bundle of epoch {epoch} in this log")
            progress("bundles", number, len(self.bundles))


def _order(name: str) -> tuple[int, str]:
    fixed = (KEYS, COMMITS, EVENTS, REFS)
    return (fixed.index(name), "") if name in fixed else (len(fixed), name)


def _check_head(head: ArchiveHead, told: Mapping[str, Any], epochs: int) -> None:
    """Raise Malformed unless the manifest has what it must, of the right types, and a signature that holds."""
    counts = head.counts
    numbers = [head.checkpoint.size, *(size for size, _ in head.sealed.values()), *counts.values()]
    if set(counts) != {"commits", "events", "refs", "salts"} or any(type(number) is not int for number in numbers):
        raise Malformed("has counts of another form")
    names = ("epoch", "size", "root", "file")
    again = {
        "checkpoint": {name: told["checkpoint"][name] for name in ("origin", "size", "root")},
        "epochs": [{name: one[name] for name in names} for one in told["epochs"]],
        **{name: told[name] for name in ("note", "key", "counts", "files", "format", "version")},
    }
    if _json(again) != _json(told) or len(head.sealed) != epochs or {*map(type, head.sealed)} - {str}:
        raise Malformed("has more, or less, than export-repo writes")
    for epoch in head.sealed:
        check_ref_name(epoch)
        if "/" in epoch:
            raise Malformed(f"has an epoch {epoch!r}, which is no name for one")
    if type(head.note) is not str or type(head.key) is not str or bool(head.note) is not bool(head.key):
        raise Malformed("has a note without a key, or a key without a note")
    if head.note:
        note, key = parse_note(head.note.encode()), parse_verifier_key(head.key)
        if note.text != _signed_text(head.checkpoint, told, head.key):
            raise Malformed("has a signature of something else than this archive")
        if key.name != head.checkpoint.origin or len(note.signatures) != 1 or not is_signed(note, key):
            raise Malformed("has a checkpoint whose signature does not hold")
        if (str(note), str(key)) != (head.note, head.key):
            raise Malformed("has a note or a key of another form")


def check_signer(head: ArchiveHead, key: str) -> None:
    """Raise InvalidArgument unless the archive's checkpoint was signed by this public key."""
    wanted = parse_verifier_key(key)
    if head.key != str(wanted):
        signed = f"signed by {head.key}" if head.key else "not signed"
        raise InvalidArgument(
            f"The checkpoint in the archive is {signed}, and not by {wanted}",
            hint="Ask whoever exported it, by another way than the archive, which key is the store's.",
        )


def bundle_files(archive: ArchiveFile, folder: Path) -> dict[str, Path]:
    """Where the bundles go that are written to a folder, by epoch. Raises InvalidArgument where something is there."""
    files = {epoch: folder / f"{epoch}.zip" for epoch in archive.bundles}
    for file in files.values():
        if file.exists():
            raise InvalidArgument(f"There is a file already: {file}", hint="Give another folder for the bundles.")
    return files


def write_bundles(archive: ArchiveFile, files: Mapping[str, Path]) -> None:
    """Write the bundles to where they go: all of them, or none. Raises OSError and ArchiveDamaged."""
    written: list[Path] = []
    try:
        for epoch, file in files.items():
            make_folder(file.parent)
            write_whole(file, archive.bundle(epoch))
            written.append(file)
    except (AsgError, OSError):
        remove(written)
        raise


def _blake3(data: Any) -> bytes:
    return blake3(data).digest()
