"""`swarm-tui ask RUN "question"`: a model reads a run's journal and explains what happened."""

import asyncio
import os
import sys
from argparse import Namespace

from tui.bridge import ErrorKind, SwarmError, ask_about, duration_s, utf8_text
from tui.commands.options import settings_of
from tui.commands.recorded_run import recorded_run
from tui.format.numbers import count, counted, dollars
from tui.format.text import clean, one_line

WIDTH = 160


def ask(arguments: Namespace) -> int:
    """Prints the answer to stdout, queries and cost to stderr; returns the exit status."""
    run = recorded_run(arguments)
    if not arguments.question.strip():
        raise SwarmError(ErrorKind.USAGE, "the question is empty", 'write one: swarm-tui ask RUN "why did …?"')
    settings = settings_of(arguments, None).settings
    limit_s = duration_s(arguments.timeout)
    question = utf8_text(arguments.question)
    answered = asyncio.run(ask_about(run.folder.journal, question, settings, os.environ, _note, limit_s))
    sys.stdout.write(f"{clean(answered.text)}\n")
    usage = answered.usage
    tokens = count(usage.input + usage.output)
    sys.stderr.write(f"{counted(answered.queries, 'query', 'queries')} · {tokens} tokens · {dollars(usage.usd)}\n")
    return 0


def _note(step: str) -> None:
    sys.stderr.write(f"{one_line(step)[:WIDTH]}\n")
    sys.stderr.flush()
