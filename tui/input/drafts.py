"""The intent that a person is writing, which outlives the program in a file beside the repo's runs."""

import os
from pathlib import Path

LARGEST = 4 << 20
"""Bytes of a draft that is read back."""


class Draft:
    """A text and the file that keeps it. Without a file nothing is kept; a full disk is told and stops nothing."""

    def __init__(self, file: Path | None = None, text: str = "") -> None:
        """What the file kept, or else `text`."""
        self._file = file
        self._problem = ""
        self._written = True
        self.text = self._read() or text

    def _read(self) -> str:
        try:
            if self._file is None or not self._file.is_file() or self._file.stat().st_size > LARGEST:
                return ""
            return self._file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def touch(self) -> bool:
        """Have it written next time; whether it was written before."""
        written, self._written = self._written, False
        return written

    def write(self, running: str) -> str:
        """Keep what differs from the running intent; returns what went wrong, each problem once."""
        if self._written:
            return ""
        self._written = True
        before = self._problem
        if self.text.strip() and self.text.strip() != running.strip():
            self._problem = self._keep()
            return self._problem if self._problem != before else ""
        self._drop()
        return ""

    def _keep(self) -> str:
        """Replace the file as a whole, or not at all."""
        if self._file is None:
            return ""
        fresh = self._file.with_name(self._file.name + ".new")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh.write_text(self.text, encoding="utf-8", errors="replace")
            os.replace(fresh, self._file)
        except OSError as error:
            return f"the draft cannot be kept in {self._file}: {error.strerror}"
        return ""

    def _drop(self) -> None:
        if self._file is not None:
            try:
                self._file.unlink(missing_ok=True)
            except OSError:
                return
