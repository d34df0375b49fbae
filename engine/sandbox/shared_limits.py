"""Limits on all commands together: each reports its use; when the sum exceeds a limit, the largest is ended."""

from collections.abc import Callable

SWARM = "swarm "
"""The prefix of the cause of a command's end if it was a limit on all commands together."""

End = Callable[[str], None]
"""Ends a command, for the given cause."""


class SharedLimit:
    """A shared amount of one resource, such as bytes of memory. Reports are polled, so the limit may be exceeded
    briefly."""

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.cause = SWARM + name
        self.total = 0
        """What all together use."""
        self._taken: dict[object, tuple[int, End | None]] = {}

    def hold(self, who: object, size: int, end: End | None = None) -> None:
        """Report that `who` now uses `size`; `end` ends its running command, if any."""
        self.forget(who)
        self._taken[who] = (size, end)
        self.total += size

    def note(self, who: object, size: int, end: End) -> None:
        """Report, and end the largest running command if all together use too much."""
        self.hold(who, size, end)
        if self.total > self.limit:
            ends = {each: (taken, end) for each, (taken, end) in self._taken.items() if end is not None}
            largest = max(ends, key=lambda each: ends[each][0])
            self.forget(largest)
            ends[largest][1](self.cause)

    def forget(self, who: object) -> None:
        self.total -= self._taken.pop(who, (0, None))[0]


class CpuShare:
    """The sums over all commands of the seconds in which they could have run, and in which they had no CPU of these."""

    def __init__(self) -> None:
        self.ready_s = self.lost_s = 0.0

    def note(self, ready_s: float, lost_s: float) -> None:
        self.ready_s += max(0.0, ready_s)
        self.lost_s += max(0.0, min(ready_s, lost_s))


class SharedLimits:
    """The shared limits; sizes in bytes. Commands report memory and processes even if control groups enforce those
    limits."""

    def __init__(self, memory: int, processes: int, disk: int) -> None:
        self.memory = SharedLimit("memory", memory)
        self.processes = SharedLimit("processes", processes)
        self.disk = SharedLimit("disk", disk)
        self.cpu = CpuShare()
        self._met: list[str] = []

    def ended(self, killed: str) -> None:
        """Note that a command was ended for the cause `killed`."""
        if killed.startswith(SWARM) and (name := killed.removeprefix(SWARM)) not in self._met:
            self._met.append(name)

    def met(self) -> tuple[str, ...]:
        """The shared limits that were hit since the last call."""
        met, self._met = tuple(self._met), []
        return met
