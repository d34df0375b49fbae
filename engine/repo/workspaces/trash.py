"""Deletes large folders in the background: renames them out of the way at once and deletes them slowly later."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from engine.sandbox.removal import delete_tree


class Trash:
    """A folder of what is to be deleted. May be used from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._numbering = threading.Lock()
        self._emptying = threading.Lock()
        self._hurry = threading.Event()
        folder.mkdir(exist_ok=True)

    def discard(self, path: Path) -> None:
        """Move a file or folder into the trash. Does nothing if it does not exist."""
        with self._numbering:
            self._number += 1
            name = f"{os.getpid()}-{time.monotonic_ns()}-{self._number}"
        try:
            path.rename(self._folder / name)
        except FileNotFoundError:
            if os.path.lexists(path):  # the trash is gone: somebody deleted or moved it
                self._folder.mkdir(exist_ok=True)
                path.rename(self._folder / name)

    def empty(self) -> None:
        """Delete what is in the trash, if it still exists. Slow for large folders: call it in a thread."""
        with self._emptying, suppress(FileNotFoundError):
            for entry in list(self._folder.iterdir()):
                delete_tree(entry, self._pause)

    def hurry(self) -> None:
        """Delete without pauses from here on, because the run is ending."""
        self._hurry.set()

    def _pause(self, seconds: float) -> None:
        """Pause for as long as the last batch of deletions took, so that others get a share of the disk."""
        self._hurry.wait(seconds)
