"""`swarm-tui report RUN`: what a run's journal says about how it went, as text or one JSON object."""

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence

from tui.bridge import HeatReport, LoadReport, NoteReport, Report, found_lines, json_line, report_of
from tui.commands.recorded_run import recorded_run
from tui.format.numbers import counted, duration
from tui.format.text import clean, one_line

MOST = 20
"""How many subtrees the text lists; `--json` has all."""
SLOWEST = 10
"""How many steps the text lists."""
WORTH_SAYING = 20.0
"""Percent of time without a CPU, and of the CPU that other programs use, from which the report shows them."""
HEAT_CELLS = 8
"""How many planners and folders the table of conflicts by folder shows."""


def report(arguments: Namespace) -> int:
    """Returns the exit status. Raises SwarmError: no such run, an unreadable journal."""
    run = recorded_run(arguments)
    found = report_of(run.folder.journal, run.folder.trunk)
    if arguments.json:
        sys.stdout.buffer.write(json_line(found) + b"\n")
    else:
        sys.stdout.writelines(f"{clean(line)}\n" for line in _lines(found))
    return 0


def _lines(found: Report) -> Iterator[str]:
    yield f"{found.run}: {found.state}, ran for {_span(found.wall_s)}"
    yield from found.left_alone.splitlines()
    yield ""
    yield f"landed     {found.landed}, {_number(found.landed_per_hour)} an hour; {counted(found.failed, 'task')} failed"
    if found.unchanged:
        yield f"no change  {counted(found.unchanged, 'task')} handed off without a change"
    yield f"tokens     {found.tokens}, {_number(found.tokens_per_hour)} an hour"
    yield f"cost       {_usd(found.usd)}, {_usd(found.usd_per_hour)} an hour"
    wasted = _percent(found.wasted_tokens / found.tokens if found.tokens else None)
    yield f"wasted     {found.wasted_tokens} tokens, {wasted}, by agents whose work did not land"
    yield f"conflicts  {found.conflicts}, {_percent(found.conflict_rate)} of landing attempts"
    if found.base_passed is not None:
        yield f"base       {'passed' if found.base_passed else 'failed'} in a clean copy, before the first model call"
    yield f"checks     {found.checks}, {_percent(found.error_rate)} failed; {found.clean_checks} from nothing"
    contended = "unknown, nothing was built" if found.contention is None else f"{found.contention:.0f}% of build time"
    yield f"contention {contended}"
    yield from _load(found.load)
    if found.index_lock_failures:
        yield f"index lock {counted(found.index_lock_failures, 'command')} failed because git's index was locked"
    if found.environment is not None:
        yield ""
        yield "environment of commands"
        yield from (f"  {one_line(line)}" for line in found_lines(found.environment))
    whole = sum(found.time_s.values())
    yield from _section(
        "agents' time",
        ("", "time", "share"),
        [
            (name, _span(seconds), _percent(seconds / whole if whole else None))
            for name, seconds in found.time_s.items()
        ],
    )
    columns = ("file", "conflicts", "landings", "tasks", "bytes")
    for title, files in (
        ("files with most conflicts", found.hottest),
        ("large files that many tasks change", found.large),
    ):
        yield from _section(
            title,
            columns,
            [
                (one_line(file.path), str(file.conflicts), str(file.landings), str(file.tasks), str(file.size or "-"))
                for file in files
            ],
        )
    yield from _section(
        "questions and assumptions",
        ("note", "planner", "kind", "text", "answer"),
        [(str(note.note), one_line(note.agent), note.kind, one_line(note.text), _answer(note)) for note in found.notes],
    )
    yield from _section(
        "tasks that are held or changed",
        ("task", "title", "how", "text"),
        [(each.task, one_line(each.title), each.how, one_line(each.text)) for each in found.changes],
    )
    yield from _section(
        "roles",
        ("role", "agents", "tokens", "wasted", "cost"),
        [(role.role, str(role.agents), str(role.tokens), str(role.wasted), _usd(role.usd)) for role in found.roles],
    )
    yield from _section(
        "subtrees",
        ("planner", "tokens", "cost", "landed", "conflicts", "rate", "peak memory", "CPU", "contention"),
        [
            (
                *(one_line(part.path), str(part.tokens), _usd(part.usd), str(part.landed), str(part.conflicts)),
                *(_percent(part.conflict_rate), "-" if part.memory is None else f"{part.memory / 2**20:.0f} MiB"),
                *(_percent(None if value is None else value / 100) for value in (part.cpu, part.contention)),
            )
            for part in found.subtrees[:MOST]
        ],
    )
    if (more := len(found.subtrees) - MOST) > 0:
        yield f"  and {more} more: use --json to list all"
    yield from _heat(found.heat)
    yield from _section(
        "slowest steps",
        ("took", "agent", "step"),
        [
            (_span(step.wall_s), one_line(step.agent), one_line(f"{step.tool} {step.target}".strip() or "model")[:100])
            for step in found.slowest[:SLOWEST]
        ],
    )
    yield from _section(
        "failures",
        ("tool", "times", "agents", "error"),
        [
            (one_line(failure.tool), str(failure.times), str(failure.agents), one_line(failure.error)[:100])
            for failure in found.failures
        ],
    )
    yield from _section(
        "new dependencies",
        ("dependency", "commit", "task"),
        [(one_line(new.dependency), new.commit[:10], one_line(new.task)[:80]) for new in found.dependencies],
    )
    yield from _section(
        "claims that the record does not bear out",
        ("agent", "claim"),
        [(one_line(doubted.agent), one_line(doubted.claim)) for doubted in found.claims],
    )
    yield from _section(
        "prompts",
        ("version", "agents", "failed", "tasks", "landed", "calls", "tokens", "cached", "cost"),
        [
            (
                one_line(used.prompt),
                *(str(number) for number in (used.agents, used.failed, used.tasks, used.landed, used.calls)),
                str(used.input + used.output),
                _percent(used.cached / used.input if used.input else None),
                _usd(used.usd),
            )
            for used in found.prompts
        ],
    )


