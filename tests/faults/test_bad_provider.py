"""A failing provider: 429, 5xx, silence, truncated streams, garbage. The long version is `make faults`."""

import asyncio
from pathlib import Path

from tests.engine.models.dialects import DIALECTS
from tests.faults.bad_provider import FAIR, TROUBLES, Weather, endure, playbook

TASKS = 8
SPELL = 12
"""Requests for each trouble, including the undisturbed ones before it."""


async def test_a_failing_provider_costs_only_time(tmp_path: Path) -> None:
    weathers = {each.name: Weather(playbook(TASKS, 2), SPELL, in_seconds=False, answer_s=0.0) for each in DIALECTS}
    await asyncio.gather(
        *(
            endure(tmp_path / name, name, weather, TASKS, max_retry_wait=0.2, stall_timeout=0.3)
            for name, weather in weathers.items()
        )
    )
    assert all(set(weather.asked) == {FAIR, *TROUBLES} for weather in weathers.values()), "each trouble was met"
