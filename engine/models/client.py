"""The engine's client for all providers: opens them on first use, limits and retries calls, prices turns."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from engine.domain.conversation import Request, Turn
from engine.domain.errors import ModelError, ModelErrorKind
from engine.domain.settings import ProviderSettings
from engine.domain.types import ModelName, Usage
from engine.models.adapters import wire_format as wire
from engine.models.call_queue import CallQueue, EndpointStatistics
from engine.models.endpoint import Endpoint
from engine.models.prices import Prices
from engine.models.registry import PROVIDERS, base_url, endpoint, open_provider, split_model
from engine.policy.reservations import within
from engine.ports.protocols import Clock, Provider, Randomness

FIRST_WAIT = 0.5
"""The longest first wait, in seconds. It doubles with every retry; the actual wait is random between 0 and it."""

FIRST_RETRIES = 5
"""Retries of an endpoint that has never answered: a wrong address is likelier than a busy server."""
PAID_RETRIES = 3
"""Retries of answers that broke off midway: each of them costs money."""
LEAST_OUTPUT = 16
"""Tokens of an answer that every provider accepts as a limit."""
PROGRESS_S = 0.25
"""Seconds between two reports of what has arrived."""
_SIZE = re.compile(r"(?:context|window|length|limit|maximum|size)[^\d]{0,30}(\d{3,8})\b", re.IGNORECASE)
_SLOW_DOWN = frozenset({429, 529, 503})


class _Progress:
    """What has arrived of one answer, estimated, and reported at intervals."""

    def __init__(self, clock: Clock, asked: int, report: Callable[[Usage], None]) -> None:
        self._clock, self._asked, self._report = clock, asked, report
        self._next = float("-inf")
        self._characters = -1
        """Negative until the server begins to answer: until then nothing is used."""

    @property
    def usage(self) -> Usage:
        return Usage(self._asked, 0, self._characters // wire.CHARS_PER_TOKEN) if self._characters >= 0 else Usage()

    def arrived(self, characters: int) -> None:
        self._characters = characters
        if (now := self._clock.monotonic()) >= self._next:
            self._next = now + PROGRESS_S
            self._report(self.usage)


class ModelClient:
    """Implements `Models`. One per run.

    `providers` are the settings' provider sections; `environ` holds the keys, which never leave this class but to a
    provider.
    """

    def __init__(
        self,
        providers: Mapping[str, ProviderSettings],
        environ: Mapping[str, str],
        clock: Clock,
        randomness: Randomness,
        opener: Callable[[Endpoint], Provider] = open_provider,
    ) -> None:
        self._settings = providers
        self._environ = environ
        self._clock = clock
        self._randomness = randomness
        self._opener = opener
        addresses = {name: base_url(name, self._of(name), environ) for name in PROVIDERS}
        self._prices = Prices(providers, addresses)
        self._open: dict[str, asyncio.Task[Provider]] = {}
        self._queues: dict[str, CallQueue] = {}
        self._answered: set[str] = set()
        self._kept: dict[tuple[str, str], int] = {}
        """The places in their provider's queue of conversations whose call ended before it was sent."""

    def check(self, model: ModelName) -> None:
        """Raises SwarmError (provider) unless the name is `PROVIDER:NAME` with a provider that exists."""
        split_model(model)

    async def prepare(self, models: Sequence[ModelName]) -> None:
        """Open the models' providers before the first call. Raises SwarmError: no such provider, no key."""
        for name in dict.fromkeys(split_model(model)[0] for model in models):
            await self._provider(name)

    async def ask(
        self,
        model: ModelName,
        request: Request,
        on_text: Callable[[str], None],
        on_retry: Callable[[str, float, Usage], None],
        on_progress: Callable[[Usage], None] = lambda usage: None,
        on_start: Callable[[], None] = lambda: None,
    ) -> Turn:
        """Ask until a complete turn arrives (see Models). Raises ModelError, and SwarmError if there is no key."""
        name, bare = split_model(model)
        provider = await self._provider(name)
        settings = self._of(name)
        queue = self._queue_of(name)
        request = msgspec.structs.replace(request, model=bare)
        ticket = self._kept.pop((name, request.conversation), None) or queue.ticket()
        retries = paid = 0
        while True:
            async with queue.slot(ticket) as started:
                try:
                    on_start()
                except BaseException:
                    self._kept[name, request.conversation] = ticket
                    raise
                try:
                    turn = await self._try(provider, model, request, on_text, on_progress)
                except ModelError as error:
                    error.usage = self._priced(name, bare, error.usage)
                    if error.kind is ModelErrorKind.CONTEXT_LENGTH:
                        error.message += self._window_advice(name, bare, error.message)
                    if error.learned:
                        on_retry(error.message, 0.0, error.usage)
                        continue
                    if error.kind is not ModelErrorKind.RETRYABLE:
                        raise
                    failed = error
                    wait = self._wait(error, retries, settings.max_retry_wait)
                    if error.status in _SLOW_DOWN:
                        queue.rate_limited(started, wait)
                    else:
                        queue.failed(started, wait)
                else:
                    self._answered.add(name)
                    queue.succeeded()
                    usage, doubt = within(turn.usage, self.most(model, request))
                    return msgspec.structs.replace(turn, usage=self._priced(name, bare, usage), doubt=doubt)
            if failed.status is not None:
                self._answered.add(name)
            most = settings.max_retries if name in self._answered else min(settings.max_retries, FIRST_RETRIES)
            paid += failed.usage.input > 0
            if retries >= most or paid > PAID_RETRIES:
                raise failed
            retries += 1
            queue.retried()
            on_retry(failed.message, wait, failed.usage)
            await self._clock.sleep(wait)

    def most(self, model: ModelName, request: Request) -> Usage:
        name, bare = split_model(model)
        output = max(LEAST_OUTPUT, wire.max_output(request, self._of(name).max_output))
        fresh = Usage(wire.most_input(request), 0, output)
        written = msgspec.structs.replace(fresh, written=fresh.input)
        prices = [self._prices.price(name, bare, usage) for usage in (fresh, written)]
        known = [price for price in prices if price is not None]
        return msgspec.structs.replace(fresh, usd=max(known) if len(known) == len(prices) else None)

    def window(self, model: ModelName) -> int:
        """The model's context window in tokens. The first call for a paid provider takes half a second."""
        name, bare = split_model(model)
        return self._prices.window(name, bare)

    def longest_wait(self, model: ModelName) -> float:
        return self._of(split_model(model)[0]).max_retry_wait

    @property
    def statistics(self) -> dict[str, EndpointStatistics]:
        """Statistics by provider, for providers that were asked."""
        return {name: queue.statistics for name, queue in self._queues.items()}

    async def close(self) -> None:
        for queue in self._queues.values():
            await queue.close()
        for opened in await asyncio.gather(*self._open.values(), return_exceptions=True):
            if not isinstance(opened, BaseException):
                await opened.close()
        self._open.clear()

    async def _try(
        self,
        provider: Provider,
        model: ModelName,
        request: Request,
        on_text: Callable[[str], None],
        on_progress: Callable[[Usage], None],
    ) -> Turn:
        """One try, at most as long as a call may take. Raises ModelError."""
        name, bare = split_model(model)
        progress = _Progress(
            self._clock, wire.estimate(request), lambda usage: on_progress(self._priced(name, bare, usage))
        )
        longest = self._of(name).call_timeout
        try:
            async with asyncio.timeout(longest):
                return await provider.ask(request, on_text, progress.arrived)
        except TimeoutError:
            came = f"about {progress.usage.output} tokens of it came" if progress.usage.output else "nothing of it came"
            message = f"no whole answer within {longest:g} s (call_timeout), {came}"
            error = ModelError(ModelErrorKind.RETRYABLE, message)
            error.usage = progress.usage
            raise error from None

    def _priced(self, name: str, model: str, usage: Usage) -> Usage:
        return msgspec.structs.replace(usage, usd=self._prices.price(name, model, usage)) if usage.input else usage

    def _window_advice(self, name: str, model: str, said: str) -> str:
        """What to do about a prompt that does not fit, with the size that the server names if it is below ours."""
        taken = self._prices.window(name, model)
        sizes = [int(number) for number in _SIZE.findall(said) if int(number) < taken]
        value = f" = {sizes[0]}" if sizes else ""
        return (
            f"; its context is taken to be {taken:,} tokens: set window{value} in [providers.{name}] if it is smaller"
        )

    def _wait(self, error: ModelError, retries: int, longest: float) -> float:
        """Seconds before the next attempt: what the server asks for plus jitter, else backoff with full jitter."""
        jitter = self._randomness.random()
        if error.retry_after is not None:
            asked = min(error.retry_after, longest)
            return asked + jitter * min(1.0, asked * 0.1)
        return min(longest, FIRST_WAIT * 2.0 ** min(retries, 30)) * jitter

    def _of(self, name: str) -> ProviderSettings:
        return self._settings.get(name, ProviderSettings())

    def _queue_of(self, name: str) -> CallQueue:
        if name not in self._queues:
            self._queues[name] = CallQueue(self._clock, self._of(name).max_concurrent)
        return self._queues[name]

    async def _provider(self, name: str) -> Provider:
        opening = self._open.get(name)
        if opening is None:
            made_from = endpoint(name, self._of(name), self._environ, self._clock, self._randomness)
            opening = self._open[name] = asyncio.create_task(self._load(made_from))
        return await asyncio.shield(opening)

    async def _load(self, made_from: Endpoint) -> Provider:
        """Import the SDK and the price list in a thread, so that the event loop keeps running."""
        if not PROVIDERS[made_from.name].paid:
            return self._opener(made_from)
        provider = await asyncio.to_thread(self._opener, made_from)
        await asyncio.to_thread(self._prices.load)
        return provider
