"""list: the open notes, or all of them."""

import argparse
from typing import TextIO

from notes.store import Store

HELP = "print the open notes"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="the done ones too")


def run(arguments: argparse.Namespace, store: Store, out: TextIO) -> int:
    for note in store.all():
        if arguments.all:
            print(f"{'x' if note.done else ' '} {note.id}  {note.text}", file=out)
        elif not note.done:
            print(f"{note.id}  {note.text}", file=out)
    return 0
