"""What all sandboxes may take of the machine's memory together, where no control group keeps them below it."""

from collections.abc import Callable


class MemoryPool:
    """Sandboxes tell what their commands take; beyond `limit` (bytes) the largest command is ended.

    Between two looks of a launcher more can be taken: it is polled.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: dict[object, tuple[int, Callable[[], None]]] = {}

    def note(self, who: object, size: int, end: Callable[[], None]) -> None:
        """`who` takes `size` bytes now; `end` ends what it runs."""
        self._taken[who] = (size, end)
        if sum(taken for taken, _ in self._taken.values()) > self._limit:
            largest = max(self._taken, key=lambda each: self._taken[each][0])
            self._taken.pop(largest)[1]()

    def forget(self, who: object) -> None:
        self._taken.pop(who, None)
