"""What the engine's logic needs of the world, as protocols; only the wiring knows which implementation is used.

Nothing here or in the logic touches a clock, a random source, a process, the disk, git or the network.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from msgspec import Struct

from engine.domain.conversation import Request, Turn
from engine.domain.events import Draft, Event
from engine.domain.types import (
    AgentId,
    AgentUse,
    Check,
    CommitId,
    LandingState,
    Micros,
    ModelName,
    Sample,
    TaskId,
    Usage,
)
from engine.state.snapshot import Snapshot


class Clock(Protocol):
    def now(self) -> Micros:
        """UTC, in microseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class Randomness(Protocol):
    def random(self) -> float:
        """A float in [0, 1)."""
        ...


class Ids(Protocol):
    def new(self, prefix: str) -> str:
        """A fresh id that sorts after every id made before it: `PREFIX` and base-32 digits."""
        ...


# --- journal -------------------------------------------------------------------------------------------------


class Journal(Protocol):
    """The append-only record of a run. Sequence numbers start at 1 and have no holes."""

    def append(self, events: Sequence[Event]) -> None:
        """Queue events for one atomic write, in order. Returns at once; raises nothing about the disk."""
        ...

    def checkpoint(self, snapshot: Snapshot) -> None:
        """Offer the state after the last appended event: now and then it is kept, so that opening is quick."""
        ...

    async def durable(self, seq: int) -> None:
        """Wait until all events up to `seq` are on disk.

        Raises SwarmError (journal) when the journal cannot be written.
        """
        ...

    def events(self, after: int = 0) -> AsyncIterator[Event]:
        """All durable events with a greater sequence number, in order, bodies whole."""
        ...

    async def agent_events(self, agent: AgentId) -> list[Event]:
        """The durable events of one agent, in order, bodies whole."""
        ...

    async def close(self) -> None: ...


# --- models --------------------------------------------------------------------------------------------------


class Provider(Protocol):
    """A language-model service. One instance serves all agents of a run."""

    name: str

    async def ask(self, request: Request, on_text: Callable[[str], None]) -> Turn:
        """One streamed call; `on_text` gets text as it arrives.

        Raises ModelError, and never anything else but CancelledError. Never retries.
        """
        ...

    async def close(self) -> None: ...


class Models(Protocol):
    """All providers behind one door: limits, retries and prices included."""

    def check(self, model: ModelName) -> None:
        """Raises SwarmError (provider) unless the name is `PROVIDER:NAME` with a provider that exists."""
        ...

    async def prepare(self, models: Sequence[ModelName]) -> None:
        """Open what the models need ahead of the first call. Raises SwarmError: no such provider, no key."""
        ...

    async def ask(
        self,
        model: ModelName,
        request: Request,
        on_text: Callable[[str], None],
        on_retry: Callable[[str, float, Usage], None],
    ) -> Turn:
        """Ask until a whole turn arrives; `on_retry(reason, seconds, spent)` is told of each wait before a retry, and
        of what the try before it has used though it came to nothing.

        Every usage has `usd` filled in where the price is known. Raises ModelError for good, with that of the last try.
        """
        ...

    def window(self, model: ModelName) -> int:
        """Tokens that fit into the model's context, input and output together."""
        ...

    def longest_wait(self, model: ModelName) -> float:
        """Seconds between two tries of one call at most, as the settings of the model's provider have it."""
        ...

    async def close(self) -> None: ...


# --- the repo ------------------------------------------------------------------------------------------------


class LandResult(Struct, frozen=True):
    """What became of a change that was offered to trunk.

    `base` is the tip it was merged on, `commit` the new tip (None unless merged). On a conflict `conflicts` names
    the paths and `merged` is a commit on `base` whose tree is the merge with conflict markers in those paths.
    `state` is never `resolved`: whether a conflict came before is the caller's knowledge. `large` are the bytes of
    those files among `paths` that are large (engine.domain.collisions).
    """

    state: LandingState
    base: CommitId
    commit: CommitId | None = None
    paths: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    merged: CommitId | None = None
    reason: str = ""
    large: dict[str, int] = {}


class Trunk(Protocol):
    """The trunk of one run: a git ref that only grows, moved by compare-and-swap."""

    async def tip(self) -> CommitId: ...

    async def land(self, change: CommitId, message: str) -> LandResult:
        """Merge `change` (a commit whose parent is the trunk commit it started from) onto the newest tip.

        The landed commit has exactly one parent, the tip, and `message` (with its trailers) as its message.
        Retries when trunk moves meanwhile; refuses after a bounded number of times. A change whose tree equals
        its parent's, or whose merge changes nothing, is `empty`.
        """
        ...

    async def find_landed(self, task: TaskId) -> CommitId | None:
        """The commit of this run on trunk that carries the trailer `Swarm-Task: TASK`."""
        ...

    async def landed_since(self, commit: CommitId) -> list[CommitId]:
        """Trunk's commits after `commit`, oldest first."""
        ...

    async def read_file(self, commit: CommitId, path: str) -> bytes | None:
        """A regular file's content in a commit; None when there is none."""
        ...

    async def diff(self, old: CommitId, new: CommitId) -> str:
        """A unified patch with git's headers and rename detection."""
        ...

    async def move_green(self, commit: CommitId) -> None: ...

    async def publish(self) -> str:
        """Bring trunk and green into the person's repo as refs; an empty string, or why a ref was left alone."""
        ...


