"""Converts line endings as git does between a blob and a work tree, by the project's `.gitattributes`."""

import os
import re

import pygit2

LONE_CR = re.compile(rb"\r(?!\n)")
LONE_LF = re.compile(rb"(?<!\r)\n")
UNPRINTABLE = bytes({*range(32), 127} - set(b"\b\t\n\r\033\014"))
FLAGS = pygit2.enums.AttrCheck.INDEX_ONLY | pygit2.enums.AttrCheck.INCLUDE_COMMIT | pygit2.enums.AttrCheck.NO_SYSTEM


def convert_to_git(
    repo: pygit2.Repository, data: bytes, path: str, attributes: str, old: pygit2.Object | None
) -> bytes:
    """The content that `git add` would store. `attributes` is the commit whose `.gitattributes` apply."""
    if b"\r\n" not in data:
        return data
    text, _ = _text_attributes(repo, path, attributes)
    if not text:
        return data
    if text == "auto" and (_binary(data) or (isinstance(old, pygit2.Blob) and b"\r\n" in old.data)):
        return data  # git leaves a file alone that was committed with CR LF
    return data.replace(b"\r\n", b"\n")


def convert_to_work_tree(repo: pygit2.Repository, data: bytes, path: str, attributes: str) -> bytes:
    """The content that a checkout would write for a stored blob."""
    text, crlf = _text_attributes(repo, path, attributes)
    if not text or not crlf or (text == "auto" and (b"\r" in data or _binary(data))):
        return data
    return LONE_LF.sub(b"\r\n", data)


def _text_attributes(repo: pygit2.Repository, path: str, commit: str) -> tuple[bool | str, bool]:
    """Whether a file is text (`auto`: if it looks like text), and whether a checkout ends its lines with CR LF."""
    name = os.fsencode(path)  # pygit2 would encode only UTF-8
    text = repo.get_attr(name, "text", FLAGS, commit)
    eol = repo.get_attr(name, "eol", FLAGS, commit)
    return (eol in ("lf", "crlf")) if text is None else text, eol == "crlf"


def _binary(data: bytes) -> bool:
    """By git's own rule: a zero byte, a lone CR, or more than one unprintable byte per 128 printable ones."""
    if b"\0" in data or LONE_CR.search(data):
        return True
    unprintable = len(data) - len(data.translate(None, UNPRINTABLE))
    printable = len(data) - unprintable - data.count(b"\n") - data.count(b"\r")
    return printable >> 7 < unprintable
