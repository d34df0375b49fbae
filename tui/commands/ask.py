"""`swarm-tui ask RUN "question"`: a model looks into a run's record and explains it."""

import asyncio
import os
import sys
from argparse import Namespace

from tui.bridge import ErrorKind, SwarmError, ask_about, find_run
from tui.commands.options import settings_of, state_dir
from tui.format.numbers import count, dollars
from tui.format.text import clean, one_line

WIDTH = 160


def ask(arguments: Namespace) -> int:
    """The answer to stdout, what was looked at and what it cost to stderr; returns the exit status."""
    run = find_run(state_dir(arguments), arguments.run)
    if run.problem:
        message = f"the journal of {run.run} cannot be read: {run.problem}"
        raise SwarmError(ErrorKind.JOURNAL, message, f"look at {run.folder.journal}")
    if not arguments.question.strip():
        raise SwarmError(ErrorKind.USAGE, "there is no question", 'write one: swarm-tui ask RUN "why did …?"')
    settings = settings_of(arguments, None).settings
    answered = asyncio.run(ask_about(run.folder.journal, arguments.question, settings, os.environ, _tell))
    sys.stdout.write(f"{clean(answered.text)}\n")
    usage = answered.usage
    tokens = count(usage.input + usage.output)
    sys.stderr.write(f"{answered.queries} queries · {tokens} tokens · {dollars(usage.usd)}\n")
    return 0


def _tell(step: str) -> None:
    sys.stderr.write(f"{one_line(step)[:WIDTH]}\n")
    sys.stderr.flush()
