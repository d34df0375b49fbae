"""The settings of a run, in the shape of `swarm.toml`.

A setting is one field: its type and limits, its default, and a description. Validation, the commented template that
`swarm-tui init` writes, and docs/settings.md are all made from these fields.
"""

from typing import Annotated

from msgspec import Meta, Struct, field

from engine.domain.setting_types import (
    MOST,
    Amount,
    AutoSizeLimit,
    CopyChoice,
    Count,
    LevelChoice,
    MachineLimit,
    Names,
    OptionalSpan,
    OwnerOnly,
    PlannerPath,
    Positive,
    Price,
    RepoPath,
    Size,
    SizeLimit,
    SlotCount,
    Span,
    VariableName,
    WebAddress,
    are_caches,
    is_this_machine,
)
from engine.domain.types import ModelName, Role
from engine.domain.units import span_s


class ModelsSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The model of each role, as `PROVIDER:NAME`; empty means that none was chosen."""

    planner: Annotated[
        ModelName, Meta(description="Model of planners and subplanners.", examples=["anthropic:claude-opus-5-5"])
    ] = ModelName("")
    worker: Annotated[
        ModelName,
        Meta(
            description="Model of workers, which do many small tasks; a cheaper model is often enough.",
            examples=["anthropic:claude-sonnet-5-5"],
        ),
    ] = ModelName("")
    resolver: Annotated[
        ModelName, Meta(description="Model that resolves merge conflicts; empty: the worker's model.")
    ] = ModelName("")
    reconciler: Annotated[
        ModelName, Meta(description="Model that repairs trunk when the check fails; empty: the worker's model.")
    ] = ModelName("")


class ProviderSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One provider. Input that a provider reports as written to its cache costs a quarter more than other input."""

    base_url: Annotated[
        WebAddress,
        Meta(description="Address of the server; empty: the provider's own.", examples=["http://127.0.0.1:8080/v1"]),
        OwnerOnly("a repo may not send your code and key to a server outside this machine", unless=is_this_machine),
    ] = ""
    api_key_env: Annotated[
        VariableName,
        Meta(description="Environment variable that holds the API key; empty: the provider's usual one."),
        OwnerOnly("a repo may not choose which of your variables is sent to a server"),
    ] = ""
    max_concurrent: Annotated[
        Positive, Meta(description="Calls at once; reduced automatically while the provider reports rate limits.")
    ] = 512
    input_price: Annotated[
        Price | None,
        Meta(
            description="USD per million input tokens, for models that the built-in price list does not know.",
            examples=[3.0],
        ),
    ] = None
    cached_price: Annotated[
        Price | None,
        Meta(description="USD per million input tokens that are read from the provider's cache.", examples=[0.3]),
    ] = None
    output_price: Annotated[Price | None, Meta(description="USD per million output tokens.", examples=[15.0])] = None
    window: Annotated[
        Count, Meta(description="Tokens that fit into the model's context window; 0: the known or default value.")
    ] = 0
    max_output: Annotated[Count, Meta(description="Most output tokens of one answer; 0: the default.")] = 0
    stall_timeout: Annotated[
        float,
        Meta(ge=0.001, le=MOST, description="Seconds without a byte before a call is given up and retried."),
    ] = 120.0
    max_retry_wait: Annotated[Amount, Meta(description="Longest wait between two retries, in seconds.")] = 60.0
    max_retries: Annotated[Count, Meta(description="Retries of one call before it fails.")] = 8


class SwarmSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The section `[swarm]`."""

    workers: Annotated[Positive, Meta(description="Workers at once.")] = 16
    max_depth: Annotated[Count, Meta(description="Levels of subplanners below the root planner.")] = 4
    max_agents: Annotated[int, Meta(ge=2, le=MOST, description="Agents of all roles alive at once.")] = 500
    seed: Annotated[Count, Meta(description="Seed of all random choices; 0: a new one for each run.")] = 0
    watch_intent: Annotated[
        RepoPath,
        Meta(
            description="File in the repo, such as INTENT.md: saving it during a run updates the intent; empty: none."
        ),
    ] = ""


class LimitSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What a run, a role or a subtree may use; 0 and "" mean no limit."""

    usd: Annotated[Amount, Meta(description="Most USD to spend.")] = 0.0
    tokens: Annotated[Count, Meta(description="Most input and output tokens.")] = 0
    wall: Annotated[
        OptionalSpan,
        Meta(description="Longest working time, such as 8h; time while the run is stopped is not counted."),
    ] = ""
    steps: Annotated[Count, Meta(description="Most model calls.")] = 0


