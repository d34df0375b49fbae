"""Has a model review an intent: what is vague or missing in it."""

from collections.abc import Callable, Mapping
from importlib.resources import files

import prompts as prompt_files
from engine.domain.conversation import Message, Request, Text
from engine.domain.settings import Settings
from engine.domain.types import Usage
from engine.models.standalone import standalone_model
from engine.runtime.prompts import Prompts
from engine.system import SystemClock, SystemRandomness

MOST = 12
"""Remarks to keep."""
MAX_OUTPUT = 4_000
"""Tokens."""


async def review_intent(
    text: str, settings: Settings, environ: Mapping[str, str], on_retry: Callable[[str], None], limit_s: float
) -> tuple[list[str], Usage]:
    """The remarks of the planner's model, one a line, and what they cost; empty when it has none.

    `on_retry` gets a line for each retry. Raises SwarmError (provider) when there is no model, or no answer within
    `limit_s`.
    """
    prompt = Prompts(files(prompt_files))["lint_intent"].render()
    randomness = SystemRandomness(settings.swarm.seed)
    async with standalone_model(settings, environ, SystemClock(), randomness, on_retry, limit_s) as model:
        request = Request(model.name, prompt, (Message("user", (Text(text),)),), (), MAX_OUTPUT)
        turn = await model.ask(request)
    lines = [line.strip("-* \t") for line in turn.message.text.splitlines()]
    return [line for line in lines if line.startswith(("vague:", "missing:"))][:MOST], model.usage
