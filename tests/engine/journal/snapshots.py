"""Reads the state that a journal holds."""

from pathlib import Path

from engine.journal.queries import JournalReader
from engine.state.snapshot import Snapshot


async def read_snapshot(path: Path, until: int | None = None) -> Snapshot:
    """The fold of a journal's events, up to the sequence number `until` if given."""
    reader = await JournalReader.open(path)
    try:
        return await reader.snapshot(until)
    finally:
        await reader.close()