class Output(Struct, frozen=True):
    """What a contained command did.

    `text` is head and tail of what it wrote (stdout and stderr as they came), `cut` the number of bytes left
    out between them, `whole` where in the workspace all of it stands (empty when nothing was cut). `exit` is
    None when it was killed, then `killed` says why: `timeout`, `memory`, `processes`, `cpu`, `output`, `disk`,
    `cancelled`, or where all commands or copies together took too much, `swarm memory`, `swarm processes` or
    `swarm disk`.
    """

    exit: int | None
    text: str
    cut: int
    whole: str
    killed: str
    wall_s: float


class Entry(Struct, frozen=True):
    """A file or folder in a listing. `path` is relative to the workspace; folders end in `/`; `size` in bytes."""

    path: str
    size: int


class Match(Struct, frozen=True):
    """A line that matched a search; `line` counts from 1."""

    path: str
    line: int
    text: str


class Workspace(Protocol):
    """One agent's own copy of the repo, in which it can do no harm.

    File paths are relative to the copy (an absolute path inside it is accepted). File methods raise
    WorkspaceError with a message fit for the agent: no such file, a folder, not a regular file, leads outside.
    """

    root: str
    """The folder as commands inside see it, for example `/ws`."""
    base: CommitId
    """The trunk commit that the next landing merges from."""

    async def run(self, command: str, timeout_s: float, on_output: Callable[[str], None]) -> Output:
        """Run a shell command in the copy, contained, with its whole process tree bounded by `timeout_s`."""
        ...

    async def freeze(self) -> None:
        """Stop the command that runs, with its whole process tree and the clock of its deadline."""
        ...

    async def thaw(self) -> None:
        """Let it run on where it stood."""
        ...

    async def read_file(self, path: str) -> bytes: ...

    async def write_file(self, path: str, content: bytes) -> None:
        """Write a whole file, making its folders; a file's executable bit survives."""
        ...

    async def list_files(self, path: str, depth: int, limit: int) -> list[Entry]:
        """Entries below `path`, sorted, folders before what they hold; `.git` is left out."""
        ...

    async def search(self, pattern: str, path: str, limit: int) -> list[Match]:
        """Lines that match a regular expression (Python's `re`) in text files below `path`."""
        ...

    async def changed(self) -> tuple[str, ...]:
        """Paths that differ from `base`, sorted, without what git ignores."""
        ...

    async def diff(self) -> str:
        """The copy as it stands now against `base`, as a unified patch."""
        ...

    async def commit(self, message: str) -> CommitId:
        """What `changed` names as a commit on `base`, its objects where trunk finds them."""
        ...

    async def advance(self, commit: CommitId, base: CommitId) -> None:
        """Bring the copy's files to the tree of `commit` and make `base` its base. Ignored files stay."""
        ...

    async def close(self) -> None:
        """Kill what runs in it and remove it."""
        ...


class WorkspaceError(Exception):
    """A file operation that the agent asked for cannot be done; the message says why."""


class WorkspaceLost(Exception):  # noqa: N818 - a state of the world, told like an exception
    """The workspace died under its agent (its sandbox was killed): the attempt is lost, not failed."""


class Workspaces(Protocol):
    """Makes workspaces. `level` is the sandbox level in force, `method` how copies are made.

    `not_guaranteed`: what the level does not promise; `granted`: what settings let commands reach beside it.
    """

    level: str
    method: str
    not_guaranteed: tuple[str, ...]
    granted: tuple[str, ...]
    warm: bool
    """Whether copies begin with what `keep_builds` kept."""

    async def open(self, agent: AgentId, commit: CommitId, *, anew: bool = False) -> Workspace:
        """A copy of a trunk commit. `anew`: without what was built before."""
        ...

    async def keep_builds(self, workspace: Workspace) -> None:
        """Close the copy in which a check of a trunk commit has come to its end; what it built there is where later
        copies begin. For the engine's own checks alone: what is kept, everyone's commands will trust.
        """
        ...

    async def sweep(self) -> None:
        """Remove what agents of an earlier epoch left."""
        ...

    async def close(self) -> None: ...


class Checker(Protocol):
    """Runs the project's check on a trunk commit, contained, in a copy of its own."""

    async def check(self, commit: CommitId) -> Check: ...


# --- resources -----------------------------------------------------------------------------------------------


class Meters(Protocol):
    async def sample(self) -> Sample: ...

    def uses(self) -> dict[AgentId, AgentUse]:
        """What agents' commands used at the last sample; who is missing used nothing."""
        ...


# --- the engine's state --------------------------------------------------------------------------------------


class Recorder(Protocol):
    """The one way in which the engine's state changes: events, recorded together and folded at once."""

    def record(self, *drafts: Draft, cause: int | None = None) -> int:
        """Record events atomically; returns the last one's sequence number."""
        ...

    async def durable(self, seq: int) -> None:
        """Wait until all events up to `seq` are on disk."""
        ...
