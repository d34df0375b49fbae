"""The rehearsal's playbooks: their format, loading and validation."""

import difflib
import re
import tomllib
from collections.abc import Iterable
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct, field

from engine.domain.errors import ErrorKind, SwarmError
from engine.domain.os_text import path_text
from engine.domain.types import HandoffStatus


class Words(Struct, frozen=True, forbid_unknown_fields=True):
    """A handoff's texts; an empty `summary` is generated from what was done. `findings` are as the tool takes them."""

    status: HandoffStatus = HandoffStatus.DONE
    summary: str = ""
    notes: str = ""
    concerns: str = ""
    deviations: str = ""
    findings: str | tuple[dict[str, object], ...] = ""
    feedback: str = ""


class Step(Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "from"}):
    """One turn of a worker: what it says and the one action it takes.

    `write` takes its content from `content` or from the file `from` in `files/` (default: the same path). A `shell`
    step with `breaks` is expected to fail: the steps after it are the repair. `call` is any tool call: its `tool`, and
    the arguments.
    """

    say: str = ""
    read: tuple[str, ...] = ()
    search: str = ""
    write: str = ""
    source: str = ""
    content: str | None = None
    edit: str = ""
    old: str = ""
    new: str = ""
    shell: str = ""
    scratchpad: str = ""
    call: dict[str, object] = {}
    breaks: bool = False


class TaskScript(Struct, frozen=True, forbid_unknown_fields=True):
    """A task as its planner words it, and what its worker does.

    `read`, `write` (paths of files in `files/`) and `edit` are shorthand for steps, taken in this order and followed
    by `test`; `step` replaces them all. `misbehave` is shown at step `at` (from 0) of the first attempt. `after`
    names tasks whose results it needs.
    """

    title: str
    goal: str
    scope: str = ""
    acceptance: str = ""
    priority: int = 0
    after: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    edit: tuple[Step, ...] = ()
    test: str | None = None
    step: tuple[Step, ...] = ()
    handoff: Words = field(default_factory=Words)
    misbehave: Literal["", "crash", "loop", "malformed", "idle"] = ""
    at: int = 1


class Move(Struct, frozen=True, forbid_unknown_fields=True):
    """One turn of a planner. `spawn` names tasks, `slice` planners; `wait_for` names tasks and slices whose
    handoffs must arrive before the move (`*`: all that were spawned so far). `call` holds other tool calls: for each
    its `tool`, and the arguments.
    """

    say: str = ""
    wait_for: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    shell: str = ""
    scratchpad: str = ""
    call: tuple[dict[str, object], ...] = ()
    slice: tuple[str, ...] = ()
    spawn: tuple[str, ...] = ()


class PlannerScript(Struct, frozen=True, forbid_unknown_fields=True):
    """A planner: `root`, or a subplanner with the goal and scope of its slice."""

    title: str
    goal: str = ""
    scope: str = ""
    move: tuple[Move, ...] = ()
    handoff: Words = field(default_factory=Words)


class Repair(Struct, frozen=True, forbid_unknown_fields=True):
    """What a fixup worker does when the check's output matches the regular expression `when`."""

    when: str
    step: tuple[Step, ...]
    handoff: Words = field(default_factory=Words)


class IntentChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What the root planner does on the first, second, … change of the intent: tasks that it spawns, slices that
    it informs, and other tool calls.
    """

    spawn: tuple[str, ...] = ()
    tell: tuple[str, ...] = ()
    call: tuple[dict[str, object], ...] = ()
    scratchpad: str = ""


class Playbook(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A playbook. `test` is the command that workers run if their task has none."""

    planner: tuple[PlannerScript, ...]
    task: tuple[TaskScript, ...]
    test: str = ""
    repair: tuple[Repair, ...] = ()
    on_intent: tuple[IntentChange, ...] = ()

    @cached_property
    def tasks_by_title(self) -> dict[str, TaskScript]:
        """Cached: a generated playbook has thousands of tasks and is searched at every turn."""
        return {task.title: task for task in self.task}


class SampleProject(Struct, frozen=True, forbid_unknown_fields=True):
    """A bundled sample. `folder` holds `project/`, `INTENT.md` and the playbook; `check` is the check command."""

    name: str
    title: str
    description: str
    check: str
    folder: Path


T = TypeVar("T")
_ACTIONS = ("read", "search", "write", "edit", "shell", "scratchpad", "call")


def sample_folder(name: str) -> Path:
    """The folder of a bundled sample. Raises SwarmError (not_found), suggesting the nearest name."""
    for sample in list_samples():
        if sample.name == name:
            return sample.folder
    raise unknown_sample(name, ErrorKind.NOT_FOUND)


def list_samples() -> list[SampleProject]:
    """The bundled samples, sorted by name. Raises SwarmError (settings) for an invalid `sample.toml`."""
    base = Path(str(files("sample_projects")))
    found = []
    for described in sorted(base.glob("*/sample.toml")):
        values = {**_read_toml(described), "folder": described.parent}
        found.append(_convert(values, SampleProject, described))
    return found


def unknown_sample(name: str, kind: ErrorKind) -> SwarmError:
    names = [sample.name for sample in list_samples()]
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    hint = f"did you mean `{nearest[0]}`? " if nearest else ""
    return SwarmError(
        kind, f"no sample project or playbook `{name}`", f"{hint}samples: {', '.join(names)}; or a playbook's path"
    )


