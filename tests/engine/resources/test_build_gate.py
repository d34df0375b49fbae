"""The build gate limits builds, is fair between subtrees, survives cancellation and measures contention."""

import asyncio
import os
import random

import pytest

from engine.domain.settings import BuildSettings
from engine.policy.build_commands import is_build, simple_commands
from engine.resources.build_gate import BuildGate
from tests.simulated import SimulatedClock, simulate

PATTERNS = BuildSettings().gate


@pytest.mark.parametrize(
    "command",
    [
        "make",
        "make -j4 test",
        "cd src && make",
        "ls; cargo build --release",
        "CC=clang CFLAGS='-O2 -g' make",
        "env -u X A=1 nice -n 5 make all 2>&1 | tail -5",
        "time -p npm test",
        "timeout 60s pytest -q",
        "timeout -k 5 60 pytest",
        "/usr/bin/make",
        ".venv/bin/pytest tests",
        "python -m pytest tests",
        "python3.12 -m pytest",
        "uv run pytest",
        "bash -lc 'cd x && cargo test'",
        'sh -c "make"',
        "(cd a; make) || true",
        "if make; then echo ok; fi",
        "echo $(cargo metadata)",
        "set -e\nmake\n",
        "true &\nmake",
        "x86_64-linux-gnu-gcc -c a.c",
    ],
)
def test_builds_are_recognised(command: str) -> None:
    assert is_build(command, PATTERNS)


@pytest.mark.parametrize(
    "command",
    [
        "",
        "ls",
        "cat Makefile",
        "echo 'first; make'",
        'git commit -m "now && make it"',
        "grep -rn cargo .",
        "python -c 'x\nmake'",
        "cd make",
        "echo a\\;make",
        "cargofmt",
    ],
)
def test_other_commands_pass(command: str) -> None:
    assert not is_build(command, PATTERNS)


def test_hostile_lines_are_split_without_harm() -> None:
    rng = random.Random(1)
    for _ in range(300):
        line = "".join(rng.choice("ab '\"\\;&|()`\n$=-") for _ in range(60))
        assert all(simple_commands(line))
        is_build(line, PATTERNS)
    is_build("bash -c '" * 5_000, PATTERNS)


def test_builds_are_limited_to_the_slots_and_other_commands_pass_at_once() -> None:
    async def main(clock: SimulatedClock) -> None:
        gate = BuildGate(PATTERNS, 2, clock)
        running = most = 0

        async def build(number: int) -> float:
            nonlocal running, most
            async with gate.pass_for("make", f"p{number % 3}") as waited:
                running += 1
                most = max(most, running)
                await clock.sleep(10)
                running -= 1
                return waited

        waits = asyncio.gather(*(build(number) for number in range(6)))
        await clock.sleep(1)
        async with gate.pass_for("ls", "p0") as waited:
            assert waited == 0
        assert (gate.figures().building, gate.figures().waiting) == (2, 4)
        assert sorted(await waits) == pytest.approx([0, 0, 10, 10, 20, 20])
        assert most == 2

    simulate(main)


def test_a_crowd_in_one_subtree_does_not_keep_another_waiting() -> None:
    async def main(clock: SimulatedClock) -> None:
        gate = BuildGate(PATTERNS, 1, clock)
        order: list[str] = []

        async def build(subtree: str) -> None:
            async with gate.pass_for("make", subtree):
                order.append(subtree)
                await clock.sleep(1)

        crowd = [asyncio.create_task(build("crowd")) for _ in range(10)]
        await clock.sleep(0.5)
        few = [asyncio.create_task(build("few")) for _ in range(2)]
        await asyncio.gather(*crowd, *few)
        assert order[:4] == ["crowd", "few", "crowd", "few"]

    simulate(main)


def test_cancelled_commands_free_their_slots() -> None:
    async def main(clock: SimulatedClock) -> None:
        gate = BuildGate(PATTERNS, 2, clock)
        rng = random.Random(5)

        async def build(number: int) -> None:
            async with gate.pass_for("make", f"p{number % 4}"):
                await clock.sleep(rng.random())

        builds = [asyncio.create_task(build(number)) for number in range(200)]
        for _ in range(60):
            await clock.sleep(rng.random() / 4)
            for task in rng.sample(builds, 5):
                task.cancel()
        await asyncio.gather(*builds, return_exceptions=True)
        figures = gate.figures()
        assert (figures.building, figures.waiting) == (0, 0)
        async with asyncio.timeout(1):
            async with gate.pass_for("make", "a") as first, gate.pass_for("make", "b") as second:
                assert first == second == 0

    simulate(main)


