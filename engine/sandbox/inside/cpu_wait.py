"""Measures how long a command could have run but got no CPU, because others had it (schedstat in proc(5))."""

import os

LOOK_S = 1.0


class CpuWait:
    """The seconds so far: `ready_s` in which a command's processes ran or could have run, and `lost_s` of these in
    which it had less than one CPU. A command that gets one CPU loses nothing, however many it could use.

    Kernels without scheduling statistics give 0.
    """

    def __init__(self, now: float) -> None:
        self.ready_s = self.lost_s = 0.0
        self.next = now + LOOK_S
        self._at = now
        self._used_s = 0.0
        self._seen: dict[str, tuple[int, int, int]] = {}
        """For each thread, in nanoseconds: how long it ran and waited, and how much of a present wait is counted
        already."""

    def look(self, pids: "list[int]", used_s: float, now: float) -> float:
        """Returns the seconds lost since the last look. `used_s`: the CPU seconds of all its processes so far. Those
        that have ended are assumed to have waited as much as those that live."""
        span, self._at, self.next = now - self._at, now, now + LOOK_S
        seen: dict[str, tuple[int, int, int]] = {}
        ran = waited = 0
        for task, task_ran, task_waited, runnable in [times for pid in pids for times in _times(pid)]:
            ran_before, waited_before, guessed = self._seen.get(task, (0, 0, 0))
            more_ran = max(0, task_ran - ran_before)
            more_waited = max(0, task_waited - waited_before - guessed)
            guessed = max(0, guessed - (task_waited - waited_before))
            # The kernel adds a wait only when it ends. A present wait is the time that is not accounted for otherwise.
            going_on = max(0, int(span * 1e9) - more_ran - more_waited) if runnable else 0
            seen[task] = task_ran, task_waited, guessed + going_on
            ran += more_ran
            waited += more_waited + going_on
        self._seen = seen
        used = max(ran / 1e9, used_s - self._used_s)
        self._used_s = max(self._used_s, used_s)
        ready = min(span, used + waited / 1e9 * (used * 1e9 / ran if ran else 1.0))
        lost = max(0.0, ready - used)
        self.ready_s += ready
        self.lost_s += lost
        return lost


def _times(pid: int) -> "list[tuple[str, int, int, bool]]":
    """For each thread: nanoseconds on a CPU, nanoseconds of waits that have ended, and whether it runs or waits now."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            place = f"/proc/{pid}/task/{task}"
            with open(f"{place}/schedstat", "rb") as times, open(f"{place}/stat", "rb") as stat:
                ran, waited, _ = times.read().split()
                found.append((task, int(ran), int(waited), stat.read().rpartition(b")")[2][1:2] == b"R"))
    except (OSError, ValueError):
        pass  # it has ended
    return found
