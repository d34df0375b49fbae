"""The host: the running swarm as its agents see it."""

from engine.domain.settings import Settings
from engine.ports.world import World
from engine.runtime.budget_enforcer import BudgetEnforcer
from engine.runtime.deadlines import Deadlines
from engine.runtime.freezer import Freezer
from engine.runtime.landing_turns import LandingTurns
from engine.runtime.live_text import LiveText
from engine.runtime.model_calls import ModelCalls
from engine.runtime.pauses import Pauses
from engine.runtime.prompts import Prompts
from engine.runtime.recorder import RunRecorder
from engine.runtime.wake_ups import WakeUps
from engine.state.snapshot import Snapshot
from engine.tools.toolbox import Toolbox


class Host(RunRecorder):
    """The run's recorder, with the rest of the world, and with what holds, limits and serves agents."""

    def __init__(
        self, world: World, settings: Settings, prompts: Prompts, toolbox: Toolbox, snapshot: Snapshot, epoch: int
    ) -> None:
        super().__init__(world, settings, prompts, snapshot, epoch)
        self.attended = False
        """Whether a person is there to answer."""
        self.toolbox = toolbox
        self.trunk, self.workspaces, self.checker = world.trunk, world.workspaces, world.checker
        self.surveys, self.environment = world.surveys, world.environment
        self.models, self.meters, self.gate, self.governor = world.models, world.meters, world.gate, world.governor
        self.wake_ups, self.live = WakeUps(snapshot), LiveText(world.mask)
        self.deadlines = Deadlines(snapshot, world.clock)
        self.budget = BudgetEnforcer(self)
        self.pauses = Pauses(self, self.budget, self.deadlines)
        self.landing_turns = LandingTurns(self, self.pauses, self.deadlines)
        self.freezer = Freezer(self, world.gate, self.deadlines)
        self.calls = ModelCalls(self, world.models, self.budget, self.pauses, self.deadlines, self.live)

    @property
    def answers_awaited(self) -> bool:
        """Whether planners may wait for a person's answers."""
        return self.attended and self.settings.planner.questions == "ask"
