"""Which paths git does not take from a commit: whoever checks it out is refused, the next copy and the person alike."""

import re

LONGEST = 2_048
"""Bytes of a path that can land: the kernel takes 4,096, and a checkout lies in a folder of its own."""

_IGNORED_BY_HFS = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])
_GIT = re.compile(r"(?:^|\\)(?:\.git|git~1)[. ]*(?:$|[\\:])", re.IGNORECASE | re.ASCII)
_MODULES = re.compile(r"(?:^|\\)(?:\.gitmodules|gitmod~\d|gi?7?e?b?a?~\d)", re.IGNORECASE | re.ASCII)
_ENCODING = re.compile(rb"^[^#\n].*[ \t]-?working-tree-encoding(?=[ \t\r]|$)", re.MULTILINE)


def refusal(path: str, data: bytes, *, link: bool) -> str:
    """Why git or the disk would refuse to check a file out, for whoever made it; empty when they would not.

    As git's `verify_path` has it: names that some filesystem takes for `.git`, and links in place of `.gitmodules`.
    """
    name = path.rpartition("/")[2]
    if len(path.encode("utf-8", "surrogateescape")) > LONGEST:
        return f"{path[:80]}…: is too long a path to land; make it shorter"
    if any(_GIT.search(part.translate(_IGNORED_BY_HFS)) for part in path.split("/")):
        return f"{path}: has a name that some systems take for .git; rename it"
    if link and _MODULES.search(name.translate(_IGNORED_BY_HFS)):
        return f"{path}: git takes no link of that name; remove it"
    if name == ".gitattributes" and not link and _ENCODING.search(data):
        return f"{path}: names no encoding after working-tree-encoding, which git refuses; name one"
    return ""
