"""The scripted model of the swarm that works on the library: a root planner, two subplanners, workers, resolvers.

It sees requests only, and does what a careful person would: reads before it edits, runs the tests of what it changed,
and on a conflict takes trunk's version of the file and puts its own change into that.
"""

import re
from collections.abc import Callable

from engine.domain.conversation import Request, ToolCall, Turn
from tests.engine.scripts import done, said, turns
from tests.real_library.additions import ADDITIONS, Addition
from tests.simulated import answers, call, first_line, turn

RECIPES, STUBS = "more_itertools/recipes.py", "more_itertools/recipes.pyi"
TESTS, DOCS = "tests/test_recipes.py", "docs/api.rst"
FILES = (RECIPES, STUBS, TESTS, DOCS)
ONE_FILE = "python3 -m unittest -q tests.test_recipes"


def brain(request: Request) -> Turn:
    """The next turn of whoever asks."""
    heading, _, title = first_line(request).partition(": ")
    if heading.startswith("# Intent"):
        return _root(request)
    if heading == "# Slice":
        return _planner([addition for addition in ADDITIONS if addition.slice == title], request)
    addition = next(addition for addition in ADDITIONS if addition.title == title)
    return _worker(addition, request, resolves=heading == "# Conflict")


def _root(request: Request) -> Turn:
    slices = list(dict.fromkeys(addition.slice for addition in ADDITIONS))
    match turns(request):
        case 0:
            return turn(call("read_file", path="README.rst", end=40), call("list_files"))
        case 1:
            spawn = [call("spawn_subplanner", title=each, goal=f"Recipes: {each.lower()}.") for each in slices]
            return turn(call("rewrite_scratchpad", text="Two slices; both touch recipes.py."), *spawn)
    if said(request).count("# Handoff: ") < len(slices):
        return turn(call("wait"))
    return done("Both slices are in.")


def _planner(mine: list[Addition], request: Request) -> Turn:
    match turns(request):
        case 0:
            return turn(call("search", pattern="^def |^class ", path=RECIPES), call("shell", command="git log -1"))
        case 1:
            asked = [
                {
                    "title": addition.title,
                    "goal": f"Add `{addition.name}` to {RECIPES}: {addition.purpose}. Export, stub, test, document it.",
                    "scope": " ".join(FILES),
                    "acceptance": f"`{ONE_FILE}` passes.",
                }
                for addition in mine
            ]
            return turn(call("spawn_tasks", tasks=asked))
    if said(request).count("# Handoff: ") < len(mine):
        return turn(call("wait"))
    return done(f"{len(mine)} functions are in.")


def _worker(addition: Addition, request: Request, *, resolves: bool) -> Turn:
    """Steps since the task began, or since the last conflict: look or take trunk's side, edit, test, hand off."""
    last = answers(request)[0] if answers(request) else ""
    conflict = _last_conflict(request)
    if conflict is None and resolves:
        paths, step = _listed(request.messages[0].text), turns(request)
    elif conflict is None:
        paths, step = FILES, turns(request)
    else:
        told, paths = conflict
        step = sum(message.role == "assistant" for message in request.messages[told:])
    look: Callable[[], tuple[ToolCall, ...]] = _look if conflict is None and not resolves else lambda: _theirs(paths)
    match step:
        case 0:
            return turn(*look())
        case 1:
            return turn(*(edit for path in paths for edit in _edits(addition, path)))
        case 2:
            return turn(call("shell", command=ONE_FILE))
    if not last.startswith("exit 0 "):
        return turn(call("submit_handoff", status="failed", summary=f"The tests fail: {last[-500:]}"))
    return done(f"{addition.name} is in.", notes=last)


def _look() -> tuple[ToolCall, ...]:
    return (
        call("read_file", path=RECIPES, start=1, end=90),
        call("search", pattern="^class ", path=TESTS),
        call("search", pattern="autofunction:: ta", path=DOCS),
    )


def _theirs(paths: tuple[str, ...]) -> tuple[ToolCall, ...]:
    command = "; ".join(f"git show HEAD:{path} > {path}" for path in paths)
    return (call("shell", command=f"git diff --stat; {command}; grep -c '<<<<<<<' {' '.join(paths)}"),)


def _edits(addition: Addition, path: str) -> tuple[ToolCall, ...]:
    """Everyone's edits meet at the same places."""
    if path == RECIPES:
        first, before = "    'all_equal',\n", "def take(n, iterable):\n"
        return (
            call(
                "edit_file",
                path=path,
                edits=[
                    {"old": first, "new": f"{first}    '{addition.name}',\n"},
                    {"old": before, "new": f"{addition.source}\n\n{before}"},
                ],
            ),
        )
    anchor, text = {
        STUBS: ("def take(n: int, iterable: Iterable[_T]) -> list[_T]: ...\n", f"{addition.stub}\n"),
        TESTS: ("class TakeTests(TestCase):\n", f"{addition.test}\n\n"),
        DOCS: (".. autofunction:: take\n", f".. autofunction:: {addition.name}\n"),
    }[path]
    return (call("edit_file", path=path, edits=[{"old": anchor, "new": text + anchor}]),)


def _last_conflict(request: Request) -> tuple[int, tuple[str, ...]] | None:
    """After which message the newest conflict was told, and its paths. Some protocols flag an error in the text."""
    for at in range(len(request.messages) - 1, 0, -1):
        for block in request.messages[at].blocks:
            text = getattr(block, "text", "")
            if request.messages[at].role == "user" and text.removeprefix("error: ").startswith("conflict:"):
                return at, _listed(text)
    return None


def _listed(text: str) -> tuple[str, ...]:
    return tuple(path for path in re.findall(r"^- (\S+)$", text, re.MULTILINE) if path in FILES)
