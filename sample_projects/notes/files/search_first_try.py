"""search: the notes that hold a word."""

import argparse
from typing import TextIO

from notes.store import Store

HELP = "print the notes that hold a word"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("word")


def run(arguments: argparse.Namespace, store: Store, out: TextIO) -> int:
    word = arguments.word
    found = [note for note in store.all() if word in note.text]
    for note in found:
        print(f"{note.id}  {note.text}", file=out)
    return 0 if found else 1
