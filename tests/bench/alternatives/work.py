"""The work that every way is given: a project, its tasks, the agents' script, and an account of their model calls.

A task is `own` (it changes a line of a file of its own), `hot` (it adds a line where all hot tasks add theirs: a merge
conflict) or half of a pair: `rename` changes a name and all its uses, `use` adds a use of that name. Each half passes
the check and merges cleanly; both together break the check until somebody repairs the new use.
"""

import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.bench.bench_landing import make_project, path_of
from tests.git import git

HOT = "registry.txt"
PASSED, FAILED = "check-passed", "check-failed"
"""What the check command prints last."""
RULES = """\
for use in uses/*; do
  part=${use#uses/}; read called < "$use"; read name < "api/${part%-*}"
  [ "$called" = "$name" ] || { echo "$use: no such name: $called"; bad=1; }
done
! grep -n '^[<>=]\\{7\\}' registry.txt || bad=1
exit ${bad:-0}
"""
CHECK = f"sh check.sh && echo {PASSED} || echo {FAILED}"
LOOK_AT_CONFLICT = f"grep -n -A 20 '^<<<<<<<' {HOT}"
RESOLVE = f"sed -i '/^[<>=]\\{{7\\}}/d' {HOT}"
FIX = 'for use in uses/*; do part=${use#uses/}; read name < "api/${part%-*}"; echo "$name" > "$use"; done'
PLANNED = ("look", "change", "check", "hand off")
"""The model calls that a task takes when nothing comes in between."""
KINDS_OF_CALLS = ("planned", "wasted", "planning")
MOST_FIXES = 4
TOKEN = 4
"""Characters."""


class Plan(msgspec.Struct, frozen=True):
    """What is asked: these tasks, of so many agents at once, whose model calls take `latency_s`. After `longest_s`
    what has not landed counts as not landed."""

    titles: list[str]
    agents: int
    latency_s: float
    longest_s: float
    files: int


class Outcome(msgspec.Struct):
    """What became of a plan.

    `landed` has the seconds from the start to each landing, `tips` where the shared branch has been, as seconds and
    commit, `over_s` is when the way said that it was finished, `green_s` when a check had passed on everything, if a
    way does not check before it lands.
    """

    landed: dict[str, float]
    tips: list[tuple[float, str]]
    repo: str
    over_s: float
    green_s: float | None = None
    agents: int | None = None
    """If a way ran another number of them than the plan says."""
    notes: list[str] = []


def titles(count: int, hot: float, pairs: float, seed: int = 1) -> list[str]:
    """Tasks in the order in which they start. `hot` and `pairs` are shares of the tasks."""
    halves = round(count * pairs / 2)
    hot_ones = round(count * hot)
    mixed = [(f"hot {number}",) for number in range(hot_ones)]
    mixed += [(f"rename {number}", f"use {number}") for number in range(halves)]  # type: ignore[misc]
    mixed += [(f"own {number}",) for number in range(count - hot_ones - 2 * halves)]
    random.Random(seed).shuffle(mixed)
    return [title for together in mixed for title in together]


