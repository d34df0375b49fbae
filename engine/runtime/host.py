"""The host: the running swarm as its agents see it."""

from engine.domain.settings import Settings
from engine.ports.world import World
from engine.runtime.budget_enforcer import BudgetEnforcer
from engine.runtime.deadlines import Deadlines
from engine.runtime.freezer import Freezer
from engine.runtime.live_text import LiveText
from engine.runtime.mailboxes import Mailboxes
from engine.runtime.model_calls import ModelCalls
from engine.runtime.pauses import Pauses
from engine.runtime.prompts import Prompts
from engine.runtime.recorder import RunRecorder
from engine.state.snapshot import Snapshot
from engine.tools.toolbox import Toolbox


class Host(RunRecorder):
    """The run's recorder, with the parts of the world that agents use and what holds, limits and serves them."""

    def __init__(
        self, world: World, settings: Settings, prompts: Prompts, toolbox: Toolbox, snapshot: Snapshot, epoch: int
    ) -> None:
        super().__init__(world, settings, prompts, snapshot, epoch)
        self.trunk, self.workspaces, self.gate, self.models = world.trunk, world.workspaces, world.gate, world.models
        self.toolbox = toolbox
        self.mailboxes, self.live = Mailboxes(snapshot), LiveText(world.mask)
        self.deadlines = Deadlines(snapshot, world.clock)
        self.budget = BudgetEnforcer(self)
        self.pauses = Pauses(self, self.budget, self.deadlines)
        self.freezer = Freezer(self, world.gate, self.deadlines)
        self.calls = ModelCalls(self, world.models, self.budget, self.pauses, self.deadlines, self.live)
