"""SIGKILL during commands: acknowledged ones are on record, others completely or not at all."""

import asyncio
import itertools
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.control.client import ControlClient
from engine.domain.commands import Cancel, Command, Pause, Resume, SetPriority, SetWorkers, Steer, SubmitIntent
from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.types import ROOT, AgentPath
from tests.engine.journal.snapshots import read_snapshot
from tests.faults.programs import Case
from tests.tui.owners import until

MODEL = "rehearsal:load?speed=0.2&planners=3&tasks=30&conflicts=0&shell=0"
SEEDS = int(os.environ.get("FAULT_SEEDS", "1"))
GROUPS = [AgentPath(f"root/group-{number}") for number in (1, 2, 3)]


def commands(draw: random.Random) -> Iterator[Command]:
    """Commands in order, each with its own number; two of the three subplanners are cancelled on the way."""
    doomed = iter(GROUPS[:2])
    for number in itertools.count(1):
        path = draw.choice([ROOT, GROUPS[2]])
        made: Command = draw.choice(
            [
                Steer(path, f"word {number}."),
                SubmitIntent(f"As before, and number {number}."),
                SetPriority(path, number),
                SetWorkers(number + 20, path),
                Pause(GROUPS[2]),
                Resume(GROUPS[2]),
            ]
        )
        if number % 4 == 0 and (gone := next(doomed, None)) is not None:
            made = Cancel(gone, f"reason {number}.")
        yield made


def on_record(case: Case, command: Command) -> set[bool]:
    """For each part of what a command writes, whether the journal has it."""

    def has(sql: str) -> bool:
        return bool(case.ask(sql))

    match command:
        case Steer(text=text):
            return {has(f"SELECT 1 FROM inbox WHERE text LIKE '%{text}%'")}
        case SubmitIntent(text=text):
            version = f"SELECT 1 FROM intents WHERE text = '{text}'"
            return {has(version), has(f"SELECT 1 FROM inbox WHERE source = 'intent' AND text LIKE '%{text}%'")}
        case SetPriority(priority=number):
            changed = f"kind = 'priority_changed' AND body ->> 'priority' = {number}"
            return {has(f"SELECT 1 FROM events WHERE {changed}")}
        case SetWorkers(workers=number):
            limited = f"kind IN ('workers_limited', 'subtree_limited') AND body ->> 'workers' = {number}"
            return {has(f"SELECT 1 FROM events WHERE {limited}")}
        case Cancel(path=path, reason=reason):
            tasks = f"SELECT 1 FROM tasks t JOIN agents a ON a.id = t.planner WHERE a.path = '{path}'"
            landing = "t.id IN (SELECT task FROM events WHERE kind = 'task_unwanted')"
            if not has(f"SELECT 1 FROM agents WHERE path = '{path}' AND state = 'cancelled'"):
                return {False, has(f"{tasks} AND (t.reason = '{reason}' OR {landing})")}
            return {True, not has(f"{tasks} AND t.ended IS NULL AND NOT {landing}")}
        case Pause() | Resume():
            return {has(f"SELECT 1 FROM events WHERE kind = 'subtree_{command.__struct_config__.tag}d'")}
    raise AssertionError(command)


async def steer_until_killed(
    case: Case, process: "subprocess.Popen[bytes]", draw: random.Random
) -> tuple[list[Command], Command | None]:
    """The acknowledged commands, and the one under way when the program was killed."""
    client = await ControlClient.connect(case.run.folder.socket)
    taken: list[Command] = []
    kill_after = draw.randrange(4, 14)
    for command in commands(draw):
        if len(taken) == kill_after:
            asyncio.get_running_loop().call_later(draw.random() * 0.02, process.kill)
        try:
            await client.send(command)
        except SwarmError as error:
            if error.kind is ErrorKind.STATE:
                return taken, command
            continue  # refused: it has already ended
        taken.append(command)
    raise AssertionError("commands never end")


def alive(case: Case) -> Callable[[], bool]:
    def planned() -> bool:
        if not case.runs() or not case.run.folder.socket.exists():
            return False
        return len(case.ask("SELECT 1 FROM tasks WHERE state = 'working'")) > 1

    return planned


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_command_survives_a_kill_completely_or_not_at_all(tmp_path: Path, seed: int) -> None:
    case, draw = Case(tmp_path, "load", MODEL), random.Random(seed)
    process = case.started(*case.words()[:-1], SWARM_SANDBOX_LEVEL="off")
    until(alive(case))
    taken, under_way = asyncio.run(steer_until_killed(case, process, draw))
    case.killed_by_itself(process)
    for command in taken:
        assert on_record(case, command) == {True}, f"{command} was acknowledged"
    if under_way is not None:
        assert len(on_record(case, under_way)) == 1, f"{under_way} is there in part"
    snapshot = asyncio.run(read_snapshot(case.run.folder.journal))
    priorities = [each for each in (*taken, under_way) if isinstance(each, SetPriority) and each.path == GROUPS[2]]
    if priorities and priorities[-1] is not under_way:
        assert snapshot.agents[snapshot.paths[GROUPS[2]]].priority == priorities[-1].priority
