"""The commands of `swarm-tui`, and the app that some of them open.

`commands.NAME` loads the module NAME when that line runs: help stays quick, and the first frame is painted before the
app is loaded.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tui import app
    from tui.commands import (
        archive,
        ask,
        completion,
        demo,
        doctor,
        help,
        init,
        lint_intent,
        open,
        perform,
        replay,
        report,
        run,
        runs,
        send,
        version,
    )
else:

    def __getattr__(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return importlib.import_module("tui.app" if name == "app" else f"{__name__}.{name}")
