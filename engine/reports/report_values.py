"""The values of a report: what a run's journal says about how the run went."""

from msgspec import Struct

from engine.domain.environment import Environment


class FileReport(Struct, frozen=True):
    """A file; `size` in bytes is None if the run's trunk is gone or does not contain the file."""

    path: str
    conflicts: int
    landings: int
    tasks: int
    size: int | None


class RoleReport(Struct, frozen=True):
    """What all agents of a role used. `usd` is None if a price is unknown.

    `wasted` are the tokens of agents whose work did not land, because their task failed, was cancelled, ended without
    a change, or was done in another attempt.
    """

    role: str
    agents: int
    tokens: int
    usd: float | None
    wasted: int


class SubtreeReport(Struct, frozen=True):
    """A planner. `tokens` and `usd` (None: a price is unknown) include all agents below it, the rest only its own
    tasks.

    `conflict_rate` is the share of landing attempts that met a conflict. `memory`, `cpu` and `contention` are what its
    workers' commands used, from samples: the highest number of bytes, the average percent of a core, and the percent of
    the builds' time that was spent waiting. They are None without samples.
    """

    path: str
    tokens: int
    usd: float | None
    landed: int
    conflicts: int
    conflict_rate: float | None
    memory: int | None = None
    cpu: float | None = None
    contention: float | None = None


class HeatReport(Struct, frozen=True):
    """How many conflicts the tasks of a planner had in the files of a folder."""

    planner: str
    folder: str
    conflicts: int


class StepReport(Struct, frozen=True):
    """A model call, or a tool call with its `tool` and `target`."""

    agent: str
    tool: str
    target: str
    wall_s: float


class FailureReport(Struct, frozen=True):
    """A failure by its signature, how often it happened, and to how many agents."""

    tool: str
    error: str
    times: int
    agents: int


class DependencyReport(Struct, frozen=True):
    """A dependency that a task's commit added, with its manifest."""

    dependency: str
    task: str
    commit: str


class ClaimReport(Struct, frozen=True):
    """A claim in an agent's handoff that the record does not bear out."""

    agent: str
    claim: str


class PromptReport(Struct, frozen=True):
    """What agents did with one version of a role's prompt, `NAME@VERSION`.

    `calls` are model calls, `input`, `cached` and `output` tokens, `failed` the number of failed agents. `landed` is
    the number of their `tasks` that landed. `usd` is None if a price is unknown.
    """

    prompt: str
    calls: int
    input: int
    cached: int
    output: int
    usd: float | None
    agents: int
    failed: int
    tasks: int
    landed: int


class NoteReport(Struct, frozen=True):
    """What a planner assumed, or asked the person. `answer` is None if there is none, empty if it was to decide."""

    note: int
    agent: str
    kind: str
    text: str
    options: tuple[str, ...]
    answer: str | None


class ChangeReport(Struct, frozen=True):
    """A task that is held now (`how` is `held`), was amended (`how` names the fields), or about which a person told its
    worker something, or took it back (`how` is `told` or `taken back`, `text` the words)."""

    task: str
    title: str
    how: str
    text: str = ""


class LoadReport(Struct, frozen=True):
    """How the machine's load slowed the run down, and what the governor did about it.

    `starved` is the percentage of the time in which commands could run that they had no CPU; `cpu_others` is how much
    CPU other programs used meanwhile, in percent. The governor lowered the number of workers `limits` times, down
    to `fewest`, the last time for `reason`; it was lowered for `limited_s` seconds in all.
    """

    starved: float
    cpu_others: float
    limits: int
    fewest: int | None
    limited_s: float
    reason: str


class Report(Struct, frozen=True):
    """The report on a run. None means unknown.

    `wall_s` is the working time of the run, and rates are per hour of it; `time_s` is the time of all agents together,
    in seconds. `wasted_tokens` are those of agents whose work did not land (see `RoleReport`). `unchanged` are tasks
    that were handed off without a change. `conflict_rate` is the share of landing attempts that met a conflict,
    `error_rate` that of failed `SNAPSHOT` checks of trunk. `base_passed`: whether the commit to start from passed,
    before the first model call; `environment` is what commands found then, in the latest process that looked.
    `clean_checks` are those from nothing. `contention` is the percent of the builds' time that was spent waiting.
    `load`: how the machine slowed the run down. `index_lock_failures` are commands that failed because git's index was
    locked. `left_alone` says which branches were last not written into the person's repository, and why. `heat` lists
    most conflicts first.
    """

    run: str
    state: str
    left_alone: str
    wall_s: float
    landed: int
    unchanged: int
    failed: int
    landed_per_hour: float | None
    tokens: int
    tokens_per_hour: float | None
    usd: float | None
    usd_per_hour: float | None
    wasted_tokens: int
    conflicts: int
    conflict_rate: float | None
    base_passed: bool | None
    environment: Environment | None
    checks: int
    clean_checks: int
    error_rate: float | None
    contention: float | None
    load: LoadReport
    index_lock_failures: int
    time_s: dict[str, float]
    hottest: tuple[FileReport, ...]
    large: tuple[FileReport, ...]
    roles: tuple[RoleReport, ...]
    subtrees: tuple[SubtreeReport, ...]
    heat: tuple[HeatReport, ...]
    slowest: tuple[StepReport, ...]
    failures: tuple[FailureReport, ...]
    prompts: tuple[PromptReport, ...]
    notes: tuple[NoteReport, ...]
    changes: tuple[ChangeReport, ...]
    dependencies: tuple[DependencyReport, ...]
    claims: tuple[ClaimReport, ...]
