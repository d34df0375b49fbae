"""The client and its queues: concurrency, retries, fairness and prices, in virtual time."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from engine.domain.conversation import Message, Request, StopReason, Text, Turn
from engine.domain.errors import ErrorKind, ModelError, ModelErrorKind, SwarmError
from engine.domain.settings import ProviderSettings
from engine.domain.types import ModelName, Usage
from engine.models.call_queue import CallQueue
from engine.models.client import FIRST_RETRIES, PAID_RETRIES, ModelClient
from engine.models.endpoint import Endpoint
from tests.simulated.time import SeededRandomness, SimulatedClock, simulate

MODEL = ModelName("rehearsal:any")
REQUEST = Request("", "system", (Message("user", (Text("go"),)),), (), conversation="agent-1")
WHOLE = Turn(Message("assistant", (Text("done"),)), StopReason.END, Usage(100, 50, 10))


class Scripted:
    """A provider that answers from a list, in a second each, and with a complete turn once the list is empty."""

    def __init__(self, clock: SimulatedClock, answers: list[ModelError | Turn]) -> None:
        self.name = "rehearsal"
        self.clock = clock
        self.answers = answers
        self.asked_at: list[float] = []
        self.asked_by: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.closed = False

    async def ask(self, request: Request, on_text: Callable[[str], None], on_output: Callable[[int], None]) -> Turn:
        self.asked_at.append(self.clock.monotonic())
        self.asked_by.append(request.conversation)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.clock.sleep(1)
        finally:
            self.at_once -= 1
        answer = self.answers.pop(0) if self.answers else WHOLE
        if isinstance(answer, ModelError):
            raise answer
        return answer

    async def close(self) -> None:
        self.closed = True


def desk_for(provider: Scripted, clock: SimulatedClock, settings: ProviderSettings | None = None) -> ModelClient:
    def opener(_: Endpoint) -> Scripted:
        return provider

    return ModelClient({"rehearsal": settings or ProviderSettings()}, {}, clock, SeededRandomness(1), opener)


def ignore(*_: object) -> None:
    """Discard the text."""


def failed(kind: ModelErrorKind, status: int | None = None, retry_after: float | None = None) -> ModelError:
    return ModelError(kind, f"failed with {status}", status=status, retry_after=retry_after)


def busy(retry_after: float | None = None) -> ModelError:
    return failed(ModelErrorKind.RETRYABLE, 429, retry_after)


def test_a_failed_call_is_retried_and_each_wait_is_reported() -> None:
    async def main(clock: SimulatedClock) -> None:
        cut = failed(ModelErrorKind.RETRYABLE)
        provider = Scripted(clock, [cut, cut, cut])
        desk = desk_for(provider, clock)
        told: list[tuple[str, float]] = []
        turn = await desk.ask(MODEL, REQUEST, ignore, lambda reason, wait, _: told.append((reason, wait)))
        assert turn.message == WHOLE.message
        assert len(provider.asked_at) == 4
        assert [reason for reason, _ in told] == ["failed with None"] * 3
        assert all(0 <= wait <= 0.5 * 2**n for n, (_, wait) in enumerate(told))
        gaps = [later - earlier - 1 for earlier, later in zip(provider.asked_at, provider.asked_at[1:], strict=False)]
        assert gaps == pytest.approx([wait for _, wait in told])
        assert desk.statistics["rehearsal"].retries == 3
        await desk.close()
        assert provider.closed

    simulate(main)


def test_the_number_of_retries_is_limited() -> None:
    async def main(clock: SimulatedClock) -> None:
        provider = Scripted(clock, [failed(ModelErrorKind.RETRYABLE, 500)] * 100)
        desk = desk_for(provider, clock, ProviderSettings(max_retries=3))
        with pytest.raises(ModelError, match="failed with 500"):
            await desk.ask(MODEL, REQUEST, ignore, ignore)
        assert len(provider.asked_at) == 4
        await desk.close()

    simulate(main)


@pytest.mark.parametrize("answered", [False, True])
def test_a_server_that_never_answered_gets_fewer_retries(answered: bool) -> None:
    async def main(clock: SimulatedClock) -> None:
        no_answer = [failed(ModelErrorKind.RETRYABLE)] * 100
        provider = Scripted(clock, [WHOLE, *no_answer] if answered else no_answer)
        desk = desk_for(provider, clock, ProviderSettings(max_retries=20))
        if answered:
            await desk.ask(MODEL, REQUEST, ignore, ignore)
            provider.asked_at.clear()
        with pytest.raises(ModelError):
            await desk.ask(MODEL, REQUEST, ignore, ignore)
        assert len(provider.asked_at) == 1 + (20 if answered else FIRST_RETRIES)
        await desk.close()

    simulate(main)


def test_broken_off_answers_are_charged_reported_and_rarely_retried() -> None:
    async def main(clock: SimulatedClock) -> None:
        def cut() -> ModelError:
            error = failed(ModelErrorKind.RETRYABLE)
            error.usage = Usage(1_000, 0, 200)
            return error

        provider = Scripted(
            clock, [failed(ModelErrorKind.RETRYABLE, 500) for _ in range(4)] + [cut() for _ in range(9)]
        )
        desk = desk_for(provider, clock, ProviderSettings(max_retries=20))
        told: list[Usage] = []
        with pytest.raises(ModelError) as raised:
            await desk.ask(MODEL, REQUEST, ignore, lambda _reason, _wait, spent: told.append(spent))
        assert len(provider.asked_at) == 4 + 1 + PAID_RETRIES
        assert [spent.output for spent in (*told, raised.value.usage)] == [0] * 4 + [200] * (1 + PAID_RETRIES)
        await desk.close()

    simulate(main)


@pytest.mark.parametrize("kind", [kind for kind in ModelErrorKind if kind is not ModelErrorKind.RETRYABLE])
def test_permanent_failures_are_not_retried(kind: ModelErrorKind) -> None:
    async def main(clock: SimulatedClock) -> None:
        provider = Scripted(clock, [failed(kind, 400)])
        desk = desk_for(provider, clock)
        with pytest.raises(ModelError):
            await desk.ask(MODEL, REQUEST, ignore, ignore)
        assert len(provider.asked_at) == 1
        await desk.close()

    simulate(main)


def test_all_calls_wait_as_long_as_the_server_asks() -> None:
    async def main(clock: SimulatedClock) -> None:
        provider = Scripted(clock, [busy(20.0)])
        desk = desk_for(provider, clock, ProviderSettings(max_concurrent=4))
        first = asyncio.create_task(desk.ask(MODEL, REQUEST, ignore, ignore))
        await clock.sleep(2)
        others = [asyncio.create_task(desk.ask(MODEL, REQUEST, ignore, ignore)) for _ in range(3)]
        await asyncio.gather(first, *others)
        assert all(at >= 21 for at in provider.asked_at[1:])
        assert 20 <= desk.statistics["rehearsal"].rate_limited_s < 25
        await desk.close()

    simulate(main)


def test_a_wait_is_capped_at_the_longest_allowed() -> None:
    async def main(clock: SimulatedClock) -> None:
        provider = Scripted(clock, [busy(86_400.0)])
        desk = desk_for(provider, clock, ProviderSettings(max_retry_wait=30))
        await desk.ask(MODEL, REQUEST, ignore, ignore)
        assert 30 <= provider.asked_at[1] - 1 <= 31
        await desk.close()

    simulate(main)


def test_calls_run_in_order_up_to_the_limit() -> None:
    async def main(clock: SimulatedClock) -> None:
        provider = Scripted(clock, [])
        desk = desk_for(provider, clock, ProviderSettings(max_concurrent=3))
        requests = [Request("", "", REQUEST.messages, (), conversation=f"agent-{n:02}") for n in range(20)]
        await asyncio.gather(*(desk.ask(MODEL, request, ignore, ignore) for request in requests))
        assert provider.most_at_once == 3
        assert provider.asked_by == sorted(provider.asked_by)
        await desk.close()

    simulate(main)


def test_a_retried_call_keeps_its_place_in_the_queue() -> None:
    async def main(clock: SimulatedClock) -> None:
        provider = Scripted(clock, [failed(ModelErrorKind.RETRYABLE, 500, 0.0)])
        desk = desk_for(provider, clock, ProviderSettings(max_concurrent=1))
        requests = [Request("", "", REQUEST.messages, (), conversation=f"agent-{n}") for n in range(4)]
        await asyncio.gather(*(desk.ask(MODEL, request, ignore, ignore) for request in requests))
        assert provider.asked_by == ["agent-0", "agent-1", "agent-0", "agent-2", "agent-3"]
        await desk.close()

    simulate(main)


def test_a_burst_of_rate_limits_halves_the_concurrency_once_and_success_raises_it_again() -> None:
    async def main(clock: SimulatedClock) -> None:
        provider = Scripted(clock, [busy(5.0) for _ in range(16)])
        desk = desk_for(provider, clock, ProviderSettings(max_concurrent=16))
        calls = [asyncio.create_task(desk.ask(MODEL, REQUEST, ignore, ignore)) for _ in range(16)]
        await clock.sleep(1.5)
        assert desk.statistics["rehearsal"].limit == 8
        provider.most_at_once = 0
        await asyncio.gather(*calls)
        assert provider.most_at_once <= 9
        for _ in range(200):
            await desk.ask(MODEL, REQUEST, ignore, ignore)
        assert desk.statistics["rehearsal"].limit == 16
        await desk.close()

    simulate(main)


@pytest.mark.parametrize("status", [500, None, 429])
def test_few_calls_probe_an_endpoint_that_is_down_and_its_recovery_is_noticed_soon(status: int | None) -> None:
    async def main(clock: SimulatedClock) -> None:
        agents, down_s = 100, 1_200.0
        provider = Scripted(clock, [])
        desk = desk_for(provider, clock, ProviderSettings(max_concurrent=64))
        await desk.ask(MODEL, REQUEST, ignore, ignore)
        provider.answers = [failed(ModelErrorKind.RETRYABLE, status)] * 100_000
        provider.asked_at.clear()

        async def insist() -> None:
            while True:
                try:
                    await desk.ask(MODEL, REQUEST, ignore, ignore)
                    return
                except ModelError:
                    await clock.sleep(30)

        calls = [asyncio.create_task(insist()) for _ in range(agents)]
        await clock.sleep(down_s)
        later = [at for at in provider.asked_at if at > 60]
        assert len(provider.asked_at) < 3 * agents
        assert len(later) / (down_s / 60) < 60, "about one a second, for all of them together"
        assert len(later) > down_s / 60
        provider.answers.clear()
        await asyncio.gather(*calls)
        assert clock.monotonic() < down_s + 90
        assert desk.statistics["rehearsal"].limit > 30
        await desk.close()

    simulate(main)


def test_occasional_failures_do_not_mark_an_endpoint_as_down() -> None:
    async def main(clock: SimulatedClock) -> None:
        cut = failed(ModelErrorKind.RETRYABLE)
        provider = Scripted(clock, [cut if number % 8 else WHOLE for number in range(200)])
        desk = desk_for(provider, clock, ProviderSettings(max_concurrent=16, max_retries=50))
        await asyncio.gather(*(desk.ask(MODEL, REQUEST, ignore, ignore) for _ in range(16)))
        assert desk.statistics["rehearsal"].limit == 16
        await desk.close()

    simulate(main)


def test_cancelled_calls_free_their_places_in_the_queue() -> None:
    async def main(clock: SimulatedClock) -> None:
        provider = Scripted(clock, [])
        desk = desk_for(provider, clock, ProviderSettings(max_concurrent=2))
        calls = [asyncio.create_task(desk.ask(MODEL, REQUEST, ignore, ignore)) for _ in range(10)]
        await clock.sleep(0.5)
        for call in calls[::2]:
            call.cancel()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(end, Turn) for end in ended) == 5
        assert desk.statistics["rehearsal"].in_flight == 0
        assert desk.statistics["rehearsal"].waiting == 0
        await desk.close()

    simulate(main)


def test_a_call_that_is_made_again_before_it_was_sent_keeps_its_place_in_the_queue() -> None:
    async def main(clock: SimulatedClock) -> None:
        provider = Scripted(clock, [])
        desk = desk_for(provider, clock, ProviderSettings(max_concurrent=1))
        stale = [True]

        def start() -> None:
            if stale.pop():
                stale.append(False)
                raise InterruptedError

        async def again() -> None:
            request = replace(REQUEST, conversation="again")
            with pytest.raises(InterruptedError):
                await desk.ask(MODEL, request, ignore, ignore, on_start=start)
            await desk.ask(MODEL, request, ignore, ignore, on_start=start)

        async def once(name: str) -> None:
            await desk.ask(MODEL, replace(REQUEST, conversation=name), ignore, ignore)

        calls = [asyncio.create_task(call) for call in (once("first"), again(), *(once(str(n)) for n in range(4)))]
        await asyncio.gather(*calls)
        assert provider.asked_by[:3] == ["first", "0", "again"], "its slot went to the next one, then it came"
        await desk.close()

    simulate(main)


def test_a_call_cancelled_while_being_admitted_frees_its_slot() -> None:
    async def main(clock: SimulatedClock) -> None:
        queue = CallQueue(clock, 1)

        async def hold() -> None:
            async with queue.slot(queue.ticket()):
                await clock.sleep(1)

        first, second = asyncio.create_task(hold()), asyncio.create_task(hold())
        await clock.sleep(0.5)
        first.cancel()
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        await hold()
        assert queue.statistics.in_flight == 0
        await queue.close()

    simulate(main)


def test_the_same_seed_gives_the_same_waits() -> None:
    def waits() -> list[float]:
        told: list[float] = []

        async def main(clock: SimulatedClock) -> None:
            desk = desk_for(Scripted(clock, [failed(ModelErrorKind.RETRYABLE)] * 5), clock)
            await desk.ask(MODEL, REQUEST, ignore, lambda _reason, wait, _spent: told.append(wait))
            await desk.close()

        simulate(main)
        return told

    assert waits() == waits()


def test_a_provider_gets_the_model_name_without_its_prefix_and_the_rehearsal_costs_nothing() -> None:
    async def main(clock: SimulatedClock) -> None:
        desk = desk_for(Scripted(clock, []), clock)
        turn = await desk.ask(MODEL, REQUEST, ignore, ignore)
        assert turn.usage == Usage(100, 50, 10, 0.0)
        await desk.close()

    simulate(main)


async def test_a_missing_key_is_an_error_of_the_provider_kind() -> None:
    desk = ModelClient({}, {}, SimulatedClock(), SeededRandomness(1))
    with pytest.raises(SwarmError) as caught:
        await desk.prepare([ModelName("anthropic:claude-sonnet-4-5")])
    assert caught.value.kind is ErrorKind.PROVIDER
    assert caught.value.status == 2
    assert "ANTHROPIC_API_KEY" in caught.value.message
    await desk.close()


def test_a_refusal_that_was_learned_from_is_told_and_counts_as_no_retry() -> None:
    async def main(clock: SimulatedClock) -> None:
        learned = [failed(ModelErrorKind.RETRYABLE, 400, 0.0) for _ in range(12)]
        for error in learned:
            error.learned = True
        provider = Scripted(clock, list(learned))
        desk = desk_for(provider, clock, ProviderSettings(max_retries=0))
        told: list[tuple[str, float]] = []
        turn = await desk.ask(MODEL, REQUEST, ignore, lambda reason, wait, _: told.append((reason, wait)))
        assert turn.message == WHOLE.message
        assert told == [("failed with 400", 0.0)] * 12
        assert desk.statistics["rehearsal"].limit == ProviderSettings().max_concurrent, "the server is not down"

    simulate(main)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("the request exceeds the available context size (4096 tokens)", "set window = 4096 in [providers.rehearsal]"),
        (
            "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens",
            "set window = 4096 in",
        ),
        ("Your request exceeded model token limit: 131072", "set window in [providers.rehearsal]"),
        ("Prompt exceeds max length", "set window in [providers.rehearsal]"),
    ],
)
def test_a_prompt_that_does_not_fit_names_the_setting(said: str, advice: str) -> None:
    async def main(clock: SimulatedClock) -> None:
        provider = Scripted(clock, [ModelError(ModelErrorKind.CONTEXT_LENGTH, said, status=400)])
        desk = desk_for(provider, clock, ProviderSettings(window=8192))
        with pytest.raises(ModelError) as caught:
            await desk.ask(MODEL, REQUEST, ignore, ignore)
        assert "8,192 tokens" in str(caught.value)
        assert advice in str(caught.value)

    simulate(main)
