"""Read-only SQL over a journal for untrusted callers: each query runs in a process of its own, within limits."""

import asyncio
import os
import signal
import sys
from contextlib import closing, suppress
from pathlib import Path

from msgspec import MsgspecError, json

from engine.domain.errors import ErrorKind, SwarmError
from engine.journal.sql_process import SQL, SqlRequest, Table, too_much, too_slow
from engine.journal.untrusted import MIB, number, open_to_read, schema_rows

TIME_S = 5.0
"""Seconds that a query may take."""
START_S = 5.0
"""Seconds that its process may need besides."""
ANSWER = MIB
"""The most bytes that are read of an answer."""
_TOP = Path(__file__).parents[2]


class BadQuery(Exception):  # noqa: N818 - the message goes to the author of the query
    """The query failed; the message says why."""


class ReadOnlySql:
    """Runs queries over one journal; `blob_text(HASH)` returns a large text. Raises SwarmError (journal)."""

    def __init__(self, path: Path) -> None:
        with closing(open_to_read(path)) as db:
            self._version = number(db, "PRAGMA user_version")
        self._path = path.absolute()

    def schema(self) -> str:
        """The CREATE statements of its tables and views, with their comments."""
        return "\n".join(sql for kind, _, _, sql in schema_rows(self._version) if sql and kind in ("table", "view"))

    async def query(self, sql: str) -> Table:
        """Raises BadQuery, and SwarmError (journal) if the journal cannot be read."""
        if len(sql) > SQL:
            raise BadQuery(f"it has {len(sql)} characters, the limit is {SQL}: split it into several queries")
        try:
            request = json.encode(SqlRequest(str(self._path), sql, TIME_S))
        except UnicodeEncodeError as error:
            raise BadQuery(f"it is not text: {error}") from error
        status, answer = await _run(request)
        try:
            table = json.decode(answer, type=Table)
        except MsgspecError:
            raise BadQuery(_died(status)) from None
        if table.unreadable:
            raise SwarmError(ErrorKind.JOURNAL, table.error, table.unreadable)
        if table.error:
            raise BadQuery(table.error)
        return table


async def _run(request: bytes) -> tuple[int | None, bytes]:
    """The status of a new process, None if it was killed at its deadline, and what it answered."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "engine.journal.sql_process"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(_TOP)},
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(TIME_S + START_S):
            with suppress(ConnectionError):
                process.stdin.write(request)
                await process.stdin.drain()
            process.stdin.close()
            answer = b""
            while len(answer) <= ANSWER and (part := await process.stdout.read(ANSWER)):
                answer += part
            if len(answer) <= ANSWER:
                return await process.wait(), answer
            return None, b""
    except TimeoutError:
        return None, b""
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _died(status: int | None) -> str:
    if status is None or status in (-signal.SIGALRM, -signal.SIGXCPU, -signal.SIGKILL):
        return too_slow(TIME_S)
    return too_much()
