"""What the levels say of themselves: nothing that agents can see is left out, and sizes mean what settings say."""

import pytest

from engine.errors import ErrorKind, SwarmError
from engine.sandbox.levels import NOT_GUARANTEED, Level
from engine.sandbox.probe import probe
from engine.settings import SandboxSettings


@pytest.mark.parametrize("level", [Level.NAMESPACED, Level.RESTRICTED])
def test_a_level_whose_copies_borrow_objects_says_that_they_can_be_read(level: Level) -> None:
    assert any(
        "git objects of your repo (unpublished branches and deleted files too)" in lack
        and "other agents' landed work" in lack
        for lack in NOT_GUARANTEED[level]
    )


async def test_a_size_that_is_none_is_refused_as_in_settings() -> None:
    with pytest.raises(SwarmError) as refused:
        await probe(SandboxSettings(level="off", memory="much"))
    assert refused.value.kind is ErrorKind.SETTINGS
    assert "'much' is not a size" in refused.value.message
