"""An intent that is being written outlives the program: it is kept in a file beside the repo's runs."""

import os
from pathlib import Path

LARGEST = 4 << 20
"""Bytes of a draft that is read back."""


class Drafts:
    """The draft of one repo. Without a file nothing is kept; a disk that refuses is told and stops nothing."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file

    def read(self) -> str:
        """What was kept; empty when there is nothing."""
        try:
            if self.file is None or not self.file.is_file() or self.file.stat().st_size > LARGEST:
                return ""
            return self.file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def keep(self, text: str) -> str:
        """Keep a draft, in place of the one before or not at all; returns what went wrong."""
        if self.file is None:
            return ""
        fresh = self.file.with_name(self.file.name + ".new")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh.write_text(text, encoding="utf-8", errors="replace")
            os.replace(fresh, self.file)
        except OSError as error:
            return f"the draft cannot be kept in {self.file}: {error.strerror}"
        return ""

    def drop(self) -> None:
        """There is nothing to keep any more."""
        if self.file is not None:
            try:
                self.file.unlink(missing_ok=True)
            except OSError:
                return
