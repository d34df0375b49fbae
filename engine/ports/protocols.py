"""What the engine's logic needs from the world, as protocols. Only the wiring knows which implementation is used.

Neither this module nor the logic touches a clock, a source of randomness, a process, the disk, git or the network.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from engine.domain.conversation import Request, Turn
from engine.domain.environment import Environment
from engine.domain.events import Event
from engine.domain.resource_use import AgentUse, LoadLimit, Sample
from engine.domain.types import AgentId, Check, CommitId, LandingState, Micros, ModelName, TaskId, Usage
from engine.state.recalled import Recalled
from engine.state.snapshot import Snapshot


class Clock(Protocol):
    def now(self) -> Micros:
        """The time in UTC, in microseconds since 1970."""

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""

    async def sleep(self, seconds: float) -> None: ...


class Randomness(Protocol):
    def random(self) -> float:
        """A float in [0, 1)."""


class Ids(Protocol):
    def new(self, prefix: str) -> str:
        """A new id, which sorts after all earlier ones of the same prefix: the prefix and base-32 digits."""


# --- journal -------------------------------------------------------------------------------------------------


class Journal(Protocol):
    """The append-only record of a run. Sequence numbers start at 1 and have no gaps."""

    def append(self, events: Sequence[Event]) -> None:
        """Queue events for one atomic write, in order. Returns at once and reports no disk errors."""

    def checkpoint(self, snapshot: Snapshot) -> None:
        """Offer the state after the last appended event. Some are kept, so that opening a run is quick."""

    async def durable(self, seq: int) -> None:
        """Wait until all events up to `seq` are on disk.

        Raises SwarmError (journal) if the journal cannot be written.
        """

    def events(self, after: int = 0) -> AsyncIterator[Event]:
        """All durable events with a greater sequence number, in order, with complete bodies."""

    async def agent_events(self, agent: AgentId) -> list[Event]:
        """The durable events of one agent, in order, with complete bodies."""

    async def ended_tasks(self, planner: AgentId, names: Collection[str]) -> Recalled:
        """A planner's durable ended tasks with these ids or titles, with their agents and handoffs."""

    async def close(self) -> None: ...


# --- models --------------------------------------------------------------------------------------------------


class Provider(Protocol):
    """A language-model service. One instance serves all agents of a run."""

    name: str

    async def ask(
        self, request: Request, on_text: Callable[[str], None], on_output: Callable[[int], None] = ...
    ) -> Turn:
        """Make one streamed call, without retries; `on_text` gets the text as it arrives.

        `on_output` is called with the characters that have arrived so far of text, reasoning and tool calls, as soon as
        the server has begun to answer.
        Raises only ModelError and CancelledError.
        """

    async def close(self) -> None: ...


class Models(Protocol):
    """All providers behind one interface, with limits, retries and prices."""

    def check(self, model: ModelName) -> None:
        """Raise SwarmError (provider) unless the name is `PROVIDER:NAME` with a known provider."""

    async def prepare(self, models: Sequence[ModelName]) -> None:
        """Open what the models need before the first call. Raises SwarmError: no such provider, no key."""

    async def ask(
        self,
        model: ModelName,
        request: Request,
        on_text: Callable[[str], None],
        on_retry: Callable[[str, float, Usage], None],
        on_progress: Callable[[Usage], None] = ...,
        on_start: Callable[[], None] = ...,
    ) -> Turn:
        """Ask until a complete turn arrives.

        `on_start` is called right before each try is sent; if it raises, the call ends, and the next one of the same
        conversation takes its place among those that wait.

        `on_retry(reason, seconds, spent)` is called before each wait for a retry, with the usage of the failed try; if
        it raises, the call ends. `on_progress` gets the estimated usage of the present try while its answer arrives.
        Each usage has `usd` filled in if the price is known. Raises the ModelError of the last try, with its usage.
        """

    def most(self, model: ModelName, request: Request) -> Usage:
        """The most that one try of the call may use: the worst case of its input, its output and its price."""

    def window(self, model: ModelName) -> int:
        """The size of the model's context window in tokens, for input and output together."""

    def longest_wait(self, model: ModelName) -> float:
        """The longest wait between two tries of one call, in seconds, from the settings of the model's provider."""

    async def close(self) -> None: ...


# --- the repo ------------------------------------------------------------------------------------------------


