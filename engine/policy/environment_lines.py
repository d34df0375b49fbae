"""What agents' commands find, as lines of text: whole for planners, people and reports, in short for workers."""

from engine.domain.environment import Environment, Interpreter
from engine.domain.types import Check

LISTED = 12
"""Names in one line."""


def found_lines(found: Environment) -> list[str]:
    """All of it, one fact a line."""
    reach = "commands reach the network" if found.network else "commands reach no network: nothing can be downloaded"
    lines = [
        *_interpreter_lines(found),
        _listed("package managers and build tools: ", found.managers),
        _listed("test and lint tools: ", _code(found.tools)),
        _listed("named in the project or the intent, but not installed: ", found.missing),
        _listed("the project's own commands: ", _code(found.commands)),
        reach,
        _listed("limits: ", found.limits),
        f"not everything was looked up: {found.gap}" if found.gap else "",
    ]
    return [line for line in lines if line]


def work_lines(found: Environment) -> list[str]:
    """What a worker needs of it, in at most five lines."""
    others = tuple(tool for tool in found.tools if tool not in found.tests)
    tools = [_listed("tests: ", _code(found.tests)), _listed("other tools: ", _code(others))]
    missing = _listed("not installed: ", found.missing)
    reach = "commands reach the network" if found.network else "no network: nothing can be downloaded"
    lines = [
        *_interpreter_lines(found),
        "; ".join(filter(None, tools)),
        f"{missing}; {reach}" if missing else reach,
        _listed("limits: ", found.limits[:2]),
    ]
    return [line for line in lines if line]


def check_line(command: str, base: Check | None, landings: int) -> str:
    """What a planner is told of the check: how it ended on the first commit, and when it runs."""
    if not command:
        return "check: none is configured, so only workers run tests"
    result = ""
    if base is not None and base.command == command and not base.setup:
        result = f" {'passed' if base.passed else 'failed'} on the first commit in {_time(base)}"
    often = "each landing" if landings == 1 else f"every {landings} landings"
    return (
        f"check: `{command}`{result}; it runs on trunk after {often} and at the end, not while a worker hands off: "
        "workers run what covers their change"
    )


def work_check_line(command: str, base: Check | None) -> str:
    """What a worker is told of the check."""
    if not command:
        return "nothing else runs the tests: run those that cover your change"
    known = base is not None and base.command == command and base.passed
    took = f" ({_time(base)})" if known and base is not None else ""
    return (
        f"`{command}`{took} checks the whole project later, after your change is merged, not when you hand off: "
        "run what covers your change"
    )


def _interpreter_lines(found: Environment) -> list[str]:
    """The interpreters in one line, and in another which calls to avoid."""
    named: dict[tuple[str, str], list[Interpreter]] = {}
    for each in found.interpreters:
        named.setdefault((each.version, each.path), []).append(each)
    parts = [
        f"{', '.join(_code(tuple(each.name for each in same)))} {version}{f' at {path}' if path else ''}"
        for (version, path), same in named.items()
    ]
    parts += [f"no `{name}`" for name in found.absent]
    slow = [
        f"`{each.name}` is a script that takes {each.call_s:.1f} s of CPU time a call to start {each.path}: call that"
        for each in found.interpreters
        if each.call_s
    ]
    return [line for line in ("; ".join(parts), "; ".join(slow)) if line]


def _code(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"`{name}`" for name in names)


def _listed(head: str, names: tuple[str, ...]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{head}{', '.join(names[:LISTED])}{more}" if names else ""


def _time(check: Check) -> str:
    """What a check takes: its CPU time if that is known, because a busy machine draws the other out."""
    return _span(check.wall_s) if check.cpu_s is None else f"{_span(check.cpu_s)} of CPU"


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"
