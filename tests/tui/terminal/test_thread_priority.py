"""The UI threads' priority: they get the GIL as soon as they need it, and short time slices."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tui.terminal.thread_priority import POLL_S, WAITING_S, WORKING_S, ScreenSelector

FIRST = """
import gc, os, threading
from tui.terminal.thread_priority import OVERDUE, prioritise_ui_threads
nice = os.nice(0)
before, after = threading.Event(), threading.Event()
screen = threading.Thread(target=before.wait)
screen.start()
prioritise_ui_threads()
prioritise_ui_threads()
engine = threading.Thread(target=after.wait)
engine.start()
print([bool(os.sched_getscheduler(each) & os.SCHED_RESET_ON_FORK) for each in (0, screen.native_id, engine.native_id)])
print(os.nice(0) == nice, gc.get_freeze_count() > 1000, gc.get_threshold()[2] == OVERDUE)
before.set(), after.set()
"""

COLLECTING = """
import gc
from tui.terminal.thread_priority import FULL_EVERY, IDLE_S, collect_as_usual, collect_while_idle, prioritise_ui_threads
prioritise_ui_threads()
full = []
gc.callbacks.append(lambda phase, info: full.append(info["generation"]) if info["generation"] == 2 else None)
collect_while_idle(IDLE_S)
print("too early", len(full))
while gc.get_count()[2] < FULL_EVERY:
    kept = [[] for _ in range(1000)]
collect_while_idle(IDLE_S / 2)
print("keys are pressed", len(full))
collect_while_idle(IDLE_S)
print("idle", len(full))
collect_as_usual()
print(gc.get_threshold() == (700, 10, 10))
"""


@pytest.fixture
def switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switching")
def test_the_switch_interval_is_short_while_the_ui_waits_and_normal_while_it_works() -> None:
    selector = ScreenSelector()
    reads, writes = os.pipe()
    selector.register(reads, 1)
    seen: list[float] = []

    def wake() -> None:
        seen.append(sys.getswitchinterval())
        os.write(writes, b"x")

    threading.Timer(0.05, wake).start()
    ((key, _),) = selector.select(10)
    assert key.fd == reads
    assert seen == [pytest.approx(WAITING_S)]
    assert sys.getswitchinterval() == pytest.approx(WORKING_S)
    selector.close()


@pytest.mark.usefixtures("switching")
def test_the_ui_keeps_the_gil_between_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("tui.terminal.thread_priority.time.monotonic", lambda: now)
    selector = ScreenSelector()
    reads, writes = os.pipe()
    selector.register(reads, 1)
    assert selector.select(0) == []
    os.write(writes, b"x")
    assert selector.select(0) == []  # it has just polled
    now += 2 * POLL_S
    assert len(selector.select(0)) == 1
    assert len(selector.select(1)) == 1  # with a timeout it always polls
    selector.close()


@pytest.mark.skipif(sys.platform != "linux", reason="how turns are asked for is Linux's own")
def test_present_threads_get_short_time_slices_and_later_ones_do_not() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[True, True, False]", "True True True"]


def test_all_garbage_is_collected_only_while_no_key_is_pressed() -> None:
    done = subprocess.run([sys.executable, "-c", COLLECTING], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["too early 0", "keys are pressed 0", "idle 2", "True"]
