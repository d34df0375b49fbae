"""Asks a model outside of any run: about an intent before a run, or about a run's record."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from engine.domain.conversation import Request, Turn
from engine.domain.errors import ErrorKind, ExitStatus, ModelError, ModelErrorKind, SwarmError
from engine.domain.settings import Settings
from engine.domain.types import ModelName, Usage
from engine.models.client import ModelClient
from engine.models.selection import choose_models
from engine.ports.protocols import Clock, Randomness


class StandaloneModel:
    """One model. `usage` is what all calls used so far, including failed ones; `on_step` gets a line for each retry."""

    def __init__(self, name: ModelName, client: ModelClient, on_step: Callable[[str], None]) -> None:
        self.name = name
        self.usage = Usage()
        self._client = client
        self._on_step = on_step

    async def ask(self, request: Request) -> Turn:
        """Raises ModelError."""
        turn = await self._client.ask(self.name, request, lambda text: None, self._on_retry)
        self.usage += turn.usage
        return turn

    def _on_retry(self, reason: str, wait_s: float, used: Usage) -> None:
        self.usage += used
        self._on_step(f"retrying in {wait_s:.0f} s: {reason}")


@asynccontextmanager
async def standalone_model(
    settings: Settings,
    environ: Mapping[str, str],
    clock: Clock,
    randomness: Randomness,
    on_step: Callable[[str], None],
    limit_s: float,
) -> AsyncIterator[StandaloneModel]:
    """The planner's model for at most `limit_s` seconds, closed on exit.

    Raises SwarmError (provider) when no model is configured or it is the rehearsal, and, in place of ModelError and
    TimeoutError, when the model does not answer.
    """
    name = choose_models(settings, environ).models.planner
    if name.startswith("rehearsal:"):
        raise SwarmError(
            ErrorKind.PROVIDER,
            "the rehearsal is a script and cannot answer questions",
            "name a model with --model PROVIDER:NAME, such as openai-chat:NAME for a model served on this machine",
        )
    client = ModelClient(settings.providers, environ, clock, randomness)
    try:
        async with asyncio.timeout(limit_s):
            await client.prepare([name])
            yield StandaloneModel(name, client, on_step)
    except TimeoutError:
        hint = "allow more time with --timeout, or choose a faster model; swarm-tui doctor --probe measures its speed"
        message = f"{name} gave no answer within {limit_s:g} s"
        raise SwarmError(ErrorKind.PROVIDER, message, hint, ExitStatus.NOT_GREEN) from None
    except ModelError as error:
        status = ExitStatus.REFUSED if error.kind is ModelErrorKind.REFUSED else ExitStatus.NOT_GREEN
        hint = "check the key, the address and the model's name; swarm-tui doctor shows which are set"
        raise SwarmError(ErrorKind.PROVIDER, error.message, hint, status) from error
    finally:
        await client.close()
