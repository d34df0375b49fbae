"""The screen first: its threads have the interpreter and the processor before the engine's, in the same process.

A key is answered by some ten milliseconds of work in many small steps. Whenever the screen's thread waits, another one
takes the interpreter, and keeps it for as long as Python lets it; and the screen's has to wait for a processor again.
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
"""How long another thread keeps the interpreter once the screen's wants it."""
WORKING_S = 0.005
"""How long the screen's keeps it: Python's own measure."""
LOOK_S = 0.002
"""How long the screen's loop works on what it has before it looks for what came in."""
FULL_EVERY = 100
"""Smaller collections to a full one, which stops all threads while it looks at everything that the engine keeps."""
SLICE_NS = 100_000
"""Who asks the scheduler for short turns has them soon; Linux 6.12 and later, anyone may."""
_SET_ATTRIBUTES = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
"""The number of sched_setattr(2)."""
_RESET_ON_FORK = 1


class ScreenSelector(selectors.DefaultSelector):
    """What the screen's loop waits with. Others have the interpreter when it has nothing to do, not at each step."""

    def __init__(self) -> None:
        super().__init__()
        self._looked = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0 and time.monotonic() - self._looked < LOOK_S:
            return []
        sys.setswitchinterval(WAITING_S)
        try:
            return super().select(timeout)
        finally:
            sys.setswitchinterval(WORKING_S)
            self._looked = time.monotonic()


def put_first() -> None:
    """Give the threads that there are short turns, but none that they start; what was loaded is not collected again."""
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], FULL_EVERY)
    for thread in threading.enumerate():
        if thread.native_id is not None:
            with suppress(OSError):  # it has ended
                _shorten_turns(thread.native_id)


def _shorten_turns(thread: int) -> None:
    number = _SET_ATTRIBUTES.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return
    nice = os.getpriority(os.PRIO_PROCESS, thread)
    policy = os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK
    attributes = struct.pack("IIQiIQQQ", 48, policy, _RESET_ON_FORK, nice, 0, SLICE_NS, 0, 0)
    ctypes.CDLL(None).syscall(number, thread, attributes, 0)
