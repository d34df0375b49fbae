"""An agent's scratchpad: each of its versions, or what that version changed."""

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType

from tui.bridge import Scratchpad
from tui.format.numbers import age, clock
from tui.format.text import EMPTY, Line, Span, clean, wrap
from tui.input.keys_in_force import DEFAULT
from tui.widgets.text_view import TextView, change_lines


class ScratchpadView(TextView):
    """Shows one version, the newest unless a person goes back."""

    SCOPES: ClassVar[tuple[str, ...]] = ("agents", "list")
    BINDINGS: ClassVar[list[BindingType]] = [*DEFAULT.bindings("agents")]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._pads: Sequence[Scratchpad] = ()
        self._back = 0
        self._changes = False

    def put(self, pads: Sequence[Scratchpad], *, another: bool) -> None:
        """Set all known versions, oldest first. `another` says that they are of another agent."""
        if another:
            self._back, self._changes = 0, False
        elif self._back:  # the version in view stays when newer ones come
            self._back += max(0, len(pads) - len(self._pads))
        self._pads = pads
        self._show_version()

    def _show_version(self) -> None:
        self._back = max(0, min(self._back, len(self._pads) - 1))
        key = (self._pads[-1 - self._back].agent, self._back, self._changes) if self._pads else None
        self.set(self._version_lines, key=key)

    def _version_lines(self, cells: int) -> list[Line]:
        if not self._pads:
            return [EMPTY, (Span("  No scratchpad yet. Agents write notes to themselves here.", "dim"),)]
        at = len(self._pads) - 1 - self._back
        pad = self._pads[at]
        keys = f"h older · l newer · enter {'text' if self._changes else 'changes'}"
        lines: list[Line] = [
            (
                Span(f" version {pad.version} of {self._pads[-1].version}", "accent bold"),
                Span(f"  {clock(pad.at)}, {age(self.host.now() - pad.at)} ago", "dim"),
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
        self._show_version()

    def go_right(self) -> None:
        self._back -= 1
        self._show_version()

    def open_line(self) -> None:
        self._changes = not self._changes
        self._show_version()