def make_source(folder: Path, plan: Plan, check_s: float) -> None:
    """The project. Its check takes `check_s` without work for a processor, like a check that runs somewhere else."""
    make_project(folder, plan.files)
    git(folder, "reset", "-q", "--hard")
    (folder / "check.sh").write_text(f"sleep {check_s}\nsh rules.sh\n")
    (folder / "rules.sh").write_text(RULES)
    (folder / HOT).write_text("".join(f"line {number}\n" for number in range(40)))
    for part in ("api", "uses"):
        (folder / part).mkdir()
    for title in plan.titles:
        if title.startswith("rename"):
            number = title.split()[1]
            (folder / "api" / number).write_text(f"name_{number}\n")
            (folder / "uses" / f"{number}-first").write_text(f"name_{number}\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "rules")


def paths(title: str) -> list[str]:
    """The files that a task changes or adds."""
    kind, number = title.split()
    return {
        "own": [path_of(int(number))],
        "hot": [HOT],
        "rename": [f"api/{number}", f"uses/{number}-first"],
        "use": [f"uses/{number}-second"],
    }[kind]


def command(title: str, step: str) -> str:
    """The shell command of a step."""
    kind, number = title.split()
    file = paths(title)[0]
    changes = {
        "own": f"sed -i '1s/$/  # by {number}/' {file}",
        "hot": f"sed -i '3a entry {number}' {file}",
        "rename": f"for file in {file} uses/{number}-*; do echo new_{number} > $file; done",
        "use": f"cp api/{number} {file}",
    }
    looks = {"use": f"cat api/{number}", "rename": f"cat {file} uses/{number}-*"}
    return {
        "look": looks.get(kind, f"head -20 {file}"),
        "change": changes[kind],
        "look at conflict": LOOK_AT_CONFLICT,
        "look at check": "sh rules.sh",
        "resolve": RESOLVE,
        "fix": FIX,
        "check": CHECK,
    }[step]


def step_of(title: str, text: str) -> str:
    """The step that a command belongs to; `hand off` for any other."""
    steps = ("look", "change", "look at conflict", "look at check", "resolve", "fix", "check")
    return next((step for step in steps if command(title, step) == text), "hand off")


def next_step(title: str, trouble: str, done: Sequence[tuple[str, str]]) -> str:
    """What the model does next. `done` has step and output, since the task began or the trouble did.

    `trouble` is empty, `conflict` or `check`. An agent leaves alone what others have broken, unless it is asked to make
    the check pass.
    """
    if not done:
        return f"look at {trouble}" if trouble else "look"
    step, output = done[-1]
    if step == "look":
        return "change"
    if step == "look at conflict":
        return "resolve" if "<<<<<<<" in output else "change"  # without markers the change is made again
    if step == "look at check":
        return "fix"
    kind, _, number = title.partition(" ")
    mine = trouble == "check" or (kind in ("rename", "use") and f"uses/{number}-" in output)
    if step == "check" and FAILED in output and mine and sum(each == "fix" for each, _ in done) < MOST_FIXES:
        return "fix"
    return "hand off" if step in ("check", "hand off") else "check"


class Account(msgspec.Struct):
    """Model calls and their tokens: `planned` (once for each step of a task), `planning`, and all others (`wasted`)."""

    calls: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(KINDS_OF_CALLS, 0))
    tokens: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(KINDS_OF_CALLS, 0))
    steps: dict[str, int] = {}
    """Wasted calls by what they did; a planned step that is done again is `again`."""
    seen: set[tuple[str, str]] = msgspec.field(default_factory=set)

    def add(self, title: str, step: str, tokens: int) -> None:
        planned = step in PLANNED and title and (title, step) not in self.seen
        self.seen.add((title, step))
        self._count("planned" if planned else "wasted", tokens)
        if not planned:
            name = "again" if step in PLANNED else step
            self.steps[name] = self.steps.get(name, 0) + 1

    def add_planning(self, tokens: int) -> None:
        self._count("planning", tokens)

    def _count(self, kind: str, tokens: int) -> None:
        self.calls[kind] += 1
        self.tokens[kind] += tokens


def red(repo: Path, commits: Sequence[str], scratch: Path) -> list[bool]:
    """Which of these commits fail the project's rules."""
    found = []
    for commit in commits:
        scratch.mkdir()
        archive = subprocess.Popen(
            ["git", "archive", commit, "api", "uses", "rules.sh", HOT], cwd=repo, stdout=subprocess.PIPE
        )
        subprocess.run(["tar", "x", "-C", str(scratch)], stdin=archive.stdout, check=True)
        assert archive.wait() == 0, commit
        found.append(subprocess.run(["sh", "rules.sh"], cwd=scratch, capture_output=True, check=False).returncode != 0)
        subprocess.run(["rm", "-rf", str(scratch)], check=True)
    return found
