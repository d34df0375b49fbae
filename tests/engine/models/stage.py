"""Plays the engine's part for a rehearsal: the tools, with real git and commands, one turn at a time."""

import asyncio
import json
import random
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from engine.domain.conversation import Block, Message, Request, Text, ToolAnswer, ToolCall, ToolSpec
from engine.domain.errors import ModelError
from engine.models.rehearsal.provider import RehearsalProvider
from tests.git import IDENTITY

COMMON = ("shell", "read_file", "list_files", "search", "rewrite_scratchpad", "submit_handoff")
PLANNER = (*COMMON, "spawn_tasks", "amend_task", "spawn_subplanner", "cancel_task", "note_to_person", "status", "wait")
WORKER = (*COMMON, "write_file", "edit_file", "update_workspace")
SECTIONS = ("summary", "notes", "concerns", "deviations", "findings", "feedback")


def git(folder: Path, *arguments: str) -> str:
    run = subprocess.run(["git", *IDENTITY, "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return run.stdout


@dataclass
class Actor:
    kind: str
    title: str
    first: str
    parent: "Actor | None"
    copy: Path
    messages: list[Message] = field(default_factory=list)
    inbox: list[str] = field(default_factory=list)
    out: list[str] = field(default_factory=list)
    asleep: bool = False
    over: bool = False
    conflicts: int = 0
    attempt: int = 1
    repeats: list[tuple[str, str, str]] = field(default_factory=list)
    scratchpads: list[str] = field(default_factory=list)
    handoffs: list[dict[str, str]] = field(default_factory=list)


class Stage:
    """Runs one rehearsal to its end. `order` seeds which actor moves next."""

    def __init__(self, provider: RehearsalProvider, model: str, trunk: Path, *, check: str, order: int = 0) -> None:
        self.provider, self.model, self.trunk, self.check = provider, model, trunk, check
        self.random = random.Random(order)
        self.actors: list[Actor] = []
        self.landed: list[str] = []
        self.resolved: list[str] = []
        self.failed: list[str] = []
        self.requests: list[Request] = []
        self.checks: list[bool] = []
        self.last_planner: Actor | None = None
        self.repairing: Actor | None = None
        self.queued: list[tuple[set[str], str, str, Actor]] = []

    async def play(self, intent: str, most: int = 5000) -> Actor:
        root = self._enter("intent", "root", f"# Intent (version 1)\n\n{intent}", None)
        for _ in range(most):
            ready = [one for one in self.actors if not one.over and not (one.asleep and not one.inbox)]
            ready += [one for one in self.actors if one.over and one.inbox and one.kind in ("intent", "slice")]
            if ready:
                await self._turn(self.random.choice(ready))
            elif root.over and self._green():
                return root
            elif not root.over:
                raise AssertionError(f"stuck: {[(a.title, a.out) for a in self.actors if not a.over]}")
        raise AssertionError("no end")

    def _green(self) -> bool:
        run = subprocess.run(self.check, shell=True, cwd=self.trunk, capture_output=True, text=True)
        self.checks.append(run.returncode == 0)
        if run.returncode:
            assert len(self.checks) < 4, run.stderr
            parent = self.last_planner
            title = "make the check pass again"
            first = f"# Repair: {title}\n\n## Check\n\n{self.check}\n\nexit 1\n{run.stdout}{run.stderr}"
            self._enter("repair", title, first, parent)
        return run.returncode == 0

    def _enter(self, kind: str, title: str, first: str, parent: Actor | None, attempt: int = 1) -> Actor:
        copy = self.trunk.parent / f"copy-{len(self.actors)}"
        git(self.trunk, "clone", "-q", str(self.trunk), str(copy))
        actor = Actor(kind, title, first, parent, copy, attempt=attempt)
        actor.messages.append(Message("user", (Text(first),)))
        self.actors.append(actor)
        return actor

    async def _turn(self, actor: Actor) -> None:
        if actor.inbox:
            self._tell(actor, [])
            if actor.over:
                actor.over = False
        actor.asleep = False
        tools = PLANNER if actor.kind in ("intent", "slice") else WORKER
        specs = tuple(ToolSpec(name, name, {}) for name in tools)
        request = Request(self.model, "system", tuple(actor.messages), specs, conversation=str(actor.copy))
        self.requests.append(request)
        try:
            turn = await self.provider.ask(request, lambda text: None)
        except ModelError as error:
            self._lose(actor, str(error))
            return
        actor.messages.append(turn.message)
        if not turn.message.calls:
            actor.inbox.append("# Nudge\n\nYour last answer called no tool.")
        answers = []
        for call in turn.message.calls:
            text, error = await self._call(actor, call, tools)
            answers.append(ToolAnswer(call.id, text, error))
            actor.repeats.append((call.tool, call.arguments, text))
        same = actor.repeats[-6:] if answers else []
        if len(same) == 6 and len(set(same)) == 1 and same[0][0] != "wait":
            self._lose(actor, "the same call six times")
        elif answers:
            self._tell(actor, answers)

    def _tell(self, actor: Actor, answers: list[Block]) -> None:
        blocks = [*answers, *(Text(text) for text in actor.inbox)]
        actor.inbox = []
        if actor.messages[-1].role == "user":
            blocks = [*actor.messages.pop().blocks, *blocks]
        actor.messages.append(Message("user", tuple(blocks)))

    def _lose(self, actor: Actor, reason: str) -> None:
        actor.over = True
        if actor.attempt == 1:
            first = f"{actor.first}\n\n## Earlier attempt\n\n{reason}"
            self._enter(actor.kind, actor.title, first, actor.parent, attempt=2)
        else:
            self.failed.append(actor.title)
            self._report(actor, {"status": "failed", "summary": reason}, "none")

    async def _call(self, actor: Actor, call: ToolCall, tools: tuple[str, ...]) -> tuple[str, bool]:
        if call.tool not in tools:
            return f"there is no tool `{call.tool}`", True
        try:
            arguments = json.loads(call.arguments)
        except ValueError:
            return "the arguments are not valid JSON", True
        try:
            return await asyncio.to_thread(getattr(self, f"_{call.tool}"), actor, **arguments)
        except OSError as error:
            return str(error), True

    def _shell(self, actor: Actor, command: str) -> tuple[str, bool]:
        run = subprocess.run(
            command, shell=True, cwd=actor.copy, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return f"exit {run.returncode} after 0.1 s\n{run.stdout}", False

    def _read_file(self, actor: Actor, path: str, start: int = 1) -> tuple[str, bool]:
        lines = (actor.copy / path).read_text().split("\n")[:-1]
        return "\n".join(f"{number}\t{line}" for number, line in enumerate(lines, 1) if number >= start), False

    def _list_files(self, actor: Actor, path: str) -> tuple[str, bool]:
        return "\n".join(sorted(one.name for one in (actor.copy / path).iterdir())), False

    def _search(self, actor: Actor, pattern: str) -> tuple[str, bool]:
        run = subprocess.run(["git", "grep", "-nE", pattern], cwd=actor.copy, capture_output=True, text=True)
        return run.stdout, False

    def _write_file(self, actor: Actor, path: str, content: str) -> tuple[str, bool]:
        (actor.copy / path).parent.mkdir(parents=True, exist_ok=True)
        (actor.copy / path).write_text(content)
        return f"wrote {path}", False

    def _edit_file(self, actor: Actor, path: str, edits: list[dict[str, str]]) -> tuple[str, bool]:
        text = (actor.copy / path).read_text()
        for edit in edits:
            if text.count(edit["old"]) != 1:
                return f"`old` occurs {text.count(edit['old'])} times", True
            text = text.replace(edit["old"], edit["new"])
        (actor.copy / path).write_text(text)
        return f"edited {path} (1)", False

    def _rewrite_scratchpad(self, actor: Actor, text: str) -> tuple[str, bool]:
        actor.scratchpads.append(text)
        return "saved", False

    def _spawn_tasks(self, actor: Actor, tasks: list[dict[str, str]]) -> tuple[str, bool]:
        for task in tasks:
            actor.out.append(task["title"])
            first = f"# Task: {task['title']}\n\n## Goal\n\n{task['goal']}"
            self.queued.append((set(task.get("after", ())), task["title"], first, actor))
        self._start_tasks()
        return "\n".join(f"queued: t-{number} {task['title']}" for number, task in enumerate(tasks)), False

    def _start_tasks(self) -> None:
        """Start the tasks whose predecessors have landed."""
        waiting = []
        for after, title, first, planner in self.queued:
            if after <= set(self.landed):
                self._enter("task", title, first, planner)
            else:
                waiting.append((after, title, first, planner))
        self.queued = waiting

    def _amend_task(self, actor: Actor, task: str, **changes: str) -> tuple[str, bool]:
        return f"amended: {task}", False

    def _note_to_person(self, actor: Actor, kind: str, text: str) -> tuple[str, bool]:
        return "noted", False

    def _status(self, actor: Actor) -> tuple[str, bool]:
        return f"open: {len(actor.out)}", False

    def _update_workspace(self, actor: Actor) -> tuple[str, bool]:
        return "nothing new has landed", False

    def _spawn_subplanner(self, actor: Actor, title: str, goal: str, scope: str = "") -> tuple[str, bool]:
        actor.out.append(title)
        self._enter("slice", title, f"# Slice: {title}\n\n## Goal\n\n{goal}", actor)
        return f"spawned: {title}", False

    def _wait(self, actor: Actor) -> tuple[str, bool]:
        if not actor.out and not actor.inbox:
            return "nothing is outstanding", True
        actor.asleep = True
        return "woken", False

    def _submit_handoff(self, actor: Actor, **words: str) -> tuple[str, bool]:
        if actor.kind in ("intent", "slice"):
            if actor.out or actor.inbox:
                return f"not yet: {len(actor.out)} outstanding", True
            actor.over = True
            actor.handoffs.append(words)
            self._report(actor, words, "none")
            return "handed off", False
        if words["status"] == "failed":
            actor.over = True
            self.failed.append(actor.title)
            self._report(actor, words, "none")
            return "accepted", False
        conflicts = self._land(actor)
        if conflicts:
            actor.conflicts += 1
            return "conflict:\n" + "\n".join(f"- {path}" for path in conflicts) + "\nThe project moved.", False
        actor.over = True
        state = "resolved" if actor.conflicts else "merged"
        self.landed.append(actor.title)
        self._start_tasks()
        if actor.conflicts:
            self.resolved.append(actor.title)
        self.last_planner = actor.parent
        self._report(actor, words, state)
        return f"landed: {state}", False

    def _report(self, actor: Actor, words: dict[str, str], landing: str) -> None:
        if actor.parent is None:
            return
        if actor.title in actor.parent.out:
            actor.parent.out.remove(actor.title)
        sections = [f"## {name.capitalize()}\n\n{words[name]}" for name in SECTIONS if words.get(name)]
        source = "slice" if actor.kind == "slice" else "task"
        head = f"# Handoff: {actor.title}\nfrom: {source}\nstatus: {words['status']}\nlanding: {landing}"
        actor.parent.inbox.append("\n\n".join([head, *sections]))

    def _land(self, actor: Actor) -> list[str]:
        git(actor.copy, "add", "-A")
        git(actor.copy, "commit", "-q", "--allow-empty", "-m", actor.title)
        work = git(actor.copy, "rev-parse", "HEAD").strip()
        git(actor.copy, "fetch", "-q", "origin")
        git(actor.copy, "checkout", "-q", "-B", "land", "origin/main")
        merge = subprocess.run(["git", *IDENTITY, "merge", "-q", "--squash", work], cwd=actor.copy, capture_output=True)
        if merge.returncode:
            paths = git(actor.copy, "diff", "--name-only", "--diff-filter=U").split()
            for path in paths:
                text = (actor.copy / path).read_text().replace("<<<<<<< HEAD", "<<<<<<< trunk")
                (actor.copy / path).write_text(re.sub(r">>>>>>> \w+", ">>>>>>> yours", text))
            return paths
        git(actor.copy, "commit", "-q", "--allow-empty", "-m", actor.title)
        git(actor.copy, "push", "-q", "origin", "land:main")
        git(self.trunk, "reset", "-q", "--hard", "main")
        return []


def start_project(source: Path, folder: Path) -> Path:
    """A sample's start project as a git repository with one commit on `main`."""
    subprocess.run(["cp", "-r", f"{source}/.", str(folder)], check=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "receive.denyCurrentBranch", "ignore")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Start")
    return folder
