"""The screen's only access to the engine: the names of the engine's face, each loaded on first use.

`from tui.bridge import NAME` loads NAME's module at once, and `bridge.NAME` when that line runs, so that the screen is
painted before the engine is loaded.
"""

from typing import TYPE_CHECKING, Any

import engine

if TYPE_CHECKING:
    from engine import *
else:

    def __getattr__(name: str) -> Any:
        return globals().setdefault(name, getattr(engine, name))
