"""Where notes are kept: one JSON file, written as a whole."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Note:
    id: int
    text: str
    done: bool = False


class NoSuchNote(Exception):
    def __init__(self, id: int) -> None:
        super().__init__(id)
        self.id = id


class Store:
    """The notes of one file, in the order of their ids. Every change is written at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._notes = [Note(**note) for note in json.loads(path.read_text())] if path.exists() else []

    def all(self) -> list[Note]:
        return list(self._notes)

    def add(self, text: str) -> Note:
        note = Note(max((note.id for note in self._notes), default=0) + 1, text)
        self._write([*self._notes, note])
        return note

    def finish(self, id: int) -> Note:
        note = replace(self._find(id), done=True)
        self._write([note if one.id == id else one for one in self._notes])
        return note

    def remove(self, id: int) -> Note:
        note = self._find(id)
        self._write([one for one in self._notes if one.id != id])
        return note

    def _find(self, id: int) -> Note:
        for note in self._notes:
            if note.id == id:
                return note
        raise NoSuchNote(id)

    def _write(self, notes: list[Note]) -> None:
        self._notes = notes
        self._path.write_text(json.dumps([asdict(note) for note in notes], indent=1) + "\n")
