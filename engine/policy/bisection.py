"""Finds the landing that broke trunk, by a binary search with a limited number of checks."""

from collections.abc import Awaitable, Callable, Collection, Sequence

from engine.domain.types import CommitId


async def trace(
    commits: Sequence[CommitId],
    passes: Callable[[CommitId], Awaitable[bool]],
    most: int,
    repaired: Collection[CommitId] = (),
) -> tuple[tuple[CommitId, ...], int]:
    """The suspects, oldest first, and the number of checks, at most `most`.

    `commits` are oldest first: the commit before them passes, the last one fails. Trunk may have broken and been
    repaired in between, so the newest of the `repaired` commits is checked first, to find what broke trunk last.
    """
    low, high, made = -1, len(commits) - 1, 0
    repairs = [place for place, commit in enumerate(commits[:-1]) if commit in repaired]
    while high - low > 1 and made < most:
        middle = repairs[-1] if repairs and not made else (low + high) // 2
        made += 1
        if await passes(commits[middle]):
            low = middle
        else:
            high = middle
    return tuple(commits[low + 1 : high + 1]), made