class LandResult(Struct, frozen=True):
    """The result of offering a change to trunk.

    `base` is the tip it was merged onto, `commit` the new tip (None unless merged). After a conflict, `conflicts`
    names the paths, and `merged` is a commit on `base` whose tree is the merge with conflict markers in those paths.
    `state` is never `resolved`: only the caller knows whether there was a conflict before. `large` has the sizes in
    bytes of those files among `paths` that are large (see engine.domain.collisions). `added` and `removed` are
    the commit's lines; None if they were not counted. `overlapping` are those of `paths` that trunk had also changed
    since the change's parent. `since` is the commit that the change was made on, and `dependencies` are those that it
    adds, if the caller has filled them in.
    """

    state: LandingState
    base: CommitId
    commit: CommitId | None = None
    paths: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    merged: CommitId | None = None
    reason: str = ""
    large: dict[str, int] = {}
    added: int | None = None
    removed: int | None = None
    overlapping: tuple[str, ...] = ()
    since: CommitId | None = None
    dependencies: tuple[str, ...] = ()


class Trunk(Protocol):
    """The trunk of one run: a git ref that only grows, moved by compare-and-swap."""

    async def tip(self) -> CommitId: ...

    async def land(self, change: CommitId, message: str) -> LandResult:
        """Merge `change` (a commit whose parent is the trunk commit it started from) onto the newest tip.

        The landed commit has exactly one parent, the tip, and `message` with its trailers as its message. If trunk
        moves in the meantime, the merge is retried a limited number of times, then refused. A change that differs
        nowhere from its parent, or whose merge changes nothing, is `empty`.
        """

    async def merge(self, change: CommitId) -> LandResult:
        """Merge `change` onto the newest tip as `land` does, without moving trunk.

        The `merged` of the result is a commit on `base` with the merge, also if there is no conflict.
        """

    async def is_apart(self, change: CommitId, other: CommitId) -> bool:
        """Whether both can land in any order: `change` surely merges onto `other` without a conflict.

        `other` is a change, too, or the `merged` of a LandResult.
        """

    async def find_landed(self, *tasks: TaskId) -> dict[TaskId, CommitId]:
        """This run's commits on trunk with the trailer `Swarm-Task: TASK`, of those tasks that have one."""

    async def paths_of(self, commit: CommitId) -> tuple[str, ...]:
        """The paths in which a landed commit, or a change that may land, differs from its parent."""

    async def landed_since(self, commit: CommitId) -> list[CommitId]:
        """Trunk's commits after `commit`, oldest first."""

    async def read_file(self, commit: CommitId, path: str) -> bytes | None:
        """The content of a regular file in a commit; None if there is no such file."""

    async def diff(self, old: CommitId, new: CommitId, paths: Collection[str] = ()) -> str:
        """A unified patch with git's headers and rename detection; of these files only, if any are named."""

    async def move_green(self, commit: CommitId) -> None: ...

    async def take_back_green(self) -> None:
        """Remove green, until it moves again; the next `publish` removes it from the person's repo."""

    async def publish(self) -> str:
        """Write trunk and green into the person's repo as refs. Returns why a ref was left alone; empty if none was."""


class Output(Struct, frozen=True):
    """The result of a sandboxed command.

    `text` is its output (stdout and stderr interleaved), shortened in the middle if it is long; `cut` is the number of
    bytes left out there, `whole` the file in the workspace with all of it (empty if nothing is missing). `cpu_s` is the
    CPU time of all its processes, ended ones too; None if it is unknown. `starved_s` are those seconds of `wall_s` in
    which it could have run but had no CPU; they do not count towards its time limit, but it is killed after fifty times
    that limit. `exit` is the exit status, or None if the command was killed. Then `killed` says why: `timeout`,
    `memory`, `processes`, `cpu`, `output`, `disk`, `cancelled`; or, if all commands or workspaces together used too
    much, `swarm memory`, `swarm processes` or `swarm disk`.
    """

    exit: int | None
    text: str
    cut: int
    whole: str
    killed: str
    wall_s: float
    cpu_s: float | None = None
    starved_s: float = 0.0


class Entry(Struct, frozen=True):
    """A file or folder in a listing. `path` is relative to the workspace, a folder's ends in `/`; `size` in bytes."""

    path: str
    size: int


