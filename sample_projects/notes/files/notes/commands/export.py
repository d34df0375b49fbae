"""export: all notes as a Markdown task list."""

import argparse
from typing import TextIO

from notes.store import Store

HELP = "print all notes as a Markdown task list"


def configure(parser: argparse.ArgumentParser) -> None:
    pass


def run(arguments: argparse.Namespace, store: Store, out: TextIO) -> int:
    for note in store.all():
        print(f"- [{'x' if note.done else ' '}] {note.text}", file=out)
    return 0
