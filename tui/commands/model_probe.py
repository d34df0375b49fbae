"""`swarm-tui doctor --probe`: asks each configured model a question, and says what its speed means for a run."""

import asyncio
import os
from math import ceil

from tui.bridge import ModelName, ModelSpeed, ProviderSettings, Settings, measure_speed, split_model
from tui.format.numbers import count, counted, dollars, duration

PROBE_S = 60.0
"""Seconds for one model: an answer from a slow machine begins within them, or it is too slow for a swarm."""
_SPARE = 1.5
"""Limits are proposed this much above what was measured."""


def probe_model(model: ModelName, settings: Settings) -> tuple[str, str]:
    """What was found, and a hint if calls would run into their limits. Raises SwarmError if there is no answer."""
    speed = asyncio.run(measure_speed(model, settings.providers, os.environ, PROBE_S))
    provider = split_model(model)[0]
    return _found(speed), _hint(provider, settings.providers.get(provider, ProviderSettings()), speed)


def _found(speed: ModelSpeed) -> str:
    pace = f"{speed.writing:.3g} tokens per second" if speed.writing else "answered too briefly to measure its speed"
    found = f"{pace}, the first after {speed.first_s:.1f} s"
    if speed.writing:
        found += f"; an answer of {counted(speed.longest_output, 'token')} takes {_time(speed.longest_call_s)}"
    if speed.longest_start_s:
        found += f", of which {_time(speed.longest_start_s)} to read a full context"
    return f"{found} ({count(speed.usage.input + speed.usage.output)} tokens, {dollars(speed.usage.usd)})"


def _hint(provider: str, settings: ProviderSettings, speed: ModelSpeed) -> str:
    """Settings with which the longest call of a run ends in time; empty if it does anyway."""
    changes: list[str] = []
    begins_within = settings.first_byte_timeout or settings.stall_timeout
    if speed.longest_start_s > begins_within:
        changes.append(f"first_byte_timeout = {_raised(speed.longest_start_s)}")
    left = settings.call_timeout / _SPARE - max(speed.first_s, speed.longest_start_s)
    if speed.longest_call_s > settings.call_timeout:
        changes.append(f"call_timeout = {_raised(speed.longest_call_s)}")
        if (fits := int(left * speed.writing) // 100 * 100) > 0:
            changes[-1] += f" or max_output = {fits}"
    if not changes:
        return ""
    limits = f"a call ends after {_time(settings.call_timeout)}, or {_time(begins_within)} without a first byte"
    return f"{limits}: set {' and '.join(changes)} in [providers.{provider}]"


def _raised(seconds: float) -> int:
    return ceil(seconds * _SPARE / 60) * 60


def _time(seconds: float) -> str:
    return duration(round(seconds * 1_000_000))
