"""`swarm-tui runs` and `export`: lists runs, and writes a run's whole journal."""

import asyncio
import os
import sys
import time
from argparse import Namespace
from pathlib import Path

from tui.bridge import (
    ErrorKind,
    LoadLimit,
    RunListing,
    SwarmError,
    export_jsonl,
    export_otel,
    json_line,
    list_runs,
    path_text,
)
from tui.commands.options import state_dir
from tui.commands.recorded_run import recorded_run
from tui.format.event_lines import load_limit
from tui.format.text import one_line

COLUMNS = ("RUN", "STATE", "AGE", "LANDED", "FAILED", "COST", "REPO")


def runs(arguments: Namespace) -> int:
    """Lists all runs, newest first, as a table or as one JSON object a line."""
    listed = list_runs(state_dir(arguments))
    if arguments.json:
        for run in listed:
            sys.stdout.buffer.write(json_line(_plain(run)) + b"\n")
        return 0
    if not listed:
        sys.stderr.write("no runs yet\n")
        return 0
    now = time.time_ns() // 1_000
    rows = [COLUMNS, *(_row(run, now) for run in listed)]
    rows = [tuple(map(one_line, row)) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
    for run in listed:
        if (limit := _limit_now(run)) is not None:
            sys.stdout.write(f"{run.run}: {one_line(load_limit(limit))}\n")
    return 0


def export(arguments: Namespace) -> int:
    """Writes events, handoffs and messages as lines of JSON, or spans as lines of OTLP, to stdout or a file."""
    write = export_otel if arguments.format == "otel" else export_jsonl
    run = recorded_run(arguments)
    if arguments.out == "-":
        asyncio.run(write(run.folder.journal, sys.stdout.buffer))
        return 0
    out = Path(os.path.realpath(arguments.out))
    whole = not out.exists() or out.is_file()  # a pipe or a device is written to, not replaced
    part = out.with_name(f".{out.name}.part") if whole else Path(arguments.out)
    try:
        with part.open("wb") as stream:
            asyncio.run(write(run.folder.journal, stream))
        if whole:
            part.replace(out)
    except OSError as error:
        raise SwarmError(
            ErrorKind.STATE, f"cannot write {out}: {os.strerror(error.errno or 0)}", "choose another file with --out"
        ) from error
    finally:
        if whole:
            part.unlink(missing_ok=True)
    return 0


def state_of(run: RunListing) -> str:
    """A run's state in one word."""
    if run.problem:
        return "unreadable"
    if run.crashed:
        return "crashed"
    return str(run.state)


def _row(run: RunListing, now: int) -> tuple[str, ...]:
    if run.problem:
        return (run.run, state_of(run), "", "", "", "", run.problem)
    cost = "unknown" if run.usd is None else "rehearsal" if run.rehearsal else f"${run.usd:.2f}"
    live = " (live)" if run.live else ""
    age = _age((now - run.created) / 1_000_000)
    return (run.run, state_of(run) + live, age, str(run.landed), str(run.failed), cost, run.repo)


def _limit_now(run: RunListing) -> LoadLimit | None:
    """The governor's present limit of a live run; None if it does not limit workers."""
    limit = run.load_limit
    return limit if run.live and limit is not None and limit.workers is not None else None


def _age(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(0.0, seconds):.0f}s"


def _plain(run: RunListing) -> dict[str, object]:
    return {
        "run": run.run,
        "state": state_of(run),
        "live": run.live,
        "pid": run.pid,
        "repo": run.repo,
        "created": run.created,
        "last_at": run.last_at,
        "landed": run.landed,
        "unchanged": run.unchanged,
        "failed": run.failed,
        "agents": run.agents,
        "usd": run.usd,
        "exit_status": run.exit_status,
        "rehearsal": run.rehearsal,
        "load_limit": _limit_now(run),
        "db": path_text(run.folder.journal),
        "problem": run.problem,
    }
