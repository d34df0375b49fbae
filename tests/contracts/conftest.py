"""Fixtures that several contract suites share."""

from pathlib import Path

import pytest

from tests.contracts.trunks import Bench, git_bench, memory_bench


@pytest.fixture(params=[git_bench, memory_bench], ids=["git", "memory"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return await request.param(tmp_path)  # type: ignore[no-any-return]
