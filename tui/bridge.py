"""The screen's only door to the engine: the names of the engine's face, each loaded when it is first used.

`from tui.bridge import NAME` loads NAME's module at once, `bridge.NAME` when that line runs: the screen is painted
before the engine is loaded.
"""

from typing import TYPE_CHECKING, Any

import engine

if TYPE_CHECKING:
    from engine import *
else:

    def __getattr__(name: str) -> Any:
        return getattr(engine, name)
