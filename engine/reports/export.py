"""Exports a whole journal: as JSON lines of events, handoffs and messages, or as OpenTelemetry spans."""

from pathlib import Path
from typing import BinaryIO

from engine.journal.queries import JournalReader
from engine.reports.json_lines import export_lines
from engine.reports.otel import Spans


async def export_jsonl(source: JournalReader | Path, out: BinaryIO) -> int:
    """Write the lines of `export_lines`, with only a page of events in memory at a time.

    Returns the last sequence number. Raises SwarmError (not_found, journal), and OSError of `out`.
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


async def export_otel(path: Path, out: BinaryIO) -> int:
    """Write the run's spans, children before parents.

    Returns the last sequence number. Raises SwarmError (not_found, journal), and OSError of `out`.
    """
    spans = Spans()
    seq = 0
    reader = await JournalReader.open(path)
    try:
        async for event in reader.stream():
            out.writelines(line + b"\n" for line in spans.take(event))
            seq = event.seq
        out.writelines(line + b"\n" for line in spans.rest())
    finally:
        await reader.close()
    return seq
