"""Charging what the machine lacks to commands that hide something, with a machine that is a number."""

import asyncio
import time
from collections.abc import Callable

import pytest

from engine.sandbox import unseen
from engine.sandbox.shared_limits import SharedLimit
from engine.sandbox.unseen import Account, Unseen

LIMIT = 100


class Machine:
    """What everybody uses of it. Another program takes `rate` of it each second."""

    def __init__(self) -> None:
        self.used = 1000
        self.rate = 0
        self.began = time.monotonic()

    def look(self) -> int:
        return self.used + int(self.rate * (time.monotonic() - self.began))


class Command:
    """A command that uses `hidden` until it is ended."""

    def __init__(self, watch: Unseen, machine: Machine) -> None:
        self.watch = watch
        self.machine = machine
        self.hidden = 0
        self.suspended: set[str] = set()
        self.suspensions = 0
        self.ended: list[str] = []
        self.account = Account(self, LIMIT)
        watch.open(self.account)

    def hide(self, size: int) -> None:
        self.hidden += size
        self.machine.used += size
        self.account.opaque = True

    async def freeze(self, why: str) -> None:
        self.suspended.add(why)
        self.suspensions += 1

    async def thaw(self, why: str) -> None:
        self.suspended.discard(why)

    def end_command(self, why: str) -> None:
        self.ended.append(why)
        self.machine.used -= self.hidden
        asyncio.get_running_loop().call_soon(self.watch.close, self.account)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(unseen, "LOOK_S", 0.1)
    return Machine()


def watch_of(machine: Machine, limit: int = 10_000) -> Unseen:
    return Unseen(SharedLimit("disk", limit), machine.look)


async def until(condition: Callable[[], object]) -> None:
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not happen")


async def test_a_command_that_hides_too_much_is_ended_and_the_others_continue(machine: Machine) -> None:
    watch = watch_of(machine)
    honest, hiding = Command(watch, machine), Command(watch, machine)
    hiding.hide(LIMIT + 1)
    await until(lambda: hiding.ended and not honest.suspended)
    assert (hiding.ended, honest.ended) == (["disk"], [])
    assert honest.suspensions == 1


async def test_a_command_that_hides_nothing_is_not_charged(machine: Machine) -> None:
    watch = watch_of(machine)
    honest = Command(watch, machine)
    machine.used += 10 * LIMIT
    await asyncio.sleep(0.4)
    assert (honest.ended, honest.suspensions) == ([], 0)


async def test_what_another_command_explains_is_not_charged(machine: Machine) -> None:
    watch = watch_of(machine)
    hiding, open_one = Command(watch, machine), Command(watch, machine)
    hiding.hide(1)
    machine.used += 10 * LIMIT
    watch.note(open_one.account, 10 * LIMIT, 10 * LIMIT, opaque=False)
    await asyncio.sleep(0.4)
    assert hiding.ended == []


async def test_what_goes_on_while_commands_are_suspended_is_not_charged(machine: Machine) -> None:
    watch = watch_of(machine)
    hiding = Command(watch, machine)
    hiding.hide(1)
    machine.rate = 100 * LIMIT
    await until(lambda: hiding.suspensions > 2)
    assert hiding.ended == []


async def test_hidden_use_counts_for_all_commands_together(machine: Machine) -> None:
    watch = watch_of(machine, LIMIT // 2)
    hiding = Command(watch, machine)
    hiding.hide(LIMIT // 2 + 1)
    await until(lambda: hiding.ended)
    assert hiding.ended == ["swarm disk"]


async def test_space_of_closed_copies_is_not_charged(machine: Machine) -> None:
    watch = watch_of(machine)
    hiding = Command(watch, machine)
    hiding.hide(1)
    machine.used += 10 * LIMIT
    watch.explain("idle", 10 * LIMIT)
    watch.leave("idle")
    removed = watch.release()
    await asyncio.sleep(0.2)
    machine.used -= 10 * LIMIT
    removed()
    await asyncio.sleep(0.2)
    assert hiding.ended == []
