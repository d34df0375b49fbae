"""The dialog of a run that waits for a person, because the commit that it starts from fails the check."""

from tui.bridge import ROOT, Cancel, Resume, RunState, Snapshot
from tui.screens.modal import Menu, MenuItem
from tui.widgets.actionable import Actionable, Controller

OUTPUT_LINES = 8
"""Lines of the check's output, the last ones, that the dialog shows."""


class RedBase(Controller):
    """Asks whether to go on, once each time that the screen is opened."""

    def __init__(self, screen: Actionable) -> None:
        super().__init__(screen)
        self._asked = False

    def look(self) -> None:
        """Ask if the run waits for it and this has not been asked yet."""
        run = self.view.run
        if run is not None and not self._asked and not self.host.session.read_only and _waits(run):
            self._asked = True
            self.app.push_screen(Menu("The check fails in a clean copy", text_of(run), ITEMS), self._decide)

    def _decide(self, key: str | None) -> None:
        if key == "g":
            self.host.commands.send(Resume(), "going on")
        elif key == "s":
            self.host.commands.send(Cancel(ROOT, "stopped because the base fails the check"), "stopping")


ITEMS = (
    MenuItem("g", "go on", "planners are told; what workers land turns green only once the check passes"),
    MenuItem("s", "stop", "ends the run before any model is asked"),
)


def text_of(run: Snapshot) -> str:
    """What failed, the end of its output, and what to do about it."""
    survey = run.base_survey
    assert survey is not None
    output = survey.check.output.rstrip().split("\n")[-OUTPUT_LINES:]
    advice = [f"- {line}" for line in survey.advice]
    return "\n".join([survey.check.outcome, "", *(f"  {line[:200]}" for line in output), "", *advice]).rstrip()


def _waits(run: Snapshot) -> bool:
    survey = run.base_survey
    return run.state is RunState.PAUSED and run.root is None and survey is not None and not survey.check.passed
