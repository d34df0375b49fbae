"""A whole journal as lines of JSON: its events, and the handoffs and messages in them, in the order they happened."""

from pathlib import Path
from typing import BinaryIO

from engine.export import export_lines
from engine.journal.queries import JournalReader


async def export_jsonl(source: JournalReader | Path, out: BinaryIO) -> int:
    """Write each line as `engine.export.export_lines` makes it, without holding more than a page of events.

    Returns the last sequence number written. Raises SwarmError (not_found, journal), and OSError of `out`.
    """
    reader = await JournalReader.open(source) if isinstance(source, Path) else source
    seq = 0
    try:
        async for event in reader.stream():
            for line in export_lines(event):
                out.write(line if line.endswith(b"\n") else line + b"\n")
            seq = event.seq
    finally:
        if reader is not source:
            await reader.close()
    return seq
