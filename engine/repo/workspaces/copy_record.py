"""What a later process needs to continue in a workspace: its copy's record, and an update that was under way.

The files lie beside the copy, where no agent can write them. They survive the end of the process, not that of the
machine: a copy whose files may not have reached the disk has another boot id than the machine, and begins anew.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import MsgspecError, Struct, msgpack

from engine.domain.types import AgentId, CommitId
from engine.repo.changes.scan import Stamp
from engine.repo.workspaces.boot import boot_id
from engine.repo.workspaces.copy_methods import Copy, overlay_mount
from engine.sandbox.guarantees import CopyMethod
from engine.sandbox.mounts import Mount

RECORD, STAMPS, UPDATE = "record", "stamps", "update"


class CopyRecord(Struct, frozen=True):
    """A workspace's state beside its files. `commit` is what its `layers` show, `root` where commands find it."""

    agent: AgentId
    commit: CommitId
    base: CommitId
    method: CopyMethod
    layers: tuple[bytes, ...]
    root: bytes
    boot: str
    tracked: tuple[bytes, ...] = ()
    """Paths that count as tracked although the commit lacks them."""
    trunk_history: bool = False
    caches: tuple[bytes, ...] = ()
    """The layers below its home."""


class Update(Struct, frozen=True):
    """Which paths to remove and which to write (path, mode, content), so that the files are those of a newer `base`."""

    base: CommitId
    removed: tuple[bytes, ...]
    written: tuple[tuple[bytes, int, bytes], ...]


def write_record(folder: Path, record: CopyRecord) -> None:
    """Write the record, which ends an update that was under way. Raises OSError."""
    _write(folder / RECORD, msgpack.encode(record))
    (folder / UPDATE).unlink(missing_ok=True)


def write_stamps(folder: Path, stamps: Mapping[str, Stamp]) -> None:
    """Write the first stats of a full copy's files. Raises OSError."""
    _write(folder / STAMPS, msgpack.encode({os.fsencode(path): stamp for path, stamp in stamps.items()}))


def write_update(folder: Path, update: Update) -> None:
    """Write an update before it begins. Raises OSError."""
    _write(folder / UPDATE, msgpack.encode(update))


def read_record(folder: Path) -> CopyRecord | None:
    """The record of a copy whose files are as they were left; None if there is none."""
    try:
        record = msgpack.decode((folder / RECORD).read_bytes(), type=CopyRecord)
    except (OSError, MsgspecError):
        return None
    return record if record.boot and record.boot == boot_id() else None


def read_update(folder: Path) -> Update | None:
    """The update that was under way, if there was one. Raises OSError, MsgspecError."""
    try:
        return msgpack.decode((folder / UPDATE).read_bytes(), type=Update)
    except FileNotFoundError:
        return None


def read_copy(folder: Path, record: CopyRecord) -> Copy:
    """The copy as an earlier process left it. Raises OSError, MsgspecError when a part of it is missing."""
    if record.method is CopyMethod.OVERLAY:
        layers, caches = ([Path(os.fsdecode(layer)) for layer in found] for found in (record.layers, record.caches))
        for part in (folder / "upper", folder / "work", *layers, *caches):
            part.stat()
        return Copy(folder, overlay_mount(folder, layers, caches), folder / "upper", None)
    files = folder / "files"
    files.stat()
    stamps = msgpack.decode((folder / STAMPS).read_bytes(), type=dict[bytes, Stamp])
    return Copy(folder, Mount(bind=str(files)), files, {os.fsdecode(path): stamp for path, stamp in stamps.items()})


def _write(file: Path, content: bytes) -> None:
    new = file.with_suffix(".new")
    new.write_bytes(content)
    new.replace(file)