class Match(Struct, frozen=True):
    """A line that matched a search, or with `context` one beside it; `line` counts from 1.

    With a `line` of 0, `text` is the number of further lines in the file that match.
    """

    path: str
    line: int
    text: str
    context: bool = False


class Workspace(Protocol):
    """One agent's own copy of the repo, in a sandbox.

    Paths are relative to the workspace; an absolute path inside it is accepted. File methods raise WorkspaceError
    with a message for the agent: no such file, a folder, not a regular file, outside the workspace.
    """

    root: str
    """The folder's path as commands in the sandbox see it, for example `/ws`."""
    base: CommitId
    """The trunk commit that the workspace's changes are relative to."""
    left_out: Mapping[str, str]
    """What the last `changed`, `commit` or `find_left_out` found that no commit can hold, and why, by path."""

    async def run(self, command: str, timeout_s: float, on_output: Callable[[str], None]) -> Output:
        """Run a shell command in the sandbox. After `timeout_s` its whole process tree is killed."""

    async def freeze(self) -> None:
        """Suspend the running command with its whole process tree, and stop the clock of its timeout."""

    async def thaw(self) -> None:
        """Let a suspended command continue."""

    async def read_file(self, path: str) -> bytes: ...

    async def write_file(self, path: str, content: bytes) -> None:
        """Replace or create a file and the folders it is in. The executable bit of an existing file is kept."""

    async def remove_file(self, path: str) -> None:
        """Remove a file, or the link of that name; a missing one is fine."""

    async def encode_new(self, path: str, text: str) -> bytes:
        """The bytes of a new text file as a checkout would write them: with the project's line ends and encoding."""

    async def list_files(self, path: str, depth: int, limit: int) -> list[Entry]:
        """At most `limit` entries below `path`, sorted, folders before their content; without `.git`."""

    async def search(
        self, pattern: str, path: str, limit: int, globs: tuple[str, ...] = (), context: int = 0
    ) -> list[Match]:
        """At most `limit` lines in text files below `path` that match a regular expression (Python's `re`), each with
        `context` lines around it, and how many more there are, file by file.

        Files that git ignores are left out, unless `path` is one. `globs` match names, or paths if they have a slash.
        """

    async def changed(self) -> tuple[str, ...]:
        """The paths that differ from `base`, sorted, without files that git ignores."""

    async def find_left_out(self) -> None:
        """Bring `left_out` up to date, which is quicker than finding all changes."""

    async def diff(self) -> str:
        """The changes against `base` as a unified patch."""

    async def commit(self, message: str) -> CommitId:
        """Commit the changed paths on top of `base`, with the objects where trunk finds them."""

    async def advance(self, commit: CommitId, base: CommitId) -> None:
        """Set the files to the tree of `commit` and the base to `base`. Files that git ignores stay."""

    async def shown(self, commit: CommitId) -> CommitId:
        """The commit that git in the workspace shows in place of this commit of trunk."""

    async def leave(self) -> None:
        """Kill everything that runs in the workspace; its files stay for the process that continues the run."""

    async def close(self) -> None:
        """Kill everything that runs in the workspace, and remove it."""


class WorkspaceError(Exception):
    """A file operation that an agent asked for cannot be done. The message tells the agent why."""

    @property
    def nothing_there(self) -> bool:
        """Whether there is nothing at the path."""
        return str(self).endswith((": no such file or folder", ": is not a folder"))


class WorkspaceLost(Exception):  # noqa: N818 - a state of the world, raised like an exception
    """The agent's sandbox was killed, and the workspace is lost with it."""


