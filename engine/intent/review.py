"""Puts together what a model's review of an intent needs: the prompt, and a model of the person's choice."""

from collections.abc import Callable, Mapping
from importlib.resources import files

import prompts as prompt_files
from engine.agents.prompts import Prompts
from engine.domain.conversation import Message, Request, Text
from engine.domain.errors import ErrorKind, ExitStatus, ModelError, ModelErrorKind, SwarmError
from engine.domain.settings import Settings
from engine.domain.types import ModelName, Usage
from engine.models.client import ModelClient
from engine.models.selection import choose_models
from engine.system import SystemClock, SystemRandomness

MOST = 12
"""Remarks that are kept."""


async def review_intent(
    text: str, settings: Settings, environ: Mapping[str, str], on_waits: Callable[[str], None]
) -> tuple[list[str], Usage]:
    """The planner's model's remarks, one a line, and what they took; none when there is nothing to remark.

    `on_waits` is told why the model is asked again. Raises SwarmError (provider): no model, or no answer.
    """
    model = ModelName(choose_models(settings, environ).models.planner)
    if model.startswith("rehearsal:"):
        hint = "name a model with --model PROVIDER:NAME"
        raise SwarmError(ErrorKind.PROVIDER, "the rehearsal is a script and reads no intents", hint)
    prompt = Prompts(files(prompt_files))["lint_intent"].render()
    request = Request(model.partition(":")[2], prompt, (Message("user", (Text(text),)),), (), 4_000)
    lost = Usage()

    def waits(reason: str, seconds: float, spent: Usage) -> None:
        nonlocal lost
        lost += spent
        on_waits(f"asks again in {seconds:.0f} s: {reason}")

    desk = ModelClient(settings.providers, environ, SystemClock(), SystemRandomness(settings.swarm.seed))
    try:
        await desk.prepare([model])
        turn = await desk.ask(model, request, lambda text: None, waits)
    except ModelError as error:
        status = ExitStatus.REFUSED if error.kind is ModelErrorKind.REFUSED else ExitStatus.NOT_GREEN
        hint = "check the key, the address and the model's name: `swarm-tui doctor` shows what is set"
        raise SwarmError(ErrorKind.PROVIDER, error.message, hint, status) from error
    finally:
        await desk.close()
    said = [line.strip("-* \t") for line in turn.message.text.splitlines()]
    return [line for line in said if line.startswith(("vague:", "missing:"))][:MOST], turn.usage + lost
