"""The UI threads' priority: they get the GIL as soon as they need it, and short time slices."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from engine.domain import events as e
from tests.tui.apps import app_on, main_of, settle
from tests.tui.swarms import small
from tui.screens.main import PATIENCE
from tui.terminal.thread_priority import POLL_S, WAITING_S, WORKING_S, ScreenSelector

FIRST = """
import gc, os, threading
from tui.terminal.thread_priority import FULL_EVERY, prioritise_ui_threads
nice = os.nice(0)
before, after = threading.Event(), threading.Event()
screen = threading.Thread(target=before.wait)
screen.start()
prioritise_ui_threads()
prioritise_ui_threads()
engine = threading.Thread(target=after.wait)
engine.start()
print([bool(os.sched_getscheduler(each) & os.SCHED_RESET_ON_FORK) for each in (0, screen.native_id, engine.native_id)])
print(os.nice(0) == nice, gc.get_freeze_count() > 1000, gc.get_threshold()[2] == FULL_EVERY)
before.set(), after.set()
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


@pytest.mark.parametrize("looks", [3, 10_000], ids=["a short answer", "an endless one"])
async def test_a_pane_waits_for_a_key_that_is_being_handled_but_not_forever(
    looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.screens.main.POLL_S", 3600.0)
    monkeypatch.setattr("tui.screens.main.KEY_S", 0.0)
    session = small()
    app = app_on(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        main = main_of(app)
        happened: list[str] = []
        left = iter(range(looks, 0, -1))

        def handling_key(_: object) -> bool:
            happened.append("look")
            return next(left, 0) > 1

        monkeypatch.setattr(type(app), "handling_key", property(handling_key))
        monkeypatch.setattr(main.panes.agents, "update", lambda: happened.append("agents"))
        monkeypatch.setattr(main.panes.handoffs, "update", lambda: happened.append("handoffs"))
        session.record(e.WorkersLimited(1, "person"))
        await main.poll()
    waited = min(looks, PATIENCE + 1)
    assert happened[: waited + 1] == ["look"] * waited + ["agents"]
    assert "handoffs" in happened