class Workspaces(Protocol):
    """Opens workspaces. `level` is the sandbox level in force, `method` how files are copied.

    `not_guaranteed`: what the level does not guarantee. `granted`: what else the settings let commands reach.
    `tools`: what else they can read because it lies on PATH.
    """

    level: str
    method: str
    not_guaranteed: tuple[str, ...]
    granted: tuple[str, ...]
    tools: tuple[str, ...]
    warm: bool
    """Whether new workspaces start with the build results that `keep_builds` kept."""
    setup: str
    """The command that prepares a new checkout; empty if there is none."""

    @property
    def has_builds(self) -> bool:
        """Whether there are build results for new workspaces to start with."""

    @property
    def kept(self) -> Mapping[AgentId, CommitId]:
        """The bases of workspaces that an earlier process left and that agents can continue in."""

    async def open(
        self,
        agent: AgentId,
        commit: CommitId,
        *,
        clean: bool = False,
        trunk_history: bool = False,
        preferred: bool = False,
    ) -> Workspace:
        """Open a workspace on a trunk commit. `clean`: from nothing, as a new checkout that shares no files.
        `preferred`: where CPU is scarce, its commands get more of it than those of other workspaces.

        Its git shows a commit for each landing: with `trunk_history` trunk's own, otherwise what changed and why,
        without the names, ids and trailers of the swarm.

        If the agent's workspace is `kept` and has this base, it is that one, as it was left. Raises WorkspaceLost if
        it cannot be used; the next call opens a new one.
        """

    def drop(self, agent: AgentId) -> None:
        """Remove the agent's `kept` workspace, if there is one."""

    async def set_up(self, commit: CommitId) -> Output | None:
        """Run `setup` in a new checkout of a trunk commit; later workspaces start with the ignored files that it made.

        None if there is no such command, or it has succeeded on this commit already. A clean workspace has only what
        it made on the same commit. After a failure, other workspaces keep what an earlier one made.
        """

    async def keep_builds(self, workspace: Workspace) -> bool:
        """Close a workspace in which a check of a trunk commit has finished; later ones start with its build results.

        Returns whether there are any. Only for the engine's own checks: every agent's commands trust what is kept.
        """

    async def discard_builds(self) -> None:
        """Let no later workspace start with build results from before."""

    async def sweep(self, unfinished: Collection[AgentId]) -> None:
        """Remove what an earlier process left behind, except workspaces of `unfinished` agents that can be trusted."""

    async def close(self) -> None: ...


class Checker(Protocol):
    """Runs the project's check, `command`, on trunk commits, sandboxed, in workspaces of their own."""

    command: str

    async def check(self, commit: CommitId, *, clean: bool = False) -> Check:
        """Run the check. `clean`: from nothing. Otherwise it may start from what earlier checks have built.

        The result says in `clean` which of both it was.
        """

    async def discard_builds(self) -> None:
        """Discard what checks have built: the next check, and new workspaces of agents, start without."""


class Surveys(Protocol):
    """What is known, outside of the run, about the commit that it starts from."""

    def kept(self) -> Check | None:
        """A passed check of an earlier run on the same commit, with the same commands, settings and tools."""

    def keep(self, check: Check) -> None:
        """Keep a passed check for later runs, if it can be written."""

    async def advice(self, check: Check) -> tuple[str, ...]:
        """What a person can do about a failed check, one line each."""


class EnvironmentProbe(Protocol):
    """Finds out what agents' commands find in their sandbox."""

    conditions: str
    """A hash of the settings and the sandbox on which that depends."""

    async def look(self, commit: CommitId, intent: str) -> Environment:
        """Look into a copy of a commit, as agents get it, for at most 90 seconds. `intent` may name tools to look for.

        Raises nothing: what could not be looked at is a `gap`.
        """


# --- resources -----------------------------------------------------------------------------------------------


class Meters(Protocol):
    async def sample(self) -> Sample: ...

    def uses(self) -> dict[AgentId, AgentUse]:
        """What each agent's commands used at the last sample. Agents that used nothing are left out."""


class Gate(Protocol):
    """The build gate: limits how many builds run at once."""

    def pass_for(
        self, command: str, subtree: str, agent: str = ..., on_wait: Callable[[str], None] = ...
    ) -> AbstractAsyncContextManager[float]:
        """Hold a slot while the command runs, if it is a build or if commands get no CPU. Yields the seconds that a
        build waited for its slot.

        `subtree`: the planner whose share of the slots this counts against. `on_wait` is called if the command has to
        wait, with what it waits for, such as `at the build gate (2 others)`.
        """

    def step_aside(self, command: str) -> Callable[[], None]:
        """Free the slot of a suspended command. Call what is returned to take the slot back."""


class Governor(Protocol):
    """Limits how many workers start while the machine is overloaded. It never stops one that runs."""

    @property
    def limit(self) -> int:
        """How many workers the machine can carry now."""

    def consider(self, sample: Sample) -> LoadLimit | None:
        """Take a new sample into account. Returns the new limit if it has changed, else None."""
