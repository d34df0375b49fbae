"""Measures how fast a model answers, and derives how long the calls of a run may take with it."""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from engine.agents.compaction import FULL, MAX_OUTPUT
from engine.domain.conversation import Message, Request, Text
from engine.domain.errors import ErrorKind, ExitStatus, ModelError, ModelErrorKind, SwarmError
from engine.domain.settings import ProviderSettings
from engine.domain.types import ModelName, Usage
from engine.models.client import ModelClient
from engine.models.registry import split_model
from engine.system import SystemClock, SystemRandomness

_FILLER = "This sentence has no meaning and need not be read. " * 50
"""About 500 tokens, so that the time until the first token says something about reading."""
_QUESTION = "Write the numbers from 1 to 200 in words, separated by commas, and nothing else."
_OUTPUT = 200
_TOO_FEW = 8
"""Tokens below which an answer says nothing about the speed."""
_PIECES = 3
_SLOW_START_S = 5.0
"""Seconds until the first token below which the network and the queue count for more than reading the prompt."""


class ModelSpeed(Struct, frozen=True):
    """A model's speed, and the longest call of a run at that speed. Speeds are in tokens per second, 0 if unknown.

    `longest_output` is in tokens; `longest_start_s` is the time to read the longest prompt.
    """

    first_s: float
    reading: float
    writing: float
    longest_output: int
    longest_start_s: float
    usage: Usage

    @property
    def longest_call_s(self) -> float:
        return max(self.first_s, self.longest_start_s) + (self.longest_output / self.writing if self.writing else 0.0)


async def measure_speed(
    model: ModelName, providers: Mapping[str, ProviderSettings], environ: Mapping[str, str], limit_s: float
) -> ModelSpeed:
    """Ask the model one short question, for at most `limit_s` seconds. Raises SwarmError if nothing is answered."""
    name, _ = split_model(model)
    settings = providers.get(name, ProviderSettings())
    probing = replace(settings, max_retries=0, call_timeout=limit_s, first_byte_timeout=limit_s)
    clock = SystemClock()
    client = ModelClient({**providers, name: probing}, environ, clock, SystemRandomness(1))
    asked = Request("", "Do what is asked.", (Message("user", (Text(_FILLER + _QUESTION),)),), (), _OUTPUT)
    first: list[float] = []
    pieces = {str: 0, Usage: 0}

    def arrived(what: str | Usage) -> None:
        if what.output if isinstance(what, Usage) else what:
            first.append(clock.monotonic())
            pieces[type(what)] += 1

    try:
        await client.prepare([model])
        began = clock.monotonic()
        try:
            usage = (await client.ask(model, asked, arrived, lambda *_: None, arrived)).usage
        except ModelError as error:
            if not error.usage.output or not first:
                raise _unanswered(error) from None
            usage = error.usage
        ended = clock.monotonic()
        window = client.window(model)
    finally:
        await client.close()
    start_s = (first[0] if first else ended) - began
    # An answer that comes in one piece was written before it came.
    writing_s = ended - began - (start_s if max(pieces.values()) >= _PIECES else 0.0)
    reading = usage.input / start_s if start_s > _SLOW_START_S else 0.0
    return ModelSpeed(
        first_s=start_s,
        reading=reading,
        writing=usage.output / max(writing_s, 0.001) if usage.output >= _TOO_FEW else 0.0,
        longest_output=min(MAX_OUTPUT, window // 4, settings.max_output or MAX_OUTPUT),
        longest_start_s=FULL * window / reading if reading else 0.0,
        usage=usage,
    )


def _unanswered(error: ModelError) -> SwarmError:
    if error.kind is ModelErrorKind.REFUSED:
        hint = "check the key and the model's name"
    else:
        hint = "check that its server can be reached; one that takes so long for a short question is too slow"
    return SwarmError(ErrorKind.PROVIDER, error.message, hint, ExitStatus.UNUSABLE)