class BudgetSettings(LimitSettings, frozen=True, forbid_unknown_fields=True):
    """Limits of the whole run, of roles by name, and of subtrees by their planner's path.

    The time of a role counts from its first agent, that of a subtree from its planner.
    """

    ceiling_price: Annotated[
        Price,
        Meta(
            description="USD per million tokens to assume where a price is unknown; 0: such tokens cost nothing here."
        ),
    ] = 25.0
    grace_steps: Annotated[
        Positive, Meta(description="Model calls that a working agent has left to hand off once a limit is reached.")
    ] = 5
    role: Annotated[
        dict[Role, LimitSettings],
        Meta(description="Limits of all agents of one role together.", examples=["worker"]),
    ] = field(default_factory=dict)
    subtree: Annotated[
        dict[PlannerPath, LimitSettings],
        Meta(description="Limits of one planner and everything below it.", examples=["root/parser"]),
    ] = field(default_factory=dict)


class RepoSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The section `[repo]`. Besides what it says, trunk is checked when a run starts and when it ends."""

    branch: Annotated[str, Meta(description="Branch to start from; empty: the one that is checked out.")] = ""
    check: Annotated[
        str, Meta(description="Command that must pass for green to move, such as make test; empty: nothing is checked.")
    ] = ""
    check_timeout: Annotated[Span, Meta(description="Longest time that one check may run.")] = "10m"
    check_landings: Annotated[Positive, Meta(description="Landings between two checks.")] = 10
    check_every: Annotated[
        OptionalSpan,
        Meta(description="Also check after this time, such as 20m, if trunk has moved; empty: by landings only."),
    ] = ""
    bisect_checks: Annotated[Count, Meta(description="Most checks to run to find the landing that broke trunk.")] = 6
    fixups: Annotated[
        Count, Meta(description="Fixups in a row that may leave trunk red before the planners have to repair it.")
    ] = 3


class TaskSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The section `[task]`."""

    max_steps: Annotated[Positive, Meta(description="Most model calls in one attempt.")] = 200
    timeout: Annotated[Span, Meta(description="Longest time of one attempt.")] = "45m"
    attempts: Annotated[
        Positive, Meta(description="Failed attempts after which the task fails and its planner is told.")
    ] = 2
    max_usd: Annotated[Amount, Meta(description="Most USD for all attempts of a task; 0: no limit.")] = 0.0
    max_tokens: Annotated[Count, Meta(description="Most tokens for all attempts of a task; 0: no limit.")] = 0


class PlannerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The section `[planner]`."""

    max_steps: Annotated[Positive, Meta(description="Most model calls between two messages to the planner.")] = 100
    max_open_tasks: Annotated[Positive, Meta(description="Most tasks that one planner may have open at once.")] = 500
    max_tasks_per_hour: Annotated[
        Positive, Meta(description="Most tasks that one planner may create within an hour.")
    ] = 1_000


class SandboxSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The section `[sandbox]`."""

    level: Annotated[
        LevelChoice,
        Meta(
            description="Sandbox level; auto: the best that works here; strict: refuse to run below namespaced; "
            "full, namespaced, restricted, off: exactly that level."
        ),
        OwnerOnly("a repo may not weaken the sandbox", unless=lambda level: level in ("auto", "strict", "full")),
    ] = "auto"
    network: Annotated[
        bool,
        Meta(description="Give commands network access; the model is always called from outside the sandbox."),
        OwnerOnly("a repo may not give its commands network access", unless=lambda network: not network),
    ] = False
    memory: Annotated[SizeLimit, Meta(description="Memory of one command and its child processes.")] = "4GiB"
    swarm_memory: Annotated[
        AutoSizeLimit, Meta(description="Memory of all commands together; auto: three quarters of the machine's.")
    ] = "auto"
    processes: Annotated[
        int,
        MachineLimit(),
        Meta(ge=8, le=MOST, description="Processes of one command."),
    ] = 512
    swarm_processes: Annotated[
        int,
        MachineLimit(),
        Meta(ge=64, le=MOST, description="Processes of all commands together."),
    ] = 8192
    output: Annotated[SizeLimit, Meta(description="Output of one command.")] = "64MiB"
    cpu: Annotated[
        Span, MachineLimit(span_s), Meta(description="Processor time of one command and its child processes.")
    ] = "1h"
    swarm_cpu: Annotated[
        Amount,
        MachineLimit(lambda cores: cores or MOST),
        Meta(description="Processor cores for all commands together; 0: all that nothing else uses."),
    ] = 0.0
    file_size: Annotated[SizeLimit, Meta(description="Largest file that a command may write.")] = "4GiB"
    open_files: Annotated[
        int,
        MachineLimit(),
        Meta(ge=64, le=MOST, description="Files that one process may have open."),
    ] = 8192
    disk: Annotated[SizeLimit, Meta(description="How much an agent's workspace may grow.")] = "8GiB"
    swarm_disk: Annotated[
        AutoSizeLimit,
        Meta(description="How much all workspaces may grow; auto: three quarters of what is free at the start."),
    ] = "auto"
    command_timeout: Annotated[Span, Meta(description="Longest time that one command may run.")] = "10m"
    read_only: Annotated[
        tuple[str, ...],
        Meta(description='Folders of your home that commands may read, such as ["~/.cargo/registry"].'),
        OwnerOnly("a repo may open only package caches to its commands", unless=are_caches),
    ] = ()
    copies: Annotated[
        CopyChoice, Meta(description="How workspaces are made: auto (the best that works), overlay, reflink, checkout.")
    ] = "auto"


class BuildSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The section `[build]`."""

    gate: Annotated[
        tuple[str, ...], Meta(description="Commands (globs) that build, and so queue at the build gate.")
    ] = ("cargo *", "make*", "npm *", "pytest*", "*gcc*")
    slots: Annotated[SlotCount, Meta(description="Builds at once: auto (one for each core) or a number in quotes.")] = (
        "auto"
    )
    warm: Annotated[
        Names,
        Meta(
            description="Names (globs) of git-ignored folders and files that new workspaces start with, as the last "
            'check built them, so that first builds are short; ["*"]: everything ignored; []: nothing.'
        ),
    ] = ("target", "node_modules", ".venv", "venv", "build", "_build")
    warm_size: Annotated[
        Size, Meta(description="Most disk space for those build results; above it workspaces start without them.")
    ] = "16GiB"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings. `theme` and `keys` belong to the screen."""

    models: Annotated[
        ModelsSettings,
        Meta(
            description="Which model each role uses, as PROVIDER:NAME. openai is for the Responses API, openai-chat "
            "for Chat Completions (any compatible server); rehearsal is scripted and calls no model."
        ),
    ] = field(default_factory=ModelsSettings)
    providers: Annotated[
        dict[str, ProviderSettings], Meta(description="How to reach each provider.", examples=["openai-chat"])
    ] = field(default_factory=dict)
    swarm: Annotated[SwarmSettings, Meta(description="How large the swarm may grow.")] = field(
        default_factory=SwarmSettings
    )
    budget: Annotated[
        BudgetSettings,
        Meta(
            description='What the run may use; 0 and "" mean no limit. At 90% of a limit the planners are told; at the '
            "limit nothing new starts and working agents may hand off. A run that stopped can be resumed."
        ),
    ] = field(default_factory=BudgetSettings)
    repo: Annotated[RepoSettings, Meta(description="Where the work starts, and how trunk is checked.")] = field(
        default_factory=RepoSettings
    )
    task: Annotated[TaskSettings, Meta(description="Limits of each task.")] = field(default_factory=TaskSettings)
    planner: Annotated[PlannerSettings, Meta(description="Limits of each planner.")] = field(
        default_factory=PlannerSettings
    )
    sandbox: Annotated[
        SandboxSettings, Meta(description="How agents' commands are contained, and what they may use.")
    ] = field(default_factory=SandboxSettings)
    build: Annotated[
        BuildSettings, Meta(description="Which commands are builds, and what new workspaces start with.")
    ] = field(default_factory=BuildSettings)
    theme: Annotated[str, Meta(description="Colour theme of the screen.")] = "midnight"
    keys: Annotated[
        dict[str, str], Meta(description="Keys of the screen, by action."), OwnerOnly("key bindings are yours")
    ] = field(default_factory=dict)
