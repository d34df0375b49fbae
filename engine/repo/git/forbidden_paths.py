"""Finds paths that git would refuse to check out, so that no landed commit is unusable for agents or the user."""

import re

from engine.domain.os_text import path_text

MAX_PATH_BYTES = 2_048
"""The longest path that can land. The kernel's limit is 4,096, and the path of the checkout's folder comes on top."""

_IGNORED_BY_HFS = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])
_GIT = re.compile(r"(?:^|\\)(?:\.git|git~1)[. ]*(?:$|[\\:])", re.IGNORECASE | re.ASCII)
_MODULES = re.compile(r"(?:^|\\)(?:\.gitmodules|gitmod~\d|gi?7?e?b?a?~\d)", re.IGNORECASE | re.ASCII)
_ENCODING = re.compile(rb"^[^#\n].*[ \t]-?working-tree-encoding(?=[ \t\r]|$)", re.MULTILINE)


def refusal(path: str, data: bytes, *, link: bool) -> str:
    """Why git or the filesystem would refuse to check out a file, as a message for the agent; empty when neither would.

    Follows git's `verify_path`: rejects names that some filesystem reads as `.git`, and a symlink named `.gitmodules`.
    """
    name, shown = path.rpartition("/")[2], path_text(path)
    if len(path.encode("utf-8", "surrogateescape")) > MAX_PATH_BYTES:
        return f"{shown[:80]}…: path too long to land; shorten it"
    if any(_GIT.search(part.translate(_IGNORED_BY_HFS)) for part in path.split("/")):
        return f"{shown}: some systems read this name as .git; rename it"
    if link and _MODULES.search(name.translate(_IGNORED_BY_HFS)):
        return f"{shown}: git rejects a symlink with this name; remove it"
    if name == ".gitattributes" and not link and _ENCODING.search(data):
        return f"{shown}: git rejects working-tree-encoding without a value; add an encoding"
    return ""
