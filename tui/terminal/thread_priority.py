"""Gives the UI thread priority over engine threads (GIL, scheduler, garbage collector).

Handling a key takes about ten milliseconds in many small steps. Whenever the UI thread waits, another thread takes the
GIL and keeps it for the switch interval, and afterwards the UI thread has to wait for a CPU again.
"""

import ctypes
import gc
import os
import platform
import selectors
import struct
import sys
import threading
import time
from contextlib import suppress

WAITING_S = 0.0001
"""The switch interval while the UI thread waits: how long another thread may keep the GIL."""
WORKING_S = 0.005
"""The switch interval while the UI thread works: Python's default."""
POLL_S = 0.002
"""How long the event loop works without polling for input."""
MIDDLE_EVERY = 3
"""Collections of the youngest generation per collection of the middle one. With Python's default of 10, each takes
three times as long.
"""
FULL_EVERY = 300
"""Collections of the middle generation per full one, which stops all threads while it scans the engine's objects."""
OVERDUE = 3000
"""The same while keys are pressed without a break."""
IDLE_S = 2.0
"""Seconds without a key after which a full collection disturbs nobody."""
SLICE_NS = 100_000
"""The requested time slice. Threads with short slices are scheduled sooner. Needs Linux 6.12, but no privileges."""
_SET_ATTRIBUTES = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
"""The system call number of sched_setattr(2)."""
_RESET_ON_FORK = 1


class ScreenSelector(selectors.DefaultSelector):
    """The selector of the UI's event loop: gives up the GIL only when the loop is idle, not at each step."""

    def __init__(self) -> None:
        super().__init__()
        self._polled_at = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0 and time.monotonic() - self._polled_at < POLL_S:
            return []
        sys.setswitchinterval(WAITING_S)
        try:
            return super().select(timeout)
        finally:
            sys.setswitchinterval(WORKING_S)
            self._polled_at = time.monotonic()


def prioritise_ui_threads() -> None:
    """Request short time slices for the present threads, not for later ones, and exempt present objects from GC."""
    gc.freeze()
    gc.set_threshold(gc.get_threshold()[0], MIDDLE_EVERY, OVERDUE)
    for thread in threading.enumerate():
        if thread.native_id is not None:
            with suppress(OSError):  # it has ended
                _request_short_slices(thread.native_id)


def collect_while_idle(idle_s: float) -> None:
    """Collect all garbage if it is due, and if no key is to be expected soon after the last one."""
    if idle_s >= IDLE_S and gc.get_count()[2] >= FULL_EVERY:
        gc.collect()


def collect_as_usual() -> None:
    """Let Python decide again when to collect, because no keys are expected any more."""
    gc.set_threshold(gc.get_threshold()[0], 10, 10)


def _request_short_slices(thread: int) -> None:
    number = _SET_ATTRIBUTES.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return
    nice = os.getpriority(os.PRIO_PROCESS, thread)
    policy = os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK
    attributes = struct.pack("IIQiIQQQ", 48, policy, _RESET_ON_FORK, nice, 0, SLICE_NS, 0, 0)
    ctypes.CDLL(None).syscall(number, thread, attributes, 0)
