"""Provider adapters over the official SDKs, what they share, and the list of prices.

`adapters.NAME` loads the module NAME when that line runs: the SDKs and the list take up to a second.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.models.adapters import anthropic, openai, openai_chat, price_list
else:

    def __getattr__(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return importlib.import_module(f"{__name__}.{name}")
