"""The intent that a person is writing, saved in a file beside the repository's runs so that it survives a crash."""

import os
from pathlib import Path

from tui.bridge import answers_in, path_text, utf8_text

LARGEST = 4 << 20
"""The largest draft that is read back, in bytes."""


class IntentDraft:
    """The text of a new intent and the file that saves it. Without a file nothing is saved."""

    def __init__(self, file: Path | None = None, text: str = "") -> None:
        """Starts with what the file has, or else with `text`."""
        self._file = file
        self._problem = ""
        self._saved = True
        self.text = self._read() or text

    def _read(self) -> str:
        try:
            if self._file is None or not self._file.is_file() or self._file.stat().st_size > LARGEST:
                return ""
            return self._file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def take_answers(self, before: str, running: str) -> None:
        """Follow the answers to questions in the running intent; those that the person has edited stay."""
        old, new = answers_in(before), answers_in(running)
        if self.text.strip() and new != old == answers_in(self.text):
            own = self.text.rstrip().removesuffix(old).rstrip()
            self.text = f"{own}\n\n{new}".rstrip() + "\n"

    def touch(self) -> bool:
        """Mark the draft as changed; returns whether it was saved before."""
        saved, self._saved = self._saved, False
        return saved

    def save(self, running: str) -> str:
        """Save a draft that has changed, or delete the file if it is the running intent. Returns a new problem."""
        if self._saved:
            return ""
        self._saved = True
        before = self._problem
        if self.text.strip() and self.text.strip() != running.strip():
            self._problem = self._write()
            return self._problem if self._problem != before else ""
        self._delete()
        return ""

    def _write(self) -> str:
        """Replace the file atomically; returns what went wrong."""
        if self._file is None:
            return ""
        fresh = self._file.with_name(self._file.name + ".new")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh.write_text(utf8_text(self.text), encoding="utf-8")
            os.replace(fresh, self._file)
        except OSError as error:
            return f"cannot save the draft in {path_text(self._file)}: {error.strerror}"
        return ""

    def _delete(self) -> None:
        if self._file is not None:
            try:
                self._file.unlink(missing_ok=True)
            except OSError:
                return
