"""Actions on the selected handoff."""

from tui.input.handlers import handles
from tui.screens.panes import Panes
from tui.screens.steering import Steering
from tui.widgets.actionable import Controller
from tui.widgets.detail import Tab
from tui.widgets.handoffs import mark_resolved


class HandoffActions(Controller):
    """Shows the diff and the task of a handoff, replies to it, and marks it as resolved."""

    def __init__(self, panes: Panes, steering: Steering) -> None:
        super().__init__(panes)
        self._panes = panes
        self._steering = steering

    @handles("handoffs.diff")
    def show_diff(self) -> None:
        self._show(Tab.DIFF)

    @handles("handoffs.task")
    def show_task(self) -> None:
        self._show(Tab.TASK)

    def _show(self, tab: Tab) -> None:
        if (handoff := self._panes.handoffs.current) is not None:
            self._panes.agents.select(handoff.agent)
            self._panes.show_detail(tab)

    @handles("handoffs.reply")
    def reply(self) -> None:
        handoff, run = self._panes.handoffs.current, self.view.run
        if handoff is None or run is None:
            return
        planner = run.agents.get(handoff.to_agent) if handoff.to_agent is not None else None
        if planner is None:
            self.host.show_note("reply: you received this handoff yourself")
            return
        self._steering.ask_and_steer([planner.path], f"reply to {planner.path}")

    @handles("handoffs.resolve")
    def toggle_resolved(self) -> None:
        if (handoff := self._panes.handoffs.current) is not None:
            mark_resolved(self.host, handoff)
