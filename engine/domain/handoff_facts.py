"""The parts of a handoff beside an agent's sentences: findings with their evidence, and facts that the engine knows."""

from msgspec import Struct


class Finding(Struct, frozen=True):
    """Something that an agent found out. `seen`: it saw it happen, or only inferred it; None: it did not say.

    `share`: it is worth knowing for later agents.
    """

    text: str
    seen: bool | None = None
    share: bool = False

    def __str__(self) -> str:
        return self.text if self.seen is None else f"{'seen' if self.seen else 'inferred'}: {self.text}"


class SharedFinding(Struct, frozen=True):
    """A finding as later agents read it: one bounded line. `seq` is the event that brought it."""

    seq: int
    text: str
    seen: bool


UNREADABLE = "result not readable"
"""How a test run ended whose exit status is another command's, without a summary."""


class SuiteRun(Struct, frozen=True):
    """A command that an agent ran as a test, shortened, and how it ended: `372 passed`, `exit 1`, `killed: timeout`.

    `passed` is None if that is not known. `output` names failures. `covers`: it tested what the command left behind,
    not something else on purpose, such as the code without the change.
    """

    command: str
    passed: bool | None
    ended: str
    wall_s: float
    output: str = ""
    covers: bool = True


class SuiteLog(Struct, frozen=True):
    """What an agent has tested so far: its last runs. The last `fresh` of them cover its files as they are, documents
    aside: no file changed after them.

    `maybe`: since then it ran something else that may have been a test. `whole`: all its commands are known.
    """

    runs: tuple[SuiteRun, ...] = ()
    fresh: int = 0
    maybe: bool = False
    whole: bool = True

    @property
    def stale(self) -> bool:
        """Whether files changed after the last run."""
        return bool(self.runs) and not self.fresh

    @property
    def last(self) -> SuiteRun | None:
        """The run whose result counts: the last one that covers the files as they are, and can be read if any can."""
        fresh = self.runs[-self.fresh :] if self.fresh else ()
        return next((run for run in reversed(fresh) if run.ended != UNREADABLE), fresh[-1] if fresh else None)


class Facts(Struct, frozen=True):
    """What the engine knows about the work behind a handoff, at its delivery.

    `wall_s`, `steps` and `tokens` are those of all attempts at a task, or of everything below a planner. `files`,
    `added` and `removed` (lines) are what landed, None if that is not known; `onto_newer`: trunk had moved on since the
    change began. `tests` is the run whose result counts (in older journals several), None if runs are not known;
    `earlier` counts those before it; `stale`: files changed after the last one. `tasks` counts a planner's tasks by
    their state, with those of its subplanners. `check` is what was known of trunk's check. `dependencies` are those
    that the change adds. `doubts` are claims of the handoff that the record does not bear out.
    """

    wall_s: float = 0.0
    attempts: int = 0
    steps: int = 0
    tokens: int = 0
    commits: int = 0
    files: int | None = None
    added: int | None = None
    removed: int | None = None
    onto_newer: bool = False
    tests: tuple[SuiteRun, ...] | None = None
    stale: bool = False
    earlier: int = 0
    tasks: dict[str, int] = {}
    check: str = ""
    dependencies: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def is_document(path: str) -> bool:
    """Whether a file is only read by people, so that no test depends on it."""
    return path.lower().endswith((".md", ".rst", ".txt", ".adoc"))
