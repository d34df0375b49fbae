"""The levels report everything that agents can reach, and sizes mean what settings say."""

from pathlib import Path

import pytest

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.settings import SandboxSettings
from engine.sandbox.guarantees import GUARANTEES, NETWORK_GRANTED, Level, not_guaranteed
from engine.sandbox.probe import probe

SAFETY = Path(__file__).parents[3] / "docs" / "safety.md"


@pytest.mark.parametrize("level", [Level.FULL, Level.NAMESPACED, Level.RESTRICTED])
def test_no_sandboxed_level_shares_the_users_git_objects(level: Level) -> None:
    """What a command really lists is tried by the contract of workspaces."""
    assert not [lack for lack in not_guaranteed(level) if "git objects" in lack]


def test_the_table_in_safety_md_matches_the_program() -> None:
    rows = [
        " | ".join([guarantee.claim, *(guarantee.shortfall(level) or "yes" for level in Level)])
        for guarantee in GUARANTEES
    ]
    written = SAFETY.read_text(encoding="utf-8")
    head = " | ".join(["| a command …", *(level.value for level in Level)])
    assert f"{head} |\n| --- | --- | --- | --- | --- |\n" + "".join(f"| {row} |\n" for row in rows) in written


@pytest.mark.parametrize("network", [False, True])
async def test_a_granted_network_is_reported_with_what_it_reaches(network: bool) -> None:
    report = await probe(SandboxSettings(network=network))
    assert ("network" in report.granted) == network
    assert (NETWORK_GRANTED in report.not_guaranteed) == network


async def test_an_invalid_size_is_refused() -> None:
    with pytest.raises(SwarmError) as refused:
        await probe(SandboxSettings(level="off", memory="much"))
    assert refused.value.kind is ErrorKind.SETTINGS
    assert "'much' is not a size" in refused.value.message
