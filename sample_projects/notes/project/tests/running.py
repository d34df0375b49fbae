"""Runs the whole program on a notes file of its own."""

import contextlib
import io
import tempfile
from pathlib import Path

from notes.cli import main
from notes.store import Store


def run(*argv: str, notes: tuple[str, ...] = (), done: tuple[int, ...] = ()) -> tuple[int, str, list[str]]:
    """Exit status, output, and the notes that are left, after one call on a file that holds `notes`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "notes.json"
        store = Store(file)
        for text in notes:
            store.add(text)
        for id in done:
            store.finish(id)
        out = io.StringIO()
        with contextlib.redirect_stderr(io.StringIO()):
            status = main(["--file", str(file), *argv], out)
        left = [f"{note.id}{' x' if note.done else ''} {note.text}" for note in Store(file).all()]
        return status, out.getvalue(), left
