"""What agents get from the running swarm, put together from its parts."""

from engine.ports.world import World
from engine.runtime.deadlines import Deadlines
from engine.runtime.freezer import Freezer
from engine.runtime.live_text import LiveText
from engine.runtime.mailboxes import Mailboxes
from engine.runtime.model_calls import ModelCalls
from engine.runtime.pauses import Pauses
from engine.runtime.recorder import EventRecorder
from engine.tools.toolbox import Toolbox


class AgentHost:
    """Implements runtime.host.Host by handing each call to the part of the swarm that owns it."""

    def __init__(
        self,
        world: World,
        recorder: EventRecorder,
        toolbox: Toolbox,
        *,
        pauses: Pauses,
        deadlines: Deadlines,
        freezer: Freezer,
        mailboxes: Mailboxes,
        calls: ModelCalls,
        live: LiveText,
    ) -> None:
        self.snapshot, self.settings, self.prompts = recorder.snapshot, recorder.settings, recorder.prompts
        self.clock, self.ids, self.mask = world.clock, world.ids, world.mask
        self.trunk, self.workspaces, self.gate, self.models = world.trunk, world.workspaces, world.gate, world.models
        self.toolbox = toolbox
        self.record, self.durable = recorder.record, recorder.durable
        self.safe_point, self.thawed = pauses.safe_point, pauses.thawed
        self.freezable, self.time_limit = freezer.freezable, deadlines.limit
        self.message_for = mailboxes.message_for
        self.ask, self.show = calls.ask, live.show
