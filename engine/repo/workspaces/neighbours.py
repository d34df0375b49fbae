"""Finds the line end that the files beside a new file have, for projects whose `.gitattributes` name none."""

from pathlib import PurePosixPath

from engine.ports.protocols import Workspace, WorkspaceError

MAX_LISTED = 500
MAX_READ = 5
"""Files to read per folder."""
MAX_BYTES = 256 << 10


async def line_end_beside(workspace: Workspace, path: str) -> bytes:
    """What most lines end in, in files with the same suffix or else in any, of the nearest folder that has some.

    LF if there are none. Scripts do not count: they have to end lines in LF.
    """
    new = PurePosixPath(path)
    for folder in new.parents:
        try:
            entries = await workspace.list_files(str(folder), 1, MAX_LISTED)
        except WorkspaceError:
            continue  # it is made with the file
        files = [PurePosixPath(entry.path) for entry in entries if 0 < entry.size <= MAX_BYTES]
        alike = [file for file in files if file.suffix == new.suffix and file.name != new.name]
        for group in (alike, files):
            if found := await _most_common(workspace, group[:MAX_READ]):
                return found
    return b"\n"


async def _most_common(workspace: Workspace, files: list[PurePosixPath]) -> bytes:
    """The line end of most lines; empty if there are no lines."""
    lines = with_cr = 0
    for file in files:
        try:
            content = await workspace.read_file(str(file))
        except WorkspaceError:
            continue
        if b"\0" not in content and not content.startswith(b"#!"):
            lines += content.count(b"\n")
            with_cr += content.count(b"\r\n")
    return b"" if not lines else b"\r\n" if with_cr * 2 > lines else b"\n"
