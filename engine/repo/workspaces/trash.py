"""Removes big trees without being in the way: they are renamed at once and deleted slowly."""

import os
import threading
import time
from pathlib import Path

from engine.sandbox.removal import delete_tree


class Trash:
    """A folder of what nobody may find any more. Its methods may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._turn = threading.Lock()
        self._emptying = threading.Lock()
        self._hurry = threading.Event()
        folder.mkdir(parents=True, exist_ok=True)

    def throw(self, path: Path) -> None:
        """Out of the way at once. What is not there needs nothing."""
        with self._turn:
            self._number += 1
            name = f"{os.getpid()}-{time.monotonic_ns()}-{self._number}"
        try:
            path.rename(self._folder / name)
        except FileNotFoundError:
            pass

    def empty(self) -> None:
        """Slow for big trees: for a thread."""
        with self._emptying:
            for entry in list(self._folder.iterdir()):
                delete_tree(entry, self._rest)

    def hurry(self) -> None:
        """From now on deletions take no rests: the run is ending."""
        self._hurry.set()

    def _rest(self, seconds: float) -> None:
        """After deleting for so long, as long again, so that others get at the disk."""
        self._hurry.wait(seconds)
