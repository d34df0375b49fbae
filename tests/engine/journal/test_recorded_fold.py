"""Checkpoints of an older program mean the same to this one, unless their number has changed.

Recordings hold the events of runs and the checkpoints that the program of that time made of them.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, get_args

import msgspec
import pytest

from engine.domain import events as e
from engine.journal import checkpoints
from engine.journal.queries import JournalReader
from engine.state import fold as fold_package
from engine.state.fold import fold
from engine.state.fold.table import FOLDS
from engine.state.snapshot import Snapshot
from tests.engine.journal.recorded_fold import RECORDED, recordings, unpacked

RAISE = "raise the number MEANING in engine/journal/checkpoints.py"
ADD = "run `python -m tests.engine.journal.recorded_fold`"


@pytest.fixture(params=recordings(), ids=lambda path: path.name)
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return unpacked(request.param, tmp_path / "journal.db")


async def events_of(path: Path) -> list[e.Event]:
    reader = await JournalReader.open(path)
    events = [event async for event in reader.stream()]
    await reader.close()
    return events


async def same_meaning(path: Path) -> int:
    """Compare every recorded checkpoint with the fold of the recorded events; returns how many there are."""
    reader = await JournalReader.open(path)
    snapshot, compared = Snapshot(), 0
    marks = {row[0] for row in await reader._query("SELECT seq FROM checkpoints")}
    try:
        async for event in reader.stream():
            fold(snapshot, event)
            if event.seq in marks and (found := await reader.checkpoint(event.seq)) is not None:
                assert found == snapshot, f"event {event.seq}: {differing(found, snapshot)}: {RAISE}, then {ADD}"
                assert dict_order(found) == dict_order(snapshot), RAISE
                compared += found.seq == event.seq
    finally:
        await reader.close()
    return compared


def differing(one: Snapshot, other: Snapshot) -> list[str]:
    return [name for name in Snapshot.__slots__ if getattr(one, name) != getattr(other, name)]


def dict_order(snapshot: Snapshot) -> dict[str, list[Any]]:
    """The order of entries matters, as the oldest are dropped first, but `==` ignores it."""
    return {
        name: list(value)
        for name in Snapshot.__slots__
        if isinstance(value := getattr(snapshot, name), dict) and name not in ("children", "tasks_of")
    }


def test_there_is_a_recording_of_the_folds_present_meaning() -> None:
    assert recordings(), f"no recording of meaning {checkpoints.MEANING} in {RECORDED.name}: {ADD}"
    assert len(list(RECORDED.iterdir())) == len(recordings()), "recordings of another meaning are of no use"


async def test_recorded_checkpoints_are_the_fold_of_the_recorded_events(recorded: Path) -> None:
    assert await same_meaning(recorded) >= 5, f"the recorded checkpoints cannot be read: {RAISE}, then {ADD}"


async def test_a_changed_fold_is_noticed(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgets(s: Snapshot, event: e.Event, body: Any) -> None:
        s.warnings.append((event.at, "changed"))

    monkeypatch.setitem(FOLDS, e.Warned, forgets)
    with pytest.raises(AssertionError, match="warnings"):
        await same_meaning(recorded)


async def test_a_checkpoint_without_a_field_that_was_added_later_is_read_with_its_default(recorded: Path) -> None:
    reader = await JournalReader.open(recorded)
    parts = msgspec.json.decode(await parts_of(reader), type=checkpoints.Parts)
    blobs = await reader._load(parts.hashes())
    whole = checkpoints.Chunks().put_together(parts, blobs)
    rest = msgspec.msgpack.decode(blobs[parts.rest])
    del rest["retries"]
    blobs[parts.rest] = msgspec.msgpack.encode({**rest, "gone_since": 5})
    less = checkpoints.Chunks().put_together(parts, blobs)
    await reader.close()
    assert whole.retries
    assert differing(less, whole) == ["retries"]
    assert less.retries == 0


async def parts_of(reader: JournalReader) -> str:
    return str((await reader._query("SELECT parts FROM checkpoints ORDER BY seq DESC LIMIT 1"))[0][0])


async def test_every_kind_of_event_and_every_line_of_the_fold_is_recorded(tmp_path: Path) -> None:
    told = [each for path in recordings() for each in await events_of(unpacked(path, tmp_path / path.name))]
    kinds = {type(event.body) for event in told}
    assert set(get_args(e.Body)) - kinds == set(), f"kinds that no recording has: {ADD}"
    files = sorted(Path(str(fold_package.__file__)).parent.glob("*.py"))
    with lines_run(files) as ran:
        snapshot = Snapshot()
        for event in told:
            snapshot = snapshot if event.seq > 1 else Snapshot()
            fold(snapshot, event)
    missed = [f"{file.name}:{number}" for file in files for number in lines_missed(file, ran)]
    assert not missed, f"lines of the fold that no recording reaches: {ADD}"


def lines_missed(file: Path, ran: set[tuple[str, int]]) -> list[int]:
    """The lines that did not run, of functions that ran. Lines that raise are no part of a fold that succeeds."""
    text = file.read_text()
    source, missed = text.splitlines(), []
    for function in functions(compile(text, str(file), "exec")):
        lines = {number for _, _, number in function.co_lines() if number} - {function.co_firstlineno}
        reached = {number for number in lines if (str(file), number) in ran}
        if reached:
            missed += [number for number in lines - reached if "raise " not in source[number - 1]]
    return sorted(missed)


def functions(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from functions(constant)


@contextmanager
def lines_run(files: list[Path]) -> Iterator[set[tuple[str, int]]]:
    ran: set[tuple[str, int]] = set()
    names = {str(file) for file in files}

    def enter(frame: FrameType, what: str, argument: Any) -> Any:
        return line if frame.f_code.co_filename in names else None

    def line(frame: FrameType, what: str, argument: Any) -> Any:
        ran.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield ran
    finally:
        sys.settrace(before)
