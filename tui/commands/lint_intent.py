"""`swarm-tui lint-intent`: reports what is vague or missing in an intent, before it costs money."""

import asyncio
import os
import sys
from argparse import Namespace

from tui.bridge import SwarmError, duration_s, lint, review_intent
from tui.commands.intent_file import read_intent
from tui.commands.options import settings_of
from tui.format.numbers import count, dollars
from tui.format.text import clean, one_line


def lint_intent(arguments: Namespace) -> int:
    """Prints the remarks; returns 1 if there are any. Asks a model if one is configured or an API key is set."""
    text = read_intent(arguments.file)
    settings = settings_of(arguments, None).settings
    limit_s = duration_s(arguments.timeout)
    lines = None
    if not arguments.rules:
        try:
            lines, usage = asyncio.run(review_intent(text, settings, os.environ, _note, limit_s))
            _note(f"{count(usage.input + usage.output)} tokens · {dollars(usage.usd)}")
        except SwarmError as error:
            if arguments.model:
                raise
            sys.stderr.write(f"note: checked by rules only, a model would find more: {one_line(error.message)}\n")
    if lines is None:
        remarks = lint(text)
        places = [f"line {remark.line}: " if remark.line else "" for remark in remarks]
        lines = [
            f"{place}{remark.kind}: {remark.text} — hint: {remark.hint}"
            for place, remark in zip(places, remarks, strict=True)
        ]
    sys.stdout.writelines(f"{clean(line)}\n" for line in lines or ["no remarks"])
    return 1 if lines else 0


def _note(line: str) -> None:
    sys.stderr.write(f"{one_line(line)}\n")
