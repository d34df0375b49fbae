"""Reads the run's row of a journal without a fold or an event loop, for lists of many runs."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import Struct, json

from engine.domain.types import Micros, ModelName, RunState
from engine.journal.schema import APPLICATION_ID, VERSION

_RUN = """SELECT runs.*, coalesce((SELECT text FROM intents ORDER BY version DESC LIMIT 1), '') AS intent,
  (SELECT max(seq) FROM events) AS last_seq, (SELECT at FROM events ORDER BY seq DESC LIMIT 1) AS last_at
  FROM runs ORDER BY created LIMIT 1"""


class RunRow(Struct, frozen=True):
    """What a list of runs shows. `usd` is None if a price is unknown; `last_at` is the time of the newest event."""

    repo: str = ""
    models: dict[str, ModelName] = {}
    state: RunState = RunState.RUNNING
    exit_status: int | None = None
    agents: int = 0
    landed: int = 0
    failed: int = 0
    usd: float | None = 0.0
    created: Micros = 0
    intent: str = ""
    last_seq: int = 0
    last_at: Micros = 0

    @property
    def rehearsal(self) -> bool:
        return any(model.startswith("rehearsal:") for model in self.models.values())


class Unreadable(Exception):  # noqa: N818 - a list of runs shows it and goes on
    """The journal cannot be read; the message says why, briefly."""


def glance(path: Path) -> RunRow | None:
    """The run's row of the journal at `path`; None if there is no journal or no run yet. Raises Unreadable."""
    if not path.exists() or not path.stat().st_size:
        return None
    address = f"{path.absolute().as_uri()}?mode=ro"
    log = Path(f"{path}-wal")
    try:
        try:
            return _look(address)
        except sqlite3.OperationalError:
            # Perhaps the folder is read-only: without a log, the file is complete as it is.
            if log.exists() and log.stat().st_size:
                raise
            return _look(f"{address}&immutable=1")
    except (sqlite3.Error, OSError, msgspec.MsgspecError, ValueError) as error:
        raise Unreadable(" ".join(str(error).split())) from error


def _look(address: str) -> RunRow | None:
    with closing(sqlite3.connect(address, uri=True, timeout=1.0)) as db:
        [application] = db.execute("PRAGMA application_id").fetchone()
        [version] = db.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            if not application and not db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
                return None
            raise Unreadable("not a journal of swarm-tui")
        if version > VERSION:
            raise Unreadable("written by a newer swarm-tui")
        db.row_factory = sqlite3.Row
        row = db.execute(_RUN).fetchone()
        return None if row is None else msgspec.convert({**dict(row), "models": json.decode(row["models"])}, RunRow)
