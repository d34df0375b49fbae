"""A model's speed is measured within a limit, and says how long the longest call of a run takes."""

from collections.abc import Callable
from typing import Any

import pytest

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.settings import ProviderSettings
from engine.domain.types import ModelName, Usage
from engine.reports.model_speed import ModelSpeed, measure_speed
from tests.engine.models.dialects import DIALECTS, Dialect
from tests.engine.models.raw_server import END, Chunk, Stall, Step, Wait, head, refusal, serving, stream


@pytest.fixture(params=DIALECTS, ids=lambda dialect: dialect.name)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found = request.param
    assert isinstance(found, Dialect)
    return found


async def measured(dialect: Dialect, steps: list[Step], limit_s: float, **settings: Any) -> ModelSpeed:
    async with serving(lambda _: steps) as server:
        address = server.url if dialect.name == "anthropic" else f"{server.url}/v1"
        own = ProviderSettings(base_url=address, **settings)
        environ = {"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"}
        speed = await measure_speed(ModelName(f"{dialect.name}:m"), {dialect.name: own}, environ, limit_s)
    assert len(server.seen) == 1, "one call, whatever comes of it"
    return speed


def paced(dialect: Dialect, first_s: float, each_s: float) -> list[Step]:
    events = dialect.answer(*["word "] * 20)
    return [head(), Wait(first_s), *(step for event in events for step in (Chunk(event), Wait(each_s))), END]


async def test_the_first_token_and_the_pace_are_measured(dialect: Dialect) -> None:
    speed = await measured(dialect, paced(dialect, 0.3, 0.02), 60)
    assert speed.first_s >= 0.3
    assert speed.writing == 0, "seven tokens, as this server counts, say nothing"
    events = [event.replace(b'_tokens": 7', b'_tokens": 70') for event in dialect.answer(*["word "] * 20)]
    steps: list[Step] = [head(), *(step for event in events for step in (Chunk(event), Wait(0.02))), END]
    speed = await measured(dialect, steps, 60, max_output=500, window=1000)
    assert speed.writing > 0
    assert speed.longest_output == 250
    assert speed.longest_call_s > 250 / speed.writing


async def test_an_answer_in_one_piece_is_measured_from_its_beginning(dialect: Dialect) -> None:
    events = b"".join(dialect.answer("word " * 20)).replace(b'_tokens": 7', b'_tokens": 70')
    speed = await measured(dialect, [head(), Wait(0.5), Chunk(events), END], 60)
    assert 0 < speed.writing < 70 / 0.5


async def test_a_server_that_is_too_slow_for_the_whole_answer_is_measured_by_what_came(dialect: Dialect) -> None:
    speed = await measured(dialect, [*paced(dialect, 0, 0.02)[:40], Stall()], 4.0)
    assert speed.usage.output > 0
    assert speed.first_s <= 4.0


SILENT: dict[str, Callable[[Dialect], list[Step]]] = {
    "never answers": lambda dialect: [Stall()],
    "sends a head alone": lambda dialect: [head(), Stall()],
    "drips comments": lambda dialect: [head(), *[step for _ in range(500) for step in (Chunk(b": x\n\n"), Wait(0.02))]],
}


@pytest.mark.parametrize("silent", SILENT)
async def test_a_server_that_answers_nothing_ends_the_measurement(dialect: Dialect, silent: str) -> None:
    with pytest.raises(SwarmError, match=r"(has begun|no whole answer) within 0.6 s") as caught:
        await measured(dialect, SILENT[silent](dialect), 0.6)
    assert caught.value.kind is ErrorKind.PROVIDER
    assert "check that its server can be reached" in caught.value.hint


async def test_a_refusal_and_an_outage_are_not_retried(dialect: Dialect) -> None:
    for status, hint in ((401, "check the key"), (503, "check that its server")):
        with pytest.raises(SwarmError, match=f"{status}: no") as caught:
            await measured(dialect, refusal(status, dialect.error_body("x", "no")), 60)
        assert caught.value.hint.startswith(hint)


async def test_a_complete_answer_without_text_has_no_pace(dialect: Dialect) -> None:
    assert (await measured(dialect, stream(dialect.answer()), 60)).writing == 0


def test_the_longest_call_reads_the_longest_prompt_and_writes_the_longest_answer() -> None:
    speed = ModelSpeed(8.0, 64.0, 4.0, 8_000, 425.0, Usage(520, 0, 200))
    assert speed.longest_call_s == 2_425