def test_a_slot_granted_during_a_cancellation_is_passed_on() -> None:
    async def main(clock: SimulatedClock) -> None:
        gate = BuildGate(PATTERNS, 1, clock)

        async def build() -> None:
            async with gate.pass_for("make", "p"):
                await clock.sleep(1)

        first, second, third = (asyncio.create_task(build()) for _ in range(3))
        await clock.sleep(0.5)
        first.add_done_callback(lambda _: second.cancel())
        await asyncio.gather(first, second, third, return_exceptions=True)
        assert second.cancelled()
        assert third.exception() is None

    simulate(main)


def test_slots_change_while_builds_wait() -> None:
    async def main(clock: SimulatedClock) -> None:
        gate = BuildGate(PATTERNS, 1, clock)

        async def build() -> float:
            async with gate.pass_for("make", "p") as waited:
                await clock.sleep(10)
                return waited

        builds = [asyncio.create_task(build()) for _ in range(4)]
        await clock.sleep(1)
        gate.slots = 3
        await clock.sleep(1)
        assert gate.figures().building == 3
        gate.slots = 1
        assert sorted(await asyncio.gather(*builds)) == pytest.approx([0, 1, 1, 11])

    simulate(main)


def test_contention_is_the_share_of_waiting_in_the_last_minute() -> None:
    async def main(clock: SimulatedClock) -> None:
        gate = BuildGate(PATTERNS, 1, clock)
        assert gate.figures().contention == 0

        async def build(agent: str) -> None:
            async with gate.pass_for("make", "p", agent):
                await clock.sleep(10)

        await asyncio.gather(build("a"), build("b"))
        whole, a, b = gate.figures(), gate.figures("a"), gate.figures("b")
        assert (whole.wait_s, whole.run_s) == pytest.approx((10, 20))
        assert whole.contention == pytest.approx(100 * 10 / 30)
        assert (a.contention, b.contention) == pytest.approx((0, 50))
        gate.note_lock_wait(5, "a")
        assert gate.figures("a").contention == pytest.approx(50)
        await clock.sleep(50)
        assert gate.figures().run_s == pytest.approx(10)
        await clock.sleep(61)
        assert gate.figures().contention == 0

    simulate(main)


def test_auto_means_one_slot_per_core() -> None:
    assert BuildGate((), "auto", SimulatedClock()).slots == os.cpu_count()
    assert BuildGate((), "3", SimulatedClock()).slots == 3


def test_a_suspended_build_lends_its_slot_and_takes_it_back() -> None:
    async def main(clock: SimulatedClock) -> None:
        gate = BuildGate(("make*",), 1, clock)
        entered: list[str] = []

        async def build(name: str, end: asyncio.Event) -> None:
            async with gate.pass_for("make", name):
                entered.append(name)
                await end.wait()

        first, second, third = asyncio.Event(), asyncio.Event(), asyncio.Event()
        builds = [asyncio.ensure_future(build(n, e)) for n, e in (("a", first), ("b", second), ("c", third))]
        await clock.sleep(1)
        assert entered == ["a"]
        back = gate.step_aside("make")
        assert gate.step_aside("ls")() is None, "what is no build holds no place"
        await clock.sleep(1)
        assert entered == ["a", "b"]
        back()
        second.set()
        await clock.sleep(1)
        assert entered == ["a", "b"], "the place is the first one's again"
        first.set()
        third.set()
        await asyncio.gather(*builds)

    simulate(main)


def test_while_commands_get_no_cpu_all_wait_their_turn_and_the_oldest_agent_comes_first() -> None:
    async def main(clock: SimulatedClock) -> None:
        gate = BuildGate(("make*",), 2, clock)
        gate.commands = 1
        order: list[str] = []
        waits: list[str] = []

        async def command(agent: str) -> None:
            async with gate.pass_for("ls", "one", agent, waits.append) as waited:
                order.append(agent)
                assert waited == 0.0
                await clock.sleep(1)

        tasks = [asyncio.create_task(command(agent)) for agent in ("a3", "a2", "a1")]
        await asyncio.gather(*tasks)
        assert order == ["a3", "a1", "a2"]
        assert waits == ["for a CPU", "for a CPU (1 other)"]

    simulate(main)


def test_a_suspended_command_lets_another_one_in_and_no_limit_lets_all_in() -> None:
    async def main(clock: SimulatedClock) -> None:
        gate = BuildGate(("make*",), 2, clock)
        gate.commands = 1
        running: list[str] = []

        async def command(agent: str) -> None:
            async with gate.pass_for("ls", "one", agent):
                running.append(agent)
                await clock.sleep(60)

        tasks = [asyncio.create_task(command(agent)) for agent in ("a1", "a2", "a3")]
        await clock.sleep(1)
        assert running == ["a1"]
        take_back = gate.step_aside("ls")
        await clock.sleep(1)
        assert running == ["a1", "a2"]
        take_back()
        gate.commands = None
        await asyncio.gather(*tasks)
        assert running == ["a1", "a2", "a3"]

    simulate(main)
