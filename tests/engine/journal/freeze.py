"""Writes a journal in this version's format, for later versions to open: `python -m tests.engine.journal.freeze`.

Run it once for each release and commit its files: the journal and the state that it leads to.
"""

import asyncio
import sys
from importlib.metadata import version
from pathlib import Path

import msgspec

from engine.domain import events as e
from engine.journal.writer import SqliteJournal
from engine.reports.json_lines import snapshot_line
from tests.engine.journal.stories import story

RELEASED = Path(__file__).parent / "released"


async def freeze(folder: Path, name: str) -> Path:
    """Write `NAME.db` and `NAME.json`; returns the journal's path."""
    told = story(20, 200, text=80)
    told.tell(e.Warned("so long that it is stored apart: " + " ".join(told.words() for _ in range(400))))
    path = folder / f"{name}.db"
    path.unlink(missing_ok=True)
    journal = await SqliteJournal.open(path)
    for event in told.events:
        journal.append([event])
        await journal.durable(event.seq)
    await journal.close()
    state = msgspec.json.format(snapshot_line(told.snapshot), indent=1)
    path.with_suffix(".json").write_bytes(state + b"\n")
    return path


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(freeze(RELEASED, version('swarm-tui')))}\n")
