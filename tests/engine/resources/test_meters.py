"""The meters measure the whole process tree, ended children, the machine, builds and model calls."""

import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import Struct

from engine.domain.resource_use import Sample
from engine.domain.types import AgentId
from engine.resources import proc
from engine.resources.build_gate import BuildGate
from engine.resources.meters import Starvation, SystemMeters
from engine.sandbox.shared_limits import CpuShare
from engine.system import SystemClock

MIB = 2**20

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


class TurnedClock(SystemClock):
    """A clock that a test sets forward, so that rates do not depend on the test's duration."""

    def __init__(self) -> None:
        self.turned = 0.0

    def monotonic(self) -> float:
        return self.turned


class Endpoint(Struct, frozen=True):
    in_flight: int
    rate_limited_s: float


class Models:
    """Stands in for the models' client."""

    @property
    def statistics(self) -> Mapping[str, Endpoint]:
        return {"a": Endpoint(3, 1.5), "b": Endpoint(1, 0.5)}


@asynccontextmanager
async def running(code: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python process that has printed `ready`, and that ends when its input does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert await process.stdout.readline() == b"ready\n"
    try:
        yield process
    finally:
        process.stdin.close()
        await process.wait()


def meters(folder: Path, clock: SystemClock) -> SystemMeters:
    return SystemMeters(folder, clock, BuildGate((), 1, clock))


@linux
async def test_memory_and_processes_of_grandchildren_count(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "child = 'x = bytearray(200_000_000); import sys; print(\"ready\", flush=True); sys.stdin.read()'\n"
        "subprocess.run([sys.executable, '-c', child])\n"
    )
    clock = TurnedClock()
    m = meters(tmp_path, clock)
    before = await m.sample()
    async with running(code):
        during = await m.sample()
    after = await m.sample()
    assert during.processes == before.processes + 2
    assert 180 * MIB < during.memory - before.memory < 300 * MIB
    assert after.processes == before.processes
    assert after.memory < during.memory - 150 * MIB


@linux
async def test_the_use_of_an_ended_command_is_counted_once(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "with open(sys.argv[1], 'wb') as f:\n"
        "    f.write(os.urandom(20_000_000)); f.flush(); os.fsync(f.fileno())\n"
        "print('ready', flush=True); sys.stdin.read()\n"
    )
    clock = TurnedClock()
    m = meters(tmp_path, clock)
    first = await m.sample()
    assert (first.disk_write, first.cpu) == (0, 0)
    async with running(code, str(tmp_path / "big")):
        clock.turned += 10
        during = await m.sample()
    clock.turned += 10
    after = await m.sample()
    if during.disk_write == 0:
        pytest.skip("this file system is in memory")
    assert during.disk_write == pytest.approx(2_000_000, rel=0.3)
    assert after.disk_write < 500_000
    assert 0 < during.cpu <= 100


@linux
async def test_a_sample_describes_the_machine(tmp_path: Path) -> None:
    sample = await meters(tmp_path, SystemClock()).sample()
    assert sample.memory_free > 0
    assert sample.disk_free > 0
    for percent in (sample.cpu_pressure, sample.memory_pressure, sample.io_pressure, sample.cpu):
        assert 0 <= percent <= 100


async def test_builds_and_model_calls_are_part_of_a_sample(tmp_path: Path) -> None:
    clock = SystemClock()
    gate = BuildGate(["make"], 1, clock)
    m = SystemMeters(tmp_path, clock, gate, Models())
    async with gate.pass_for("make", "a"):
        second = asyncio.create_task(hold(gate))
        await asyncio.sleep(0)
        sample = await m.sample()
        assert (sample.building, sample.gate_waiting) == (1, 1)
        assert sample.contention > 0
        assert (sample.model_calls, sample.rate_limited_s) == (4, 2.0)
    await second


async def hold(gate: BuildGate) -> None:
    async with gate.pass_for("make", "b"):
        pass


@linux
@linux
async def test_what_other_programs_use_of_the_cpu_is_part_of_a_sample(tmp_path: Path) -> None:
    meters = SystemMeters(tmp_path, SystemClock(), BuildGate((), 1, SystemClock()))
    await meters.sample()
    async with running("print('ready', flush=True)\ninput()"):
        sample = await meters.sample()
    assert 0 <= sample.cpu_others <= 100
    assert sample.starved == 0


def test_how_long_commands_had_no_cpu_is_a_share_that_is_forgotten_when_none_runs_for_long() -> None:
    share = CpuShare()
    starvation = Starvation(share)
    assert starvation.measure(0) == (0, 0)
    share.note(0.5, 0.5)
    assert starvation.measure(5) == (0.1, 0), "too little to say anything"
    share.note(9.5, 8.5)
    assert starvation.measure(5) == pytest.approx((9.75 / 7.5, 100 * 8.75 / 9.75))
    assert starvation.measure(5)[1] == pytest.approx(starvation.measure(5)[1])
    for _ in range(30):
        last = starvation.measure(5)
    assert last[0] < 0.1
    assert last[1] == 0
    share.note(10, 9)
    for _ in range(20):
        share.note(10, 0)
        last = starvation.measure(5)
    assert last[0] == pytest.approx(2, rel=0.1)
    assert last[1] < 1
    share.note(-5, 99)
    assert starvation.measure(5)[1] == pytest.approx(last[1]), "a launcher that lies changes little"


async def test_a_process_that_waits_for_a_lock_is_seen(tmp_path: Path) -> None:
    code = (
        "import fcntl, sys\n"
        "f = open(sys.argv[1], 'w')\n"
        "print('ready', flush=True)\n"
        "fcntl.flock(f, fcntl.LOCK_EX)\n"
        "sys.stdin.read()\n"
    )
    path = tmp_path / "lock"
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        async with running(code, str(path)) as waiter:
            while not proc.lock_waiters([waiter.pid]):  # noqa: ASYNC110 - only the kernel knows when it waits
                await asyncio.sleep(0)
            assert proc.lock_waiters([waiter.pid, os.getpid()]) == [waiter.pid]
            assert proc.lock_waiters([1]) == []
            gate = BuildGate(["make"], 1, SystemClock())
            clock = TurnedClock()
            m = SystemMeters(tmp_path, clock, gate)
            await m.sample()
            clock.turned += 5
            await m.sample()
            assert gate.figures().lock_s == pytest.approx(5)
            fcntl.flock(held, fcntl.LOCK_UN)


@linux
def test_missing_and_forbidden_files_read_as_empty() -> None:
    gone = 2**30
    assert proc.proportional_memory(gone) is None
    assert proc.own_memory(gone) == 0
    assert proc.disk_bytes(gone) == (0, 0)
    assert proc.pressure("nonsense") == 0.0
    assert proc.tree(gone, proc.processes()) == []


@linux
@pytest.mark.parametrize("name", [") R 1 (x", "a\nb", "1\x0b2)\n("], ids=repr)
async def test_parentheses_and_line_ends_in_a_process_name_do_not_matter(tmp_path: Path, name: str) -> None:
    odd = tmp_path / name
    odd.symlink_to("/bin/sleep")
    process = await asyncio.create_subprocess_exec(str(odd), "60")
    try:
        assert proc.processes()[process.pid].parent == os.getpid()
    finally:
        process.kill()
        await process.wait()


@linux
async def test_a_sample_of_many_sleeping_processes_is_stable(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "crowd = [subprocess.Popen(['sleep', '600']) for _ in range(100)]\n"
        "print('ready', flush=True); sys.stdin.read()\n"
        "for each in crowd: each.kill()\n"
    )
    m = meters(tmp_path, SystemClock())
    async with running(code):
        first: Sample = await m.sample()
        second = await m.sample()
        assert first.processes >= 101
        assert second.processes == first.processes
        assert abs(second.memory - first.memory) < 50 * MIB


@linux
async def test_the_use_of_each_agent_is_measured_separately(tmp_path: Path) -> None:
    clock = TurnedClock()
    gate = BuildGate(("make*",), "2", clock)
    eats = (
        "import subprocess, sys; x = bytearray(60 << 20); p = subprocess.Popen(['sleep', '1000'], stdout=-3)\n"
        "print('ready', flush=True); sys.stdin.read(); p.kill()"
    )
    rests = "import sys; print('ready', flush=True); sys.stdin.read()"
    async with running(eats) as hungry, running(rests) as modest:
        sandboxes = {AgentId("hungry"): hungry.pid, AgentId("modest"): modest.pid, AgentId("gone"): 2**30}
        meters = SystemMeters(tmp_path, clock, gate, sandboxes=lambda: sandboxes)
        async with gate.pass_for("make", "planner", "hungry"):
            clock.turned += 10.0
            whole = await meters.sample()
        uses = meters.uses()
        assert set(uses) == {"hungry", "modest"}
        assert uses[AgentId("hungry")].processes == 2
        assert uses[AgentId("modest")].processes == 1
        assert uses[AgentId("hungry")].memory > uses[AgentId("modest")].memory + 50 * MIB
        assert sum(use.memory for use in uses.values()) <= whole.memory
        assert uses[AgentId("hungry")].build_s == 10.0
        assert uses[AgentId("modest")].build_s == 0.0


@linux
async def test_lock_waits_count_for_the_waiting_agent(tmp_path: Path) -> None:
    clock = TurnedClock()
    gate = BuildGate(("make*",), "2", clock)
    lock = tmp_path / "lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waits = (
            "import fcntl, sys; f = open(sys.argv[1]); print('ready', flush=True)\n"
            "fcntl.flock(f, fcntl.LOCK_EX); sys.stdin.read()"
        )
        async with running(waits, str(lock)) as waiter:
            agent = AgentId("waiter")
            meters = SystemMeters(tmp_path, clock, gate, sandboxes=lambda: {agent: waiter.pid})
            while not proc.lock_waiters([waiter.pid]):
                await asyncio.to_thread(os.sched_yield)
            await meters.sample()
            clock.turned += 4.0
            await meters.sample()
            assert meters.uses()[agent].lock_s == 4.0
            assert gate.figures(agent).lock_s == gate.figures().lock_s == 4.0
            assert gate.figures("another").lock_s == 0.0
            fcntl.flock(held, fcntl.LOCK_UN)
