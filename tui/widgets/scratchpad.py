"""An agent's scratchpad: any of its versions, or what each changed."""

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType

from tui.bridge import Scratchpad
from tui.format.numbers import age, clock
from tui.format.text import EMPTY, Line, Span, clean, wrap
from tui.input.keymap import DEFAULT
from tui.widgets.text_view import TextView, change_lines


class ScratchpadView(TextView):
    """Shows one version; the newest until a person goes back."""

    SCOPES: ClassVar[tuple[str, ...]] = ("agents", "list")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("agents")]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._pads: Sequence[Scratchpad] = ()
        self._back = 0
        self._changes = False

    def put(self, pads: Sequence[Scratchpad], *, another: bool) -> None:
        """Take over all known versions, oldest first. `another`: of another agent."""
        if another:
            self._back, self._changes = 0, False
        elif self._back:  # a version that is being read stays in view while newer ones come
            self._back += max(0, len(pads) - len(self._pads))
        self._pads = pads
        self._draw()

    def _draw(self) -> None:
        self._back = max(0, min(self._back, len(self._pads) - 1))
        key = (self._pads[-1 - self._back].agent, self._back, self._changes) if self._pads else None
        self.set(self._tell, key=key)

    def _tell(self, cells: int) -> list[Line]:
        if not self._pads:
            return [EMPTY, (Span("  No scratchpad yet: the agent rewrites it as it learns.", "dim"),)]
        at = len(self._pads) - 1 - self._back
        pad = self._pads[at]
        keys = "h earlier · l later · enter " + ("the text" if self._changes else "what it changed")
        lines: list[Line] = [
            (
                Span(f" version {pad.version} of {self._pads[-1].version}", "accent bold"),
                Span(f"  {clock(pad.at)} UTC, {age(self.host.now() - pad.at)} ago", "dim"),
            ),
            (Span(f" {keys}", "dim"),),
            EMPTY,
        ]
        if self._changes:
            before = self._pads[at - 1].text if at else ""
            return lines + change_lines(before, pad.text)
        return lines + [(Span("  "), *line) for line in wrap(clean(pad.text), cells - 3, "text")]

    def go_left(self) -> None:
        self._back += 1
        self._draw()

    def go_right(self) -> None:
        self._back -= 1
        self._draw()

    def open_line(self) -> None:
        self._changes = not self._changes
        self._draw()
