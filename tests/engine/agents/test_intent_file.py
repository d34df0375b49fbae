"""Planners know whether workers can read the intent in the repository."""

import pytest

from engine.domain.conversation import Request, Turn
from engine.domain.types import ModelName
from engine.orchestrator.swarm import Swarm
from engine.policy.run_end import Outcome
from tests.engine.scripts import done, said, turns
from tests.engine.swarms import run
from tests.simulated import World, call, first_line, turn


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, ""),
        ({"INTENT.md": b"Do  it.\n"}, "(Workers can read this text in INTENT.md.)"),
        ({"INTENT.md": b"Something else.\n"}, "but its text differs from this one.)"),
    ],
)
def test_planners_are_told_whether_workers_can_read_the_intent(files: dict[str, bytes], told: str) -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent") and turns(request) == 0:
            return turn(call("spawn_subplanner", title="Parser", goal="own the parser"))
        if first_line(request).startswith("# Intent") and "# Handoff: " not in said(request):
            return turn(call("wait"))
        return done()

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        openings = {first_line(asked.request): asked.request.messages[0].text for asked in w.models.asked}
        assert openings.keys() == {"# Intent (version 1)", "# Slice: Parser"}
        for opening in openings.values():
            assert (told in opening) if told else ("INTENT.md" not in opening), opening

    run(script, examine, files=files)
