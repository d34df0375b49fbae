"""The settings of a run, in the shape of `swarm.toml`.

A setting is one field: its type and limits, its default, and a description. Validation, the commented template that
`swarm-tui init` writes, and docs/settings.md are all made from these fields.
"""

from typing import Annotated

from msgspec import Meta, Struct, field

from engine.domain.setting_types import (
    MOST,
    Amount,
    AnyValue,
    AutoSizeLimit,
    CopyChoice,
    Count,
    HomeFolders,
    LevelChoice,
    Limit,
    Names,
    OnlyLower,
    OptionalAmount,
    OptionalDuration,
    OptionalLimit,
    OptionalTimeLimit,
    OwnerOnly,
    Patterns,
    PlannerPath,
    Positive,
    Price,
    QuestionChoice,
    RepoPath,
    SizeLimit,
    SlotCount,
    TimeLimit,
    VariableName,
    WebAddress,
)
from engine.domain.types import ModelName, Role


class ModelsSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The model of each role, as `PROVIDER:NAME`; empty means that none was chosen."""

    planner: Annotated[
        ModelName,
        Meta(description="Divides the work; empty: the worker's model.", examples=["anthropic:claude-opus-5-5"]),
    ] = ModelName("")
    worker: Annotated[
        ModelName,
        Meta(
            description="Does the tasks; empty: the planner's model.",
            examples=["anthropic:claude-sonnet-5-5"],
        ),
    ] = ModelName("")
    resolver: Annotated[
        ModelName, Meta(description="Resolves merge conflicts that a worker could not; empty: the worker's model.")
    ] = ModelName("")
    reconciler: Annotated[
        ModelName, Meta(description="Repairs trunk when the check fails; empty: the worker's model.")
    ] = ModelName("")


class ProviderSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One provider. Input that a provider reports as written to its cache costs a quarter more than other input."""

    base_url: Annotated[
        WebAddress,
        Meta(
            description="The server's address; empty: the provider's usual one.", examples=["http://127.0.0.1:8080/v1"]
        ),
        OwnerOnly("a repo may not choose the server that your code and key are sent to"),
    ] = ""
    api_key_env: Annotated[
        VariableName,
        Meta(description="The environment variable that holds the API key; empty: the provider's usual one."),
        OwnerOnly("a repo may not choose which of your variables is sent to a server"),
    ] = ""
    max_concurrent: Annotated[
        Positive, Meta(description="Model calls at a time; lowered while the provider reports a rate limit.")
    ] = 512
    input_price: Annotated[
        Price | None,
        Meta(
            description="USD per million input tokens, for models that the price list does not know.",
            examples=[3.0],
        ),
    ] = None
    cached_price: Annotated[
        Price | None,
        Meta(description="USD per million input tokens read from the provider's cache.", examples=[0.3]),
    ] = None
    output_price: Annotated[Price | None, Meta(description="USD per million output tokens.", examples=[15.0])] = None
    window: Annotated[
        Count, Meta(description="Tokens that fit into the model's context; 0: the known or default size.")
    ] = 0
    max_output: Annotated[Count, Meta(description="Tokens of one answer; 0: the default.")] = 0
    first_byte_timeout: Annotated[
        float,
        Meta(
            ge=0,
            le=MOST,
            description="Seconds without the beginning of an answer after which a call is given up and retried; "
            "0: as stall_timeout.",
        ),
    ] = 0.0
    stall_timeout: Annotated[
        float,
        Meta(ge=0.001, le=MOST, description="Seconds without a byte after which a call is given up and retried."),
    ] = 120.0
    call_timeout: Annotated[
        float,
        Meta(ge=0.001, le=MOST, description="Seconds after which a call is given up and retried, even if bytes come."),
    ] = 1800.0
    max_retry_wait: Annotated[Amount, Meta(description="Longest wait between two retries, in seconds.")] = 60.0
    max_retries: Annotated[Count, Meta(description="Retries of one model call.")] = 8


class SwarmSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The section `[swarm]`."""

    workers: Annotated[Limit, Meta(description="Workers at a time.")] = 16
    max_depth: Annotated[Count, OnlyLower(), Meta(description="Levels of subplanners.")] = 4
    max_agents: Annotated[int, OnlyLower(), Meta(ge=2, le=MOST, description="Agents alive at a time.")] = 500
    seed: Annotated[
        Count,
        Meta(description="Seed of all random choices; 0: a new one for each run."),
        OwnerOnly("a repo may not foresee the random choices of your runs"),
    ] = 0
    watch_intent: Annotated[
        RepoPath,
        Meta(description='A file such as "INTENT.md": saving it during a run submits it as a new intent.'),
        OwnerOnly("a repo may not choose the file that tells your swarm what to do"),
    ] = ""


class LimitSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What a run, a role or a subtree may use; 0 and "" mean no limit."""

    usd: Annotated[OptionalAmount, Meta(description="Most USD to spend.")] = 0.0
    tokens: Annotated[OptionalLimit, Meta(description="Most input and output tokens.")] = 0
    wall: Annotated[
        OptionalTimeLimit,
        Meta(description='Longest time that swarm-tui works on the run, such as "8h".'),
    ] = ""
    steps: Annotated[OptionalLimit, Meta(description="Most model calls.")] = 0


class BudgetSettings(LimitSettings, frozen=True, forbid_unknown_fields=True):
    """Limits of the whole run, of roles by name, and of subtrees by their planner's path.

    The time of a role counts from its first agent, that of a subtree from its planner.
    """

    ceiling_price: Annotated[
        Price,
        Meta(description="USD per million tokens of a model whose price is unknown; 0: do not count them in USD."),
        OwnerOnly("a repo may not change what counts towards your budgets in USD"),
    ] = 25.0
    grace_steps: Annotated[
        Limit,
        Meta(description="Model calls that each agent at work still has to hand off, once a limit is reached."),
    ] = 5
    role: Annotated[
        dict[Role, LimitSettings],
        Meta(description="Limits of all agents of one role.", examples=["worker"]),
    ] = field(default_factory=dict)
    subtree: Annotated[
        dict[PlannerPath, LimitSettings],
        Meta(description="Limits of one planner and everything below it.", examples=["root/parser"]),
    ] = field(default_factory=dict)


class RepoSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The section `[repo]`. Besides what it says, trunk is checked when a run starts and when it ends."""

    branch: Annotated[str, AnyValue(), Meta(description="The branch to start from; empty: the current one.")] = ""
    check: Annotated[
        str,
        AnyValue(),
        Meta(description='The command that a commit must pass to be green, such as "make test"; empty: none.'),
    ] = ""
    check_timeout: Annotated[
        TimeLimit, Meta(description="Time limit of one check. Time without a CPU does not count.")
    ] = "10m"
    require_green_base: Annotated[
        bool,
        Meta(description="End before the first model call if the check fails on the commit to start from."),
        OwnerOnly("a repo may not decide when your runs begin"),
    ] = False
    check_landings: Annotated[Limit, Meta(description="Landings between two checks.")] = 10
    check_every: Annotated[
        OptionalTimeLimit,
        Meta(description='Also check after this time, such as "20m", if anything has landed.'),
    ] = ""
    bisect_checks: Annotated[
        Count, OnlyLower(), Meta(description="Checks that may be spent to find the landing that broke trunk.")
    ] = 6
    fixups: Annotated[
        Count,
        OnlyLower(),
        Meta(description="Fixups in a row that may fail before the planners have to deal with a red trunk."),
    ] = 3


class LandingSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The section `[landing]`."""

    precedence: Annotated[
        TimeLimit,
        Meta(description="How long other landings on a path wait while a conflict in it is resolved."),
    ] = "10m"
    union: Annotated[
        Patterns,
        AnyValue(),
        Meta(
            description="Files in which the order of lines does not matter, such as changelogs and tables: if two "
            "changes only add lines at the same place, both are kept without asking a model. Patterns as in a "
            ".gitignore, without ranges and exceptions.",
            examples=[["CHANGELOG.md", "*.csv"]],
        ),
    ] = ()


class TaskSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The section `[task]`."""

    max_steps: Annotated[Limit, Meta(description="Model calls of one attempt.")] = 200
    timeout: Annotated[TimeLimit, Meta(description="Time limit of one attempt. Time without a CPU does not count.")] = (
        "45m"
    )
    attempts: Annotated[Limit, Meta(description="Attempts before a task is given up and its planner told.")] = 2
    max_usd: Annotated[OptionalAmount, Meta(description="Most USD for a task with all its attempts; 0: no limit.")] = (
        0.0
    )
    max_tokens: Annotated[
        OptionalLimit, Meta(description="Most tokens for a task with all its attempts; 0: no limit.")
    ] = 0


class PlannerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The section `[planner]`."""

    max_steps: Annotated[Limit, Meta(description="Model calls between two messages to it.")] = 100
    max_open_tasks: Annotated[Limit, Meta(description="Open tasks of one planner.")] = 500
    max_tasks_per_hour: Annotated[Limit, Meta(description="Tasks that one planner may create in an hour.")] = 1_000
    questions: Annotated[
        QuestionChoice,
        Meta(
            description="Whether planners may wait for your answers to their questions while the app is open; assume: "
            "they decide by themselves, as they do without the app."
        ),
        OwnerOnly("a repo may not decide what you are asked"),
    ] = "ask"
    answer_within: Annotated[
        OptionalDuration,
        Meta(
            description="How long a planner waits for your answer before it decides itself; empty: as long as it takes."
        ),
        OwnerOnly("a repo may not decide how long your planners wait for you"),
    ] = "30m"


class SandboxSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The section `[sandbox]`."""

    level: Annotated[
        LevelChoice,
        Meta(
            description="Sandbox level; auto: the best that works here; strict: refuse to run below namespaced; or a "
            "level's name."
        ),
        OwnerOnly("a repo may not choose how its commands are contained"),
    ] = "auto"
    network: Annotated[
        bool,
        Meta(description="Network access for commands; models are called from outside."),
        OwnerOnly("a repo may not give its commands network access"),
    ] = False
    memory: Annotated[SizeLimit, Meta(description="Memory of one command with everything it starts.")] = "4GiB"
    swarm_memory: Annotated[
        AutoSizeLimit, Meta(description="Memory of all commands together; auto: three quarters of the machine's.")
    ] = "auto"
    processes: Annotated[
        int,
        OnlyLower(),
        Meta(ge=8, le=MOST, description="Processes of one command."),
    ] = 512
    swarm_processes: Annotated[
        int,
        OnlyLower(),
        Meta(ge=64, le=MOST, description="Processes of all commands together."),
    ] = 8192
    output: Annotated[SizeLimit, Meta(description="Output of one command.")] = "64MiB"
    cpu: Annotated[TimeLimit, Meta(description="CPU time of one command with everything it starts.")] = "1h"
    swarm_cpu: Annotated[
        OptionalAmount,
        Meta(description="CPU cores for all commands together; 0: whatever others leave idle."),
    ] = 0.0
    file_size: Annotated[SizeLimit, Meta(description="Size of one file.")] = "4GiB"
    open_files: Annotated[
        int,
        OnlyLower(),
        Meta(ge=64, le=MOST, description="Open files of one process."),
    ] = 8192
    disk: Annotated[SizeLimit, Meta(description="How much one workspace may grow.")] = "8GiB"
    swarm_disk: Annotated[
        AutoSizeLimit,
        Meta(description="How much all workspaces may grow; auto: three quarters of the free space at the start."),
    ] = "auto"
    command_timeout: Annotated[
        TimeLimit, Meta(description="Time limit of one command. Time without a CPU does not count.")
    ] = "10m"
    read_only: Annotated[
        tuple[str, ...],
        Meta(description='Folders of your home that commands may read, such as ["~/.cargo/registry"].'),
        OwnerOnly("a repo may not open your folders to its commands"),
    ] = ()
    copies: Annotated[
        CopyChoice,
        Meta(description="How workspaces are made: auto, overlay, reflink or checkout."),
        OwnerOnly("a repo may not choose how its commands are contained"),
    ] = "auto"


class BuildSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The section `[build]`."""

    setup: Annotated[
        str,
        AnyValue(),
        Meta(
            description="A command that prepares a new checkout, before any check from nothing; workspaces start with "
            "the git-ignored files it makes. Empty: none.",
            examples=["npm ci"],
        ),
    ] = ""
    setup_timeout: Annotated[
        TimeLimit, Meta(description="Time limit of the setup command. Time without a CPU does not count.")
    ] = "30m"
    gate: Annotated[
        tuple[str, ...], AnyValue(), Meta(description="Commands that build; only a few of these run at a time.")
    ] = ("cargo *", "make*", "npm *", "pytest*", "*gcc*")
    slots: Annotated[SlotCount, Meta(description='Builds at a time, such as "4"; auto: one per CPU core.')] = "auto"
    warm: Annotated[
        Names,
        AnyValue(),
        Meta(
            description='Git-ignored build output that new workspaces start with, by name; ["*"]: all of it; []: none.'
        ),
    ] = ("target", "node_modules", ".venv", "venv", "build", "_build")
    caches: Annotated[
        HomeFolders,
        AnyValue(),
        Meta(
            description="Caches of package managers and compilers that new workspaces start with, as paths in the home "
            "of commands; []: none."
        ),
    ] = (".cache", ".cargo/git", ".cargo/registry", ".gradle/caches", ".m2/repository", ".npm", "go/pkg")
    warm_size: Annotated[
        SizeLimit,
        Meta(description="Disk space for shared build output and caches; beyond it, builds start from scratch."),
    ] = "16GiB"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings. `theme` and `keys` belong to the screen."""

    models: Annotated[
        ModelsSettings,
        Meta(
            description="PROVIDER:NAME. Providers: anthropic, openai (Responses), openai-chat (Chat Completions, any "
            "compatible server) and rehearsal (scripted, for the samples). Planners think for everybody; workers do "
            "many small tasks and can be cheaper."
        ),
        OwnerOnly("a repo may not choose the models that you pay for"),
    ] = field(default_factory=ModelsSettings)
    providers: Annotated[
        dict[str, ProviderSettings],
        Meta(description="How to reach a provider.", examples=["openai-chat"]),
        OwnerOnly("a repo may not choose how your providers are reached, and what they cost"),
    ] = field(default_factory=dict)
    swarm: Annotated[SwarmSettings, Meta(description="The size of the swarm.")] = field(default_factory=SwarmSettings)
    budget: Annotated[
        BudgetSettings,
        Meta(
            description="The run stops at the first limit it reaches, and can be resumed with a larger one. 0 or empty "
            "means no limit. At 90% of a limit the planners are told. At the limit nothing new starts, and agents at "
            "work hand off."
        ),
    ] = field(default_factory=BudgetSettings)
    repo: Annotated[RepoSettings, Meta(description="The branch to start from, and the check.")] = field(
        default_factory=RepoSettings
    )
    landing: Annotated[LandingSettings, Meta(description="How changes are merged onto trunk.")] = field(
        default_factory=LandingSettings
    )
    task: Annotated[TaskSettings, Meta(description="Limits of one task.")] = field(default_factory=TaskSettings)
    planner: Annotated[PlannerSettings, Meta(description="Limits of one planner.")] = field(
        default_factory=PlannerSettings
    )
    sandbox: Annotated[SandboxSettings, Meta(description="What the commands of agents may reach and use.")] = field(
        default_factory=SandboxSettings
    )
    build: Annotated[BuildSettings, Meta(description="Builds, and what workspaces start with.")] = field(
        default_factory=BuildSettings
    )
    theme: Annotated[str, Meta(description="Colour theme of the screen."), OwnerOnly("the screen is yours")] = (
        "midnight"
    )
    keys: Annotated[
        dict[str, str], Meta(description="Keys of the screen, by action."), OwnerOnly("key bindings are yours")
    ] = field(default_factory=dict)
