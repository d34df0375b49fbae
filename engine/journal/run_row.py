"""Reads the run's row of a journal without a fold or an event loop, for lists of many runs; and valid times."""

import math
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, json

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.resource_use import LoadLimit
from engine.domain.types import Micros, ModelName, RunState
from engine.journal.schema import LANDED
from engine.journal.untrusted import MIB, check_files, connect, limited, number, open_to_read

TIME_S = 2.0
"""Seconds that one run's row may take."""
ROW = MIB
"""The most bytes of a run's row, without its settings."""
LAST_TIME = 253_402_300_799_999_999
"""The end of the year 9999, in microseconds."""

_ANYTHING = "SELECT 1 FROM sqlite_schema LIMIT 1"
_RUN = """SELECT repo, models, state, exit_status, agents, failed, usd, created,
  coalesce((SELECT substr(text, 1, 100000) FROM intents ORDER BY version DESC LIMIT 1), '') AS intent,
  (SELECT json_extract(body, '$.limit') FROM events WHERE seq = max(
    coalesce((SELECT max(seq) FROM events WHERE kind = 'load_limited'), 0),
    coalesce((SELECT max(seq) FROM events WHERE kind = 'epoch_started'), 0))) AS load_limit,
  (SELECT max(seq) FROM events) AS last_seq, (SELECT at FROM events ORDER BY seq DESC LIMIT 1) AS last_at
  FROM runs ORDER BY created LIMIT 1"""


class RunRow(Struct, frozen=True):
    """What a list of runs shows. `usd` is None if a price is unknown; `last_at` is the time of the newest event;
    `load_limit` is what the governor allowed last."""

    repo: str = ""
    models: dict[str, ModelName] = {}
    state: RunState = RunState.RUNNING
    exit_status: int | None = None
    agents: int = 0
    landed: int = 0
    unchanged: int = 0
    failed: int = 0
    usd: float | None = 0.0
    created: Micros = 0
    intent: str = ""
    last_seq: int = 0
    last_at: Micros = 0
    load_limit: LoadLimit | None = None

    @property
    def rehearsal(self) -> bool:
        return any(model.startswith("rehearsal:") for model in self.models.values())


class Unreadable(Exception):  # noqa: N818 - a list of runs shows it and goes on
    """The journal cannot be read; the message says why, briefly."""


def glance(path: Path) -> RunRow | None:
    """The run's row of the journal at `path`; None if there is no journal or no run yet. Raises Unreadable."""
    try:
        with closing(open_to_read(path, wait_s=1.0)) as db, limited(db, TIME_S, ROW, named=True):
            row = db.execute(_RUN).fetchone()
            return None if row is None else _valid({**row, **db.execute(LANDED).fetchone()})
    except SwarmError as error:
        if error.kind is ErrorKind.NOT_FOUND or _never_began(path):
            return None
        raise Unreadable(error.message.removeprefix(f"{path} ")) from error
    except (sqlite3.Error, OSError, msgspec.MsgspecError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise Unreadable(" ".join(str(error).split())[:300] or "too large") from error


def _valid(row: dict[str, Any]) -> RunRow:
    """Raises ValueError or msgspec.MsgspecError for values that no writer stores."""
    decoded = {name: json.decode(row[name] or "null") for name in ("models", "load_limit")}
    run = msgspec.convert({**row, **decoded}, RunRow)
    if not (0 <= run.created <= LAST_TIME and 0 <= run.last_at <= LAST_TIME):
        raise ValueError("its times are not valid")
    if run.usd is not None and not math.isfinite(run.usd):
        raise ValueError("its cost is not valid")
    return run


def _never_began(path: Path) -> bool:
    """Whether the file is a database without anything in it: its process ended while it was created."""
    try:
        check_files(path)
        with closing(connect(f"{path.absolute().as_uri()}?mode=ro", 1.0)) as db, limited(db, TIME_S, ROW):
            return not number(db, "PRAGMA application_id") and not db.execute(_ANYTHING).fetchone()
    except (SwarmError, sqlite3.Error, OSError, MemoryError):
        return False
