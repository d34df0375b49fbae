"""Deletes what sandboxes leave: trees of any depth, even with modes that forbid it. Links are not followed."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from errno import EEXIST, ENOTDIR, ENOTEMPTY
from itertools import count
from pathlib import Path

BATCH_S = 0.1
"""Deletions between two progress calls."""
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def delete_tree(path: Path, rest: Callable[[float], None] = lambda _: None) -> None:
    """Delete a tree; what cannot be deleted stays. `rest` is called now and then with the seconds since its last call.

    Each folder is emptied once: its subfolders are moved up first, so that no path grows too long.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    with suppress(OSError):
        path.chmod(0o700)
        top = os.open(path, FOLDER)
        try:
            _delete_below(top, rest)
        finally:
            os.close(top)
        path.rmdir()


def _delete_below(top: int, rest: Callable[[float], None]) -> None:
    numbers = count()
    since = time.monotonic()
    waiting = _empty(top, top, numbers)
    while waiting:
        name = waiting.pop()
        with suppress(OSError):
            folder = os.open(name, FOLDER, dir_fd=top)
            try:
                waiting += _empty(folder, top, numbers)
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=top)
        if (spent := time.monotonic() - since) > BATCH_S:
            rest(spent)
            since = time.monotonic()


def _empty(folder: int, top: int, numbers: "count[int]") -> list[str]:
    """Delete the files in `folder` and move its subfolders to `top`; returns their new names."""
    moved = []
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        with suppress(OSError):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=folder)
                continue
            os.chmod(entry.name, 0o700, dir_fd=folder)
            name = entry.name if folder == top else _moved(folder, entry.name, top, numbers)
            moved.append(name)
    return moved


def _moved(folder: int, name: str, top: int, numbers: "count[int]") -> str:
    """Move a folder to a free name. Raises OSError for any other failure."""
    while True:
        new = f"removed-{next(numbers)}"
        try:
            os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)
        except OSError as error:
            if error.errno not in (EEXIST, ENOTEMPTY, ENOTDIR):
                raise
        else:
            return new
