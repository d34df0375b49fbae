"""`doctor --probe` says what a model's speed means, and commands that ask a model end at their time limit."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from engine.domain.types import ModelName, Usage
from engine.reports.model_speed import ModelSpeed
from tests.engine.models.dialects import ChatDialect
from tests.engine.models.raw_server import Stall, Step, serving, stream
from tests.tui.command_line import PROGRAM
from tui.bridge import ProviderSettings, Settings
from tui.commands import model_probe

TINY = ModelName("openai-chat:tiny")


async def told(tmp_path: Path, script: list[Step], *words: str) -> tuple[int | None, str]:
    """The command's status, and what it prints, with a server that answers by `script`."""
    async with serving(lambda _: script) as server:
        process = await asyncio.create_subprocess_exec(
            *(str(PROGRAM), *words, "--model", TINY),
            env={**os.environ, "OPENAI_BASE_URL": f"{server.url}/v1", "HOME": str(tmp_path)},
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
    return process.returncode, out.decode()


def probed(monkeypatch: pytest.MonkeyPatch, speed: ModelSpeed, **settings: Any) -> tuple[str, str]:
    async def measure(*_: object) -> ModelSpeed:
        return speed

    monkeypatch.setattr(model_probe, "measure_speed", measure)
    return model_probe.probe_model(TINY, Settings(providers={"openai-chat": ProviderSettings(**settings)}))


def test_a_slow_model_is_told_with_the_settings_that_make_its_calls_end(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = ModelSpeed(1.0, 0.0, 4.0, 8_000, 0.0, Usage(520, 0, 200))
    found, hint = probed(monkeypatch, slow)
    assert found.startswith("4 tokens per second, the first after 1.0 s; an answer of 8000 tokens takes 33m21s (")
    assert hint == (
        "a call ends after 30m00s, or 2m00s without a first byte: "
        "set call_timeout = 3060 or max_output = 4700 in [providers.openai-chat]"
    )
    assert probed(monkeypatch, slow, call_timeout=3060)[1] == ""
    short = ModelSpeed(1.0, 0.0, 4.0, 4_700, 0.0, Usage(520, 0, 200))
    assert probed(monkeypatch, short, max_output=4_700)[1] == ""


def test_a_model_that_reads_slowly_needs_a_longer_wait_for_its_first_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = ModelSpeed(8.0, 64.0, 400.0, 8_000, 425.0, Usage(520, 0, 200))
    found, hint = probed(monkeypatch, slow)
    assert "of which 7m05s to read a full context" in found
    assert "set first_byte_timeout = 660 in [providers.openai-chat]" in hint
    assert probed(monkeypatch, slow, first_byte_timeout=660)[1] == ""


def test_a_fast_model_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found, hint = probed(monkeypatch, ModelSpeed(0.4, 0.0, 90.0, 16_000, 0.0, Usage(520, 0, 200, 0.002)))
    assert found.startswith("90 tokens per second, the first after 0.4 s; an answer of 16000 tokens takes 2m58s (")
    assert "$0.0020" in found
    assert not hint


async def test_doctor_asks_a_model_only_when_told_to(tmp_path: Path) -> None:
    events = [event.replace(b'_tokens": 7', b'_tokens": 70') for event in ChatDialect().answer("one", "two")]
    _, out = await told(tmp_path, stream(events), "doctor", ".", "--probe")
    assert f"speed of {TINY}: " in out
    assert "tokens per second" in out
    _, out = await told(tmp_path, stream(events), "doctor", ".")
    assert "speed of" not in out


async def test_a_review_of_an_intent_ends_at_its_time_limit(tmp_path: Path) -> None:
    (tmp_path / "intent.md").write_text("Make it fast.\n")
    status, out = await told(tmp_path, [Stall()], "lint-intent", "intent.md", "--timeout", "1s")
    assert status == 1
    assert f"error: {TINY} gave no answer within 1 s" in out
    assert "hint: allow more time with --timeout" in out
    status, out = await told(tmp_path, [Stall()], "lint-intent", "intent.md", "--timeout", "soon")
    assert "'soon' is not a duration" in out
