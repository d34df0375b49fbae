"""Everything that the world can ask of a running swarm. `path` names the root of a subtree."""

from msgspec import Struct

from engine.domain.types import AgentPath, HandoffId, ModelName, Role


class CommandBody(Struct, frozen=True, tag_field="verb"):
    """What all commands share: `verb`, the tag, as `send` spells it."""


class SubmitIntent(CommandBody, frozen=True, tag="intent"):
    """A new version of the intent; the root planner is told."""

    text: str
    author: str = "person"


class Pause(CommandBody, frozen=True, tag="pause"):
    """Hold the subtree at its next safe points; without a path, the whole run.

    `freeze`: what its agents' commands run stands still at once, with the clocks of their deadlines.
    """

    path: AgentPath | None = None
    freeze: bool = False


class Resume(CommandBody, frozen=True, tag="resume"):
    path: AgentPath | None = None


class Steer(CommandBody, frozen=True, tag="steer"):
    """A message to one agent, which reads it before its next model call.

    `taken_back`: the text is that of an earlier message, which the agent is to disregard.
    """

    path: AgentPath
    text: str
    taken_back: bool = False


class Cancel(CommandBody, frozen=True, tag="cancel"):
    """End a subtree for good; its planner above gets handoffs that say so."""

    path: AgentPath
    reason: str = "cancelled by a person"


class SetWorkers(CommandBody, frozen=True, tag="workers"):
    """How many workers may be at work at once, in the whole run or below one planner; None lifts a planner's limit."""

    workers: int | None
    path: AgentPath | None = None


class SetPriority(CommandBody, frozen=True, tag="priority"):
    path: AgentPath
    priority: int


class SetModel(CommandBody, frozen=True, tag="model"):
    """Another model for a subtree, from each agent's next call on; without a path, for the whole run, or for one of
    its roles.
    """

    model: ModelName
    path: AgentPath | None = None
    role: Role | None = None


class Rescope(CommandBody, frozen=True, tag="rescope"):
    """Another goal for a subplanner, told to it as a message."""

    path: AgentPath
    goal: str
    scope: str = ""


class Resolve(CommandBody, frozen=True, tag="resolve"):
    """A handoff needs nobody's attention any more, or does again."""

    handoff: HandoffId
    resolved: bool = True


class Stop(CommandBody, frozen=True, tag="stop"):
    """End this process's work at the next safe points; the run can be resumed."""

    reason: str = "stopped by a person"


Command = (
    SubmitIntent | Pause | Resume | Steer | Cancel | SetWorkers | SetPriority | SetModel | Rescope | Resolve | Stop
)
