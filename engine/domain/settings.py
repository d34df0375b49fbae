"""The settings of a run: their names, types and defaults, in the shape of `swarm.toml`."""

from msgspec import Struct, field


class ModelsSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`PROVIDER:NAME` per role; empty means that none was chosen. Resolver and reconciler default to worker."""

    planner: str = ""
    worker: str = ""
    resolver: str = ""
    reconciler: str = ""


class ProviderSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One endpoint. `api_key_env` names the variable that holds the key; a key never stands in a file.

    Prices are in USD per million tokens; None means what the price list says, or unknown. Input that a provider says it
    has written to its cache costs a quarter more than other input. `window` and `max_output` are in tokens, 0 means
    the known or default value; the waits are in seconds.
    """

    base_url: str = ""
    api_key_env: str = ""
    max_concurrent: int = 512
    input_price: float | None = None
    cached_price: float | None = None
    output_price: float | None = None
    window: int = 0
    max_output: int = 0
    stall_timeout: float = 120.0
    max_retry_wait: float = 60.0
    max_retries: int = 8


class SwarmSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`workers` at once; `max_depth` of subplanners; `max_agents` alive at once; `seed` of all randomness.

    `watch_intent`: a file of the repo whose edits become versions of the intent; empty: none.
    """

    workers: int = 16
    max_depth: int = 4
    max_agents: int = 500
    seed: int = 0
    watch_intent: str = ""


class LimitSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What a part of the run may use; 0 and "" mean no limit.

    `tokens` are of input and output, `steps` are model calls. `wall` is a span such as `8h`, of the time that the
    program works on the run since the part began: the run, the first agent of a role, the planner of a subtree.
    """

    usd: float = 0.0
    tokens: int = 0
    wall: str = ""
    steps: int = 0


class BudgetSettings(LimitSettings, frozen=True, forbid_unknown_fields=True):
    """Limits of the whole run, of roles by name, and of subtrees by their planner's path.

    A token of unknown price counts as `ceiling_price` (USD per million) against limits in USD; with 0 it does not
    count there, only as a token. At a limit, each agent at work has `grace_steps` model calls to hand off.
    """

    ceiling_price: float = 25.0
    grace_steps: int = 5
    role: dict[str, LimitSettings] = field(default_factory=dict)
    subtree: dict[str, LimitSettings] = field(default_factory=dict)


class RepoSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`branch`: the base, empty for the checked-out one. `check`: what green means, empty for none.

    The reconciler checks trunk at the start, every `check_landings` landings, every `check_every` (a span; empty: by
    landings alone) if it has moved, and at the end. `bisect_checks`: runs of the check to find what broke it.
    `fixups` in a row that may leave it red.
    """

    branch: str = ""
    check: str = ""
    check_timeout: str = "10m"
    check_landings: int = 10
    check_every: str = ""
    bisect_checks: int = 6
    fixups: int = 3


class TaskSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`max_steps` (model calls) and `timeout` limit one attempt. `attempts`: failures after which a task is failed.

    `max_usd` and `max_tokens` limit a task with all its attempts; 0 means no limit.
    """

    max_steps: int = 200
    timeout: str = "45m"
    attempts: int = 2
    max_usd: float = 0.0
    max_tokens: int = 0


class PlannerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`max_steps`: model calls of a planner between two messages to it. Tasks that one planner may have open at once,
    and ask for within an hour.
    """

    max_steps: int = 100
    max_open_tasks: int = 500
    max_tasks_per_hour: int = 1_000


class SandboxSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`level`: auto, strict, off, or one level's name.

    `memory`, `processes`, `output`, `cpu` (time), `file_size`, `open_files` and `command_timeout` are for one command
    and all it starts, `disk` for what an agent's copy grows by. `swarm_memory` (`auto`: three quarters of the
    machine's), `swarm_processes` and `swarm_cpu` (cores; 0: what the program and others leave) are for all commands
    together, `swarm_disk` (`auto`: three quarters of what is free at the start) for all copies.
    """

    level: str = "auto"
    network: bool = False
    memory: str = "4GiB"
    swarm_memory: str = "auto"
    processes: int = 512
    swarm_processes: int = 8192
    output: str = "64MiB"
    cpu: str = "1h"
    swarm_cpu: float = 0.0
    file_size: str = "4GiB"
    open_files: int = 8192
    disk: str = "8GiB"
    swarm_disk: str = "auto"
    command_timeout: str = "10m"
    read_only: tuple[str, ...] = ()
    copies: str = "auto"


class BuildSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Commands that pass the build gate (globs), and how many at once (`auto`: one for each core).

    `warm`: names (globs) of what git ignores, of which copies begin with what the check has built; `warm_size`: what
    all of that may take on disk.
    """

    gate: tuple[str, ...] = ("cargo *", "make*", "npm *", "pytest*", "*gcc*")
    slots: str = "auto"
    warm: tuple[str, ...] = ("target", "node_modules", ".venv", "venv", "build", "_build")
    warm_size: str = "16GiB"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings. `theme` and `keys` are the screen's."""

    models: ModelsSettings = field(default_factory=ModelsSettings)
    providers: dict[str, ProviderSettings] = field(default_factory=dict)
    swarm: SwarmSettings = field(default_factory=SwarmSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    repo: RepoSettings = field(default_factory=RepoSettings)
    task: TaskSettings = field(default_factory=TaskSettings)
    planner: PlannerSettings = field(default_factory=PlannerSettings)
    sandbox: SandboxSettings = field(default_factory=SandboxSettings)
    build: BuildSettings = field(default_factory=BuildSettings)
    theme: str = "midnight"
    keys: dict[str, str] = field(default_factory=dict)