def load_playbook(path: Path) -> Playbook:
    """Load and validate a playbook: a `playbook.toml`, or the folder with one, beside its `files/`.

    Raises SwarmError (settings) that names the file and the key.
    """
    file = path / "playbook.toml" if path.is_dir() else path
    playbook = _convert(_read_toml(file), Playbook, file)
    tasks = tuple(_whole_task(task, index, playbook, file) for index, task in enumerate(playbook.task))
    repairs = tuple(_whole_repair(repair, index, file) for index, repair in enumerate(playbook.repair))
    playbook = msgspec.structs.replace(playbook, task=tasks, repair=repairs)
    _check_names(playbook, file)
    return playbook


def broken(file: Path, key: str, problem: str) -> SwarmError:
    return SwarmError(
        ErrorKind.SETTINGS,
        f"{path_text(file)}: {key}: {problem}",
        "correct the playbook; the bundled samples show every key",
    )


def _read_toml(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SwarmError(
            ErrorKind.SETTINGS,
            f"{path_text(file)}: cannot be read: {error.strerror}",
            "name a playbook.toml or its folder",
        ) from error
    except (ValueError, RecursionError) as error:
        raise SwarmError(
            ErrorKind.SETTINGS, f"{path_text(file)}: not valid TOML: {error}", "correct the file"
        ) from error


def _convert(values: object, kind: type[T], file: Path) -> T:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        problem, _, at = str(error).partition(" - at `$")
        raise broken(file, at.strip(".`") or "(top)", problem.lower()) from error


def _whole_task(task: TaskScript, index: int, playbook: Playbook, file: Path) -> TaskScript:
    """The task with its shorthand expanded to steps and every step's content loaded."""
    key = f"task[{index}]"
    if task.step and (task.read or task.write or task.edit):
        raise broken(file, f"{key}.step", "a task has either `step` or `read`, `write` and `edit`")
    steps = task.step
    if not steps:
        test = playbook.test if task.test is None else task.test
        steps = (
            *((Step(read=task.read),) if task.read else ()),
            *(Step(write=path) for path in task.write),
            *task.edit,
            *((Step(shell=test),) if test else ()),
        )
    whole = tuple(_whole_step(step, f"{key}.step[{number}]", file) for number, step in enumerate(steps))
    return msgspec.structs.replace(task, step=whole, read=(), write=(), edit=())


def _whole_repair(repair: Repair, index: int, file: Path) -> Repair:
    try:
        re.compile(repair.when)
    except re.error as error:
        raise broken(file, f"repair[{index}].when", f"not a regular expression: {error}") from error
    steps = (_whole_step(step, f"repair[{index}].step[{number}]", file) for number, step in enumerate(repair.step))
    return msgspec.structs.replace(repair, step=tuple(steps))


def _whole_step(step: Step, key: str, file: Path) -> Step:
    actions = [name for name in _ACTIONS if getattr(step, name)]
    if len(actions) != 1:
        raise broken(file, key, f"exactly one of {', '.join(_ACTIONS)} is needed, found {len(actions)}")
    if step.edit and (not step.old or step.old == step.new):
        raise broken(file, f"{key}.old", "an edit needs `old`, and `new` that differs from it")
    if step.call:
        _check_call(step.call, f"{key}.call", file)
    if step.breaks and not step.shell:
        raise broken(file, f"{key}.breaks", "only a `shell` step can be expected to fail")
    if not step.write or step.content is not None:
        return step
    content = file.parent / "files" / (step.source or step.write)
    try:
        return msgspec.structs.replace(step, content=content.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise broken(file, f"{key}.write", f"{path_text(content)} cannot be read") from error


def _check_names(playbook: Playbook, file: Path) -> None:
    planners = _unique((planner.title for planner in playbook.planner), "planner", file)
    tasks = _unique((task.title for task in playbook.task), "task", file)
    if "root" not in planners:
        raise broken(file, "planner", "no planner is titled `root`")
    for number, planner in enumerate(playbook.planner):
        for place, move in enumerate(planner.move):
            key = f"planner[{number}].move[{place}]"
            if not (move.read or move.shell or move.scratchpad or move.call or move.slice or move.spawn):
                raise broken(file, key, "one of read, shell, scratchpad, call, slice, spawn is needed")
            for index, call in enumerate(move.call):
                _check_call(call, f"{key}.call[{index}]", file)
            _known(move.spawn, tasks, f"{key}.spawn", file)
            _known(move.slice, planners - {"root"}, f"{key}.slice", file)
            _known(move.wait_for, planners | tasks | {"*"}, f"{key}.wait_for", file)
    for number, task in enumerate(playbook.task):
        _known(task.after, tasks, f"task[{number}].after", file)
    for number, change in enumerate(playbook.on_intent):
        _known(change.spawn, tasks, f"on_intent[{number}].spawn", file)
        _known(change.tell, planners - {"root"}, f"on_intent[{number}].tell", file)
        for index, call in enumerate(change.call):
            _check_call(call, f"on_intent[{number}].call[{index}]", file)


def _check_call(call: dict[str, object], key: str, file: Path) -> None:
    if not isinstance(call.get("tool"), str):
        raise broken(file, key, "`tool` is needed, the name of the tool")


def _unique(titles: Iterable[str], key: str, file: Path) -> set[str]:
    found: set[str] = set()
    for index, title in enumerate(titles):
        if title in found or not title or title != " ".join(title.split())[:120]:
            raise broken(file, f"{key}[{index}].title", f"one line, at most 120 characters and used once: `{title}`")
        found.add(title)
    return found


def _known(names: Iterable[str], known: set[str], key: str, file: Path) -> None:
    for name in names:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            also = f", did you mean `{nearest[0]}`?" if nearest else ""
            raise broken(file, key, f"there is no `{name}`{also}")
