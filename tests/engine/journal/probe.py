"""Reads a journal in every way there is, in a process with limits on memory and time, and prints what happened."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from msgspec import json

from engine.domain.errors import SwarmError
from engine.journal.archive import archive
from engine.journal.queries import JournalReader
from engine.journal.readonly_sql import ReadOnlySql
from engine.journal.run_row import Unreadable, glance
from engine.journal.seek import seq_of
from engine.journal.writer import SqliteJournal
from engine.reports.export import export_jsonl, export_otel
from engine.reports.json_lines import snapshot_line
from engine.reports.report import report_of

MEMORY = 1536 * 1024 * 1024
DEADLINE_S = 60


async def _replay(path: Path) -> None:
    reader = await JournalReader.open(path)
    try:
        await seq_of(reader, "50%")
        await seq_of(reader, "12:00")
        await seq_of(reader, "root")
        snapshot = await reader.snapshot()
        for agent in [*snapshot.agents][:3]:
            list(snapshot.ancestors(agent))
            list(snapshot.subtree(agent))
        snapshot_line(snapshot)
    finally:
        await reader.close()


async def _screen(path: Path) -> None:
    reader = await JournalReader.open(path)
    try:
        events = await reader.events()
        for agent in {event.agent for event in events if event.agent is not None}:
            await reader.messages(agent, whole=True)
            await reader.scratchpads(agent)
            await reader.last_call(agent)
            await reader.agent_events(agent)
        await reader.spread_samples(100)
    finally:
        await reader.close()


async def _resume(path: Path) -> None:
    await (await SqliteJournal.open(path)).close()


READERS: dict[str, Callable[[Path], Any]] = {
    "glance": glance,
    "report": lambda path: report_of(path, path.parent / "trunk.git"),
    "replay": lambda path: asyncio.run(_replay(path)),
    "screen": lambda path: asyncio.run(_screen(path)),
    "export": lambda path: asyncio.run(export_jsonl(path, BytesIO())),
    "otel": lambda path: asyncio.run(export_otel(path, BytesIO())),
    "ask": lambda path: asyncio.run(ReadOnlySql(path).query("SELECT count(*) FROM events")),
    "archive": lambda path: archive(path, 2**62),
    "resume": lambda path: asyncio.run(_resume(path)),
}


def probed(readers: Sequence[str], path: Path) -> dict[str, str]:
    """What each reader says about the journal at `path`: `ok`, the error, or how its process ended."""
    command = [sys.executable, "-m", "tests.engine.journal.probe", str(path), *readers]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    return json.decode(done.stdout.splitlines()[-1], type=dict[str, str])


def main(path: Path, *readers: str) -> None:
    """Read in one process for each reader: they start at once from this one, which has loaded everything."""
    said = {}
    for reader in readers:
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(reading)
            signal.alarm(DEADLINE_S)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            try:
                os.write(writing, _outcome(reader, path).encode())
            except BaseException as error:
                os.write(writing, f"Traceback: {type(error).__name__}: {error}"[:4000].encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            text = pipe.read().decode("utf-8", "replace")
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        said[reader] = text or f"ended with status {status}"
    sys.stdout.buffer.write(json.encode(said) + b"\n")


def _outcome(reader: str, path: Path) -> str:
    try:
        READERS[reader](path)
    except SwarmError as error:
        return f"{error.kind}: {error.message} | {error.hint}"
    except Unreadable as error:
        return f"unreadable: {error}"
    return "ok"


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
