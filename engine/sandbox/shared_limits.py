"""What commands may take all together: each tells what it takes, and beyond a limit the largest is ended."""

from collections.abc import Callable

SWARM = "swarm "
"""How the cause of a command's end begins when it was a limit of all together."""

End = Callable[[str], None]
"""Ends a command, for the cause given."""


class Pool:
    """One thing that there is so much of for all together, such as bytes of memory. What is told is polled, and so
    can be passed for a moment."""

    def __init__(self, name: str, limit: int) -> None:
        self.limit = limit
        self._cause = SWARM + name
        self._taken: dict[object, tuple[int, End | None]] = {}

    def hold(self, who: object, size: int, end: End | None = None) -> None:
        """`who` takes `size` now; `end` ends what it runs, if it runs anything."""
        self._taken[who] = (size, end)

    def note(self, who: object, size: int, end: End) -> None:
        """The same, and if all together now take too much, the largest that runs is ended."""
        self.hold(who, size, end)
        if sum(taken for taken, _ in self._taken.values()) > self.limit:
            ends = {each: (taken, end) for each, (taken, end) in self._taken.items() if end is not None}
            largest = max(ends, key=lambda each: ends[each][0])
            del self._taken[largest]
            ends[largest][1](self._cause)

    def forget(self, who: object) -> None:
        self._taken.pop(who, None)


class Pools:
    """Sizes in bytes. Where control groups keep the memory or the processes below, commands still tell of them."""

    def __init__(self, memory: int, processes: int, disk: int) -> None:
        self.memory = Pool("memory", memory)
        self.processes = Pool("processes", processes)
        self.disk = Pool("disk", disk)
        self._met: list[str] = []

    def ended(self, killed: str) -> None:
        """A command was ended for the cause `killed`."""
        if killed.startswith(SWARM) and (name := killed.removeprefix(SWARM)) not in self._met:
            self._met.append(name)

    def met(self) -> tuple[str, ...]:
        """The limits of all together that were met since this was asked last."""
        met, self._met = tuple(self._met), []
        return met
