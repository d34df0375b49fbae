"""Exports a whole journal: as JSON lines of events, handoffs and messages, or as OpenTelemetry spans."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import msgspec

from engine.domain.events import Event
from engine.journal.failures import damaged
from engine.journal.queries import JournalReader
from engine.reports.json_lines import export_lines
from engine.reports.otel import Spans


async def export_jsonl(path: Path, out: BinaryIO) -> int:
    """Write the lines of `export_lines`; see `_export`."""
    return await _export(path, export_lines, out)


async def export_otel(path: Path, out: BinaryIO) -> int:
    """Write the run's spans, children before parents; see `_export`."""
    spans = Spans()
    seq = await _export(path, spans.take, out)
    out.writelines(line + b"\n" for line in spans.rest())
    return seq


async def _export(path: Path, lines: Callable[[Event], Iterable[bytes]], out: BinaryIO) -> int:
    """Write the lines of each event, with only a page of events in memory at a time.

    Returns the last sequence number. Raises SwarmError (not_found, journal), and OSError of `out`.
    """
    seq = 0
    reader = await JournalReader.open(path)
    try:
        async for event in reader.stream():
            try:
                found = [line + b"\n" for line in lines(event)]
            except (ValueError, ArithmeticError, RecursionError, LookupError, msgspec.MsgspecError) as error:
                raise damaged(path, f"event {event.seq} ({event.kind}): {error}") from error
            out.writelines(found)
            seq = event.seq
    finally:
        await reader.close()
    return seq
