"""Everything that can be asked of a running swarm. `path` is that of the agent at the root of a subtree."""

from msgspec import Struct

from engine.domain.bounds import Instruction, IntentText, Name, NoteNumber, Priority, Reason, WorkerCount
from engine.domain.types import AgentPath, HandoffId, ModelName, Role


class CommandBody(Struct, frozen=True, tag_field="verb"):
    """The base of all commands; `verb` is their tag, as `swarm-tui send` spells it."""


class SubmitIntent(CommandBody, frozen=True, tag="intent"):
    """Add a new version of the intent, and tell the root planner."""

    text: IntentText
    author: Name = "person"


class Pause(CommandBody, frozen=True, tag="pause"):
    """Pause the agents of a subtree between two steps; without a path, those of the whole run.

    `freeze`: also suspend running commands immediately; suspended time does not count towards their time limits.
    """

    path: AgentPath | None = None
    freeze: bool = False


class Resume(CommandBody, frozen=True, tag="resume"):
    path: AgentPath | None = None


class Steer(CommandBody, frozen=True, tag="steer"):
    """Send a message to one agent, which reads it before its next model call.

    `taken_back`: `text` is an earlier message that the agent should now disregard.
    """

    path: AgentPath
    text: Instruction
    taken_back: bool = False


class Cancel(CommandBody, frozen=True, tag="cancel"):
    """End a subtree for good; the planner above it gets handoffs that say so."""

    path: AgentPath
    reason: Reason = "cancelled by a person"


class SetWorkers(CommandBody, frozen=True, tag="workers"):
    """Set how many workers may run at a time, in the whole run or below a planner; None removes a planner's limit."""

    workers: WorkerCount | None
    path: AgentPath | None = None


class SetPriority(CommandBody, frozen=True, tag="priority"):
    path: AgentPath
    priority: Priority


class SetModel(CommandBody, frozen=True, tag="model"):
    """Set the model of a subtree, from each agent's next call on; without a path, of the whole run or of one role."""

    model: ModelName
    path: AgentPath | None = None
    role: Role | None = None


class Rescope(CommandBody, frozen=True, tag="rescope"):
    """Give a subplanner another goal, as a message to it."""

    path: AgentPath
    goal: Instruction
    scope: Instruction = ""


class Resolve(CommandBody, frozen=True, tag="resolve"):
    """Mark a handoff as dealt with, or remove that mark."""

    handoff: HandoffId
    resolved: bool = True


class AnswerNote(CommandBody, frozen=True, tag="answer"):
    """Answer a planner's question or correct its assumption; without a text, leave it as the planner thinks best.

    `taken_back`: withdraw the answer that was given, so that the note is open again.
    """

    note: NoteNumber
    text: Reason = ""
    taken_back: bool = False


class Stop(CommandBody, frozen=True, tag="stop"):
    """Stop the run between two steps of its agents; it can be resumed."""

    reason: Reason = "stopped by a person"


Command = (
    SubmitIntent
    | Pause
    | Resume
    | Steer
    | Cancel
    | SetWorkers
    | SetPriority
    | SetModel
    | Rescope
    | Resolve
    | AnswerNote
    | Stop
)