def _load(load: LoadReport) -> Iterator[str]:
    """How busy the machine was, and what the governor did about it; nothing if commands got the CPU."""
    if load.starved >= WORTH_SAYING:
        others = f"; other programs used {load.cpu_others:.0f}% of it" if load.cpu_others >= WORTH_SAYING else ""
        yield f"CPU        commands waited for it {load.starved:.0f}% of the time in which they could run{others}"
    if load.limits:
        times, fewest = counted(load.limits, "time"), counted(load.fewest or 0, "worker")
        yield f"governor   lowered the number of workers {times}, to {fewest}, for {_span(load.limited_s)} in all"
        yield f"           last because {one_line(load.reason)}"


def _heat(heat: Sequence[HeatReport]) -> Iterator[str]:
    """Conflicts by planner and folder, most first."""
    planners = list(dict.fromkeys(each.planner for each in heat))[:HEAT_CELLS]
    folders = list(dict.fromkeys(each.folder for each in heat))[:HEAT_CELLS]
    conflicts = {(each.planner, each.folder): str(each.conflicts) for each in heat}
    yield from _section(
        "conflicts by folder",
        ("planner", *(one_line(folder) for folder in folders)),
        [(one_line(planner), *(conflicts.get((planner, folder), "·") for folder in folders)) for planner in planners],
    )


def _answer(note: NoteReport) -> str:
    if note.answer is None:
        return "none" if note.kind == "question" else "-"
    return one_line(note.answer) or "left to it"


def _section(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A heading and a table; nothing if there are no rows."""
    if not rows:
        return
    cells = [columns, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
    yield ""
    yield title
    for row in cells:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _span(seconds: float) -> str:
    return f"{seconds:.1f}s" if seconds < 59.95 else duration(round(seconds) * 1_000_000)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}%"


def _usd(value: float | None) -> str:
    return "unknown" if value is None else f"${value:.2f}"
