"""What an earlier process has recorded of an agent's work: enough to continue it where it was interrupted."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.agents.conversation_log import HAND_OFF, Conversation
from engine.domain import events as e
from engine.domain.types import AgentId, AgentState, CommitId, Landing, LandingState, ToolCallState
from engine.runtime.host import Host

UPDATE = "update_workspace"


@dataclass
class Past:
    """An agent's work so far. `worked_s`: seconds of it, without pauses and waits for the provider.

    `conflicting` are the paths of the last conflict in its workspace, `conflicts` counts those that it was told of when
    it handed off, `unresolved` how often it handed off with conflict markers. `untold` is a conflict that it was not
    told of yet, `untold_update` an update of its workspace. `since` is the commit of trunk that its change was made on
    when it first met a conflict.
    """

    still_marked: str
    conversation: Conversation = field(default_factory=Conversation)
    worked_s: float = 0.0
    conflicting: tuple[str, ...] = ()
    conflicts: int = 0
    unresolved: int = 0
    untold: Landing | None = None
    untold_update: e.WorkspaceUpdated | None = None
    since: CommitId | None = None
    _before: e.Event | None = None
    _paused: bool = False

    @classmethod
    async def read(cls, host: Host, agent: AgentId) -> "Past":
        """What the journal says about an agent that works on a task."""
        return cls.of(host, await host.journal.agent_events(agent))

    @classmethod
    def of(cls, host: Host, events: Iterable[e.Event]) -> "Past":
        past = cls(host.prompts["markers"].template.partition("}")[2].strip())
        for event in events:
            past._apply(event)
        return past

    @property
    def failed_resolutions(self) -> int:
        return max(0, self.conflicts - 1) + self.unresolved

    def _apply(self, event: e.Event) -> None:
        self.conversation.apply(event)
        self._count_time(event)
        match event.body:
            case e.LandingFinished(landing=landing):
                self.untold = landing if landing.state is LandingState.CONFLICTED else None
                self.since = self.since or (landing.since if self.untold is not None else None)
            case e.WorkspaceUpdated(conflicts=paths) as update:
                self.conflicting, self.untold_update = paths, update
                self.since = self.since or (update.since if paths else None)
            case e.ToolFinished(tool=tool) if tool == UPDATE:
                self.untold_update = None
            case e.ToolFinished(tool=tool, state=ToolCallState.ERROR, answer=answer) if tool == HAND_OFF:
                if self.untold is not None:
                    self.conflicting, self.untold = self.untold.conflicts, None
                    self.conflicts += 1
                else:
                    self.unresolved += self.still_marked in answer

    def _count_time(self, event: e.Event) -> None:
        before, self._before = self._before, event
        if before is not None and before.epoch == event.epoch and not self._paused:
            waited = before.body.wait_s if isinstance(before.body, e.ModelCallRetried) else 0.0
            self.worked_s += max(0.0, (event.at - before.at) / 1_000_000 - waited)
        if isinstance(event.body, e.AgentStateChanged):
            self._paused = event.body.state is AgentState.PAUSED
