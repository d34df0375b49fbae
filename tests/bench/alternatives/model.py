"""A server of scripted models on the loopback: the agents of swarm-tui, and those that an orchestrator starts."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from engine.domain.conversation import Request, Text, ToolAnswer, Turn
from tests.bench.alternatives.work import TOKEN, Account, Plan, command, next_step, step_of
from tests.engine.model_server import BY_PATH, answered, decoded
from tests.engine.models.raw_server import Seen, Step, Wait, serving
from tests.engine.scripts import done, said, tasks, turns
from tests.simulated import call, first_line, turn

KINDS = "own|hot|rename|use"
HANDOFF = re.compile(rf"^# Handoff: (?:{KINDS}) \d+", re.M)
IN_A_CALL = 60
"""Tasks that the planner spawns with one call."""
ASSIGNED = re.compile(rf"^### Task \d+: (\[CONFLICT\] )*((?:{KINDS}) \d+) \(id=(\S+)\)$", re.M)
"""How the orchestrator names an agent's tasks in its prompt."""


class Models:
    """What the models of a plan answer, and the account of it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.account = Account()

    def __call__(self, seen: Seen) -> list[Step]:
        dialect = BY_PATH[seen.path]
        request = decoded(dialect, seen.body)
        made = self.answer(request, len(json.dumps(seen.body)) // TOKEN)
        return [Wait(self.plan.latency_s), *answered(dialect, made)]

    def answer(self, request: Request, tokens: int) -> Turn:
        heading = first_line(request)
        if heading.startswith("# Intent"):
            self.account.add_planning(tokens)
            return self._plan(request)
        if heading.startswith(("# Task: ", "# Conflict: ", "# Repair: ")):
            return self._work(request, tokens)
        return self._work_for_orchestrator(request, tokens)

    def _plan(self, request: Request) -> Turn:
        titles = self.plan.titles
        if turns(request) == 0:
            chunks = [titles[start : start + IN_A_CALL] for start in range(0, len(titles), IN_A_CALL)]
            return turn(*(tasks(*chunk).message.calls[0] for chunk in chunks))
        over = len(HANDOFF.findall(said(request))) >= len(titles)
        return done() if over and not _answer(request).startswith("not yet") else turn(call("wait"))

    def _work(self, request: Request, tokens: int) -> Turn:
        kind, _, title = first_line(request).removeprefix("# ").partition(": ")
        trouble = {"Task": "", "Conflict": "conflict", "Repair": "check"}[kind]
        if kind == "Repair":
            title = self.plan.titles[0]  # its commands name no task
        steps: list[tuple[str, str]] = []
        for step, answer in _steps(title, request):
            if step == "hand off" and "conflict:" in answer.partition("\n")[0]:
                steps, trouble = [], "conflict"
            else:
                steps.append((step, answer))
        step = next_step(title, trouble, steps)
        self.account.add("" if trouble else title, step, tokens)
        if step == "hand off":
            return turn(call("submit_handoff", status="done", summary=f"{title} is done"))
        return turn(call("shell", command=command(title, step)))

    def _work_for_orchestrator(self, request: Request, tokens: int) -> Turn:
        """Its agents may get several tasks at once. They commit after each, and report all at the end."""
        assigned = {match[2]: match for match in ASSIGNED.finditer(request.messages[0].text)}
        answered = [answer for _, answer in _calls(request)]
        commands = [text for text, _ in _calls(request)]
        at = 0
        for title, match in assigned.items():
            steps: list[tuple[str, str]] = []
            while at < len(commands) and (step := step_of(title, commands[at])) != "hand off":
                steps.append((step, answered[at]))
                at += 1
            if at < len(commands):
                at += 1
                continue
            trouble = "conflict" if match[1] else ""
            step = next_step(title, trouble, steps)
            self.account.add("" if trouble else title, step, tokens)
            commit = f"git add -A && git commit -q -m '{title}'; report {match[3]}"
            return turn(call("shell", command=commit if step == "hand off" else command(title, step)))
        self.account.add_planning(tokens)
        return turn(text="All tasks are done.")


def _calls(request: Request) -> list[tuple[str, str]]:
    """The commands of a conversation with their answers; other tools by their names."""
    answers = {
        block.id: block.text for each in request.messages for block in each.blocks if isinstance(block, ToolAnswer)
    }
    calls = [each for message in request.messages if message.role == "assistant" for each in message.calls]
    return [
        (
            msgspec.json.decode(each.arguments)["command"] if each.tool == "shell" else each.tool,
            answers.get(each.id, ""),
        )
        for each in calls
    ]


def _steps(title: str, request: Request) -> list[tuple[str, str]]:
    return [(step_of(title, text), answer) for text, answer in _calls(request)]


def _answer(request: Request) -> str:
    last = request.messages[-1]
    return next((block.text for block in last.blocks if isinstance(block, ToolAnswer | Text)), "")


@asynccontextmanager
async def serving_models(plan: Plan) -> AsyncIterator[tuple[str, Account]]:
    """Serve the models of a plan; the server's address, and the account that it keeps."""
    models = Models(plan)
    async with serving(models) as server:
        yield server.url, models.account
