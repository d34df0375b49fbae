"""The table of what each kind of event sets in motion in the running swarm.

What an event changes in the snapshot is defined in `engine.state.fold`. Reactions come after that.
"""

from collections.abc import Callable, Mapping
from typing import Any

from engine.domain import events as e
from engine.domain.events import Event
from engine.domain.types import AgentState
from engine.orchestrator.check_schedule import CheckSchedule
from engine.orchestrator.pathology_monitor import PathologyMonitor
from engine.orchestrator.publisher import Publisher
from engine.orchestrator.supervisor import Supervisor
from engine.runtime.host import Host

Reaction = Callable[[Event, Any], None]
"""Gets an event and its body. It only notes what there is to do: it returns at once and records nothing."""
Reactions = Mapping[type, tuple[Reaction, ...]]
NOTHING: tuple[Reaction, ...] = ()


def reactions(
    host: Host,
    supervisor: Supervisor,
    pathologies: PathologyMonitor,
    checks: CheckSchedule,
    publisher: Publisher,
    *,
    look_again: Callable[[], None],
) -> Reactions:
    """The reactions to each kind of event, in order. `look_again` has the swarm check what can start or end."""

    def look(event: Event, body: e.Body) -> None:
        look_again()

    def look_unless_thinking(event: Event, body: e.AgentStateChanged) -> None:
        if body.state is not AgentState.THINKING:
            look_again()

    in_turn = host.landing_turns.wake
    return {
        # the run
        e.RunCreated: (look,),
        e.EpochStarted: (look,),
        e.RunStateChanged: (host.pauses.run_changed, in_turn, look),
        e.WorkersLimited: (look,),
        e.LoadLimited: (look,),
        e.BudgetMarked: (look,),
        e.Warned: (look,),
        e.Sampled: NOTHING,
        e.AgentsSampled: NOTHING,
        # intent and messages
        e.IntentVersioned: (look,),
        e.MessageQueued: (host.wake_ups.wake, supervisor.message_queued, in_turn, look),
        e.NoteMade: (look,),
        e.NoteAnswered: (look,),
        e.AnswersOverdue: (look,),
        # agents
        e.AgentSpawned: (supervisor.agent_spawned, checks.agent_spawned, look),
        e.AgentStateChanged: (supervisor.agent_changed, look_unless_thinking),
        e.SubtreePaused: (in_turn, look),
        e.SubtreeResumed: (host.pauses.wake, in_turn, look),
        e.SubtreeLimited: (look,),
        e.PriorityChanged: (look,),
        e.ModelChanged: (look,),
        e.Rescoped: (look,),
        e.PathologySeen: (look,),
        e.FailureNoted: (look,),
        e.FailureShared: (look,),
        e.HotFilesTold: (look,),
        e.ScratchpadRewritten: (look,),
        e.Pivoted: (look,),
        e.TurnTaken: (host.live.flush,),
        e.ModelCallRetried: (look,),
        e.AnswersDropped: (look,),
        e.ContextCompacted: (look,),
        e.ToolStarted: NOTHING,
        e.ToolFinished: (pathologies.tool_finished, host.live.flush),
        e.WorkspaceUpdated: (look,),
        # tasks
        e.TaskQueued: (supervisor.task_queued, look),
        e.TaskHeld: (look,),
        e.TaskReleased: (look,),
        e.TaskAmended: (look,),
        e.TaskDirected: (look,),
        e.TaskStarted: (supervisor.task_started, look),
        e.AttemptContinued: (supervisor.attempt_continued, look),
        e.TaskRequeued: (supervisor.task_queued, in_turn, look),
        e.TaskEnded: (supervisor.task_ended, pathologies.task_ended, checks.task_ended, in_turn, look),
        e.TaskUnwanted: (supervisor.task_unwanted, look),
        e.LandingStarted: (look,),
        e.LandingFinished: (
            pathologies.landing_finished,
            publisher.landing_finished,
            checks.landing_finished,
            in_turn,
            look,
        ),
        e.LandingWaits: (look,),
        e.PrecedenceGiven: (look,),
        e.PrecedenceEnded: (in_turn, look),
        e.HandedOff: (look,),
        e.HandoffResolved: (look,),
        # trunk
        e.BaseSurveyed: (look,),
        e.EnvironmentSurveyed: (look,),
        e.CheckFinished: (look,),
        e.BreakTraced: (look,),
        e.FixupsExhausted: (look,),
        e.GreenMoved: (publisher.green_moved, look),
        e.Published: (look,),
    }
