"""What a planner is told of its work: by `status`, in the message that wakes it, after a restart and a compaction."""

import re

from engine.domain.conversation import Request, Turn
from engine.domain.settings import BudgetSettings, Settings, SwarmSettings
from engine.domain.types import ModelName
from engine.orchestrator.swarm import Swarm
from engine.policy.run_end import Outcome
from tests import simulated
from tests.engine.scripts import done, planner_of, turns, writes
from tests.engine.swarms import run
from tests.simulated import call, first_line, turn


def statuses(request: Request) -> list[str]:
    """The status in each message that the agent has got."""
    texts = [message.text.partition("# Status\n\n")[2] for message in request.messages if message.role == "user"]
    return [text for text in texts if text]


def worker(request: Request) -> Turn:
    name = first_line(request).removeprefix("# Task: ")
    return done() if turns(request) else writes(f"{name}.txt", f"{name}\n")


def asked(w: simulated.World, heading: str) -> list[Request]:
    return [each.request for each in w.models.asked if first_line(each.request).startswith(heading)]


def test_a_wake_says_what_is_open_what_trunk_is_and_what_is_used() -> None:
    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return planner_of("a", "b")(request)
        if first_line(request) == "# Task: b" and turns(request) == 1:
            return turn(call("shell", command="make", timeout_s=90))
        return worker(request)

    def examine(swarm: Swarm, w: simulated.World, outcome: Outcome) -> None:
        first, last = statuses(asked(w, "# Intent")[-1])
        tip = swarm.snapshot.trunk[:10]
        assert re.fullmatch(
            r"open:\n"
            r"- t\w+ b: at work, \d+ s\n"
            r"trunk: \w{10}; check passed on \w{10} \d+ s ago in 1 s; green too\n"
            r"the run: \d\.\d\d of 5\.00 USD used, \d\.\d\d left; \d+ s of 2 h used, 2 h left",
            first,
        ), first
        assert last.startswith(f"open: nothing\ntrunk: {tip}; "), last

    settings = Settings(budget=BudgetSettings(usd=5.0, wall="2h"), swarm=SwarmSettings(workers=2))
    run(script, examine, settings=settings, check=True, shell=lambda workspace, command: simulated.Ran(0, "", 60.0))
