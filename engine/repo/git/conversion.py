"""Converts files as git does between a blob and a work tree: line ends, encoding and `$Id$`; filters never run.

What git does is decided by the project's `.gitattributes` and by `core.autocrlf` and `core.eol` of the user.
"""

import codecs
import os
import re
from pathlib import Path

import pygit2
from msgspec import Struct

from engine.domain.os_text import path_text
from engine.repo.git.git import USER_REPO_TIMEOUT_S, Git
from engine.repo.git.regular_file import read_regular

LONE_CR = re.compile(rb"\r(?!\n)")
LONE_LF = re.compile(rb"(?<!\r)\n")
UNPRINTABLE = bytes({*range(32), 127} - set(b"\b\t\n\r\033\014"))
FLAGS = pygit2.enums.AttrCheck.INDEX_ONLY | pygit2.enums.AttrCheck.INCLUDE_COMMIT | pygit2.enums.AttrCheck.NO_SYSTEM
ENCODING = b"working-tree-encoding"
FILTER = b"filter"
LOCAL_ATTRIBUTES = "info/attributes"
_MAX_BYTES = 1 << 20
LFS = "lfs"
"""A filter that counts even if the user has not set it up, as everybody else with the project has."""
_POINTER = b"version https://git-lfs.github.com/spec/"
_IDENT = re.compile(rb"\$Id(?::[^$\n]*)?\$")
_FOREIGN_IDENT = re.compile(rb"\$Id:.[^ $\n]* [^$\n]+\$")
"""What another program than git has expanded."""
_TRUE = ("true", "yes", "on", "1", "")


def copy_local_attributes(git_dir: Path, target: Path) -> None:
    """Give a git folder the attributes that stand in `info/attributes` of another one instead of in the project."""
    if text := read_regular(git_dir / LOCAL_ATTRIBUTES, _MAX_BYTES):
        (target / LOCAL_ATTRIBUTES).parent.mkdir(exist_ok=True)
        (target / LOCAL_ATTRIBUTES).write_bytes(text)


class Conversion(Struct, frozen=True):
    """The settings of the user's git: `autocrlf` is `true`, `input` or empty, `eol` is `crlf`, `lf` or empty.

    `filters` are the names of those that turn what git stores into other files, such as `lfs`.

    In the methods, `commit` is the one whose `.gitattributes` apply.
    """

    autocrlf: str = ""
    eol: str = ""
    filters: frozenset[str] = frozenset()

    @property
    def config(self) -> tuple[str, ...]:
        """The settings for a git process, as `KEY=VALUE`."""
        named = (("core.autocrlf", self.autocrlf), ("core.eol", self.eol))
        return tuple(f"{key}={value}" for key, value in named if value)

    def to_git(
        self,
        repo: pygit2.Repository,
        data: bytes,
        path: str,
        commit: str,
        old: pygit2.Object | None,
        *,
        strict: bool = False,
    ) -> bytes:
        """The content that `git add` would store.

        `strict`: ValueError for a file that is not in its encoding, or for which git would run a filter.
        """
        unchanged = isinstance(old, pygit2.Blob) and old.data == data
        if strict and not unchanged and not data.startswith(_POINTER):
            name = _attribute(repo, path, FILTER.decode(), commit)
            if name == LFS or name in self.filters:
                advice = (
                    "restore it with git checkout" if old is not None else "no agent can add such a file; remove it"
                )
                raise ValueError(f"{path_text(path)} needs the filter {name}, which never runs here: {advice}")
        if (encoding := _attribute(repo, path, ENCODING.decode(), commit)) and isinstance(encoding, str):
            try:
                data = _from_encoding(data, encoding)
            except (ValueError, LookupError) as error:
                if strict:
                    raise ValueError(f"{path_text(path)} is not {encoding}, as .gitattributes says: {error}") from error
        if b"\r\n" in data:
            text, _ = self._text(repo, path, commit)
            # Git leaves a file alone that was committed with CR LF.
            has_crlf = isinstance(old, pygit2.Blob) and b"\r\n" in old.data and not _binary(old.data)
            if text and not (text == "auto" and (_binary(data) or has_crlf)):
                data = data.replace(b"\r\n", b"\n")
        if b"$Id:" in data and _attribute(repo, path, "ident", commit) is True:
            data = _IDENT.sub(b"$Id$", data)
        return data

    def to_work_tree(self, repo: pygit2.Repository, data: bytes, path: str, commit: str) -> bytes:
        """The content that a checkout would write for a stored blob."""
        if b"$Id" in data and _attribute(repo, path, "ident", commit) is True:
            expanded = b"$Id: " + str(pygit2.hash(data)).encode() + b" $"
            data = _IDENT.sub(lambda found: found[0] if _FOREIGN_IDENT.match(found[0]) else expanded, data)
        text, crlf = self._text(repo, path, commit)
        if text and crlf and not (text == "auto" and (b"\r" in data or _binary(data))):
            data = LONE_LF.sub(b"\r\n", data)
        if (encoding := _attribute(repo, path, ENCODING.decode(), commit)) and isinstance(encoding, str):
            try:
                data = _to_encoding(data, encoding)
            except (ValueError, LookupError):
                pass  # git reports it and writes the file as it is
        return data

    def line_end(self, repo: pygit2.Repository, path: str, commit: str) -> bytes:
        """The line end of a checked out text file; empty if neither attributes nor settings say."""
        text, crlf = self._text(repo, path, commit)
        return b"" if not text else b"\r\n" if crlf else b"\n"

    def _text(self, repo: pygit2.Repository, path: str, commit: str) -> tuple[bool | str, bool]:
        """Whether a file is text (`auto`: if it looks like text), and whether a checkout ends its lines with CR LF."""
        text = _attribute(repo, path, "text", commit)
        if text not in (True, False, "auto", "input"):
            text = _attribute(repo, path, "crlf", commit)  # the attribute's name in old projects
        eol = _attribute(repo, path, "eol", commit)
        if text == "input":
            return True, False
        if text is False:
            return False, False
        if text not in (True, "auto"):
            if eol in ("lf", "crlf"):
                text = True
            elif self.autocrlf:
                text = "auto"
            else:
                return False, False
        if eol in ("lf", "crlf"):
            return text, eol == "crlf"
        return text, self.autocrlf == "true" or (not self.autocrlf and self.eol == "crlf")


async def user_conversion(root: Path) -> Conversion:
    """The settings of the user's git in the repository at `root`."""
    user = Git(root, as_user=True, timeout_s=USER_REPO_TIMEOUT_S)
    return await _read(user, r"^(core\.(autocrlf|eol)|filter\..*\.(smudge|process))$")


async def read_conversion(trunk_git: Path) -> Conversion:
    """The settings with which a run began."""
    return await _read(Git(trunk_git, git_dir=trunk_git), r"^swarm\.(autocrlf|eol|filters)$")


async def _read(git: Git, keys: str) -> Conversion:
    listed = await git.run("config", "-z", "--get-regexp", keys, accept=range(256))
    found: dict[str, str] = {}
    filters = set()
    for entry in os.fsdecode(listed.out).split("\0"):
        key, has_value, value = entry.partition("\n")
        section, _, name = key.rpartition(".")
        if section.startswith("filter."):
            filters |= {section.removeprefix("filter.")} if value not in ("", "cat") else set()
        elif name == "filters":
            filters |= set(filter(None, value.split("\n")))
        else:
            found[name] = value.lower() if has_value else "true"
    autocrlf, eol = found.get("autocrlf", "false"), found.get("eol", "")
    return Conversion(
        "input" if autocrlf == "input" else "true" if autocrlf in _TRUE else "",
        eol if eol in ("lf", "crlf") else "",
        frozenset(filters),
    )


def _attribute(repo: pygit2.Repository, path: str, name: str, commit: str) -> bool | str | None:
    # pygit2 would encode only UTF-8.
    found: bool | str | None = repo.get_attr(os.fsencode(path), name, FLAGS, commit)
    return found


def _from_encoding(data: bytes, encoding: str) -> bytes:
    name, mark = _codec(encoding)
    if mark and not data.startswith(mark):
        raise ValueError("its byte order mark is missing")
    if name in ("utf-16", "utf-32") and not data.startswith(
        (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
    ):
        raise ValueError("its byte order mark is missing")
    return data[len(mark) :].decode(name).encode() if data else data


def _to_encoding(data: bytes, encoding: str) -> bytes:
    name, mark = _codec(encoding)
    return mark + data.decode().encode(name) if data else data


def _codec(encoding: str) -> tuple[str, bytes]:
    """Python's name of an encoding that git knows, and the byte order mark that it needs in addition."""
    name = encoding.lower().replace("_", "-").replace("utf1", "utf-1").replace("utf3", "utf-3")
    marks = {"utf-16le-bom": ("utf-16-le", codecs.BOM_UTF16_LE), "utf-16be-bom": ("utf-16-be", codecs.BOM_UTF16_BE)}
    return marks.get(name) or (codecs.lookup(name).name, b"")


def _binary(data: bytes) -> bool:
    """By git's own rule: a zero byte, a lone CR, or more than one unprintable byte per 128 printable ones."""
    if b"\0" in data or LONE_CR.search(data):
        return True
    unprintable = len(data) - len(data.translate(None, UNPRINTABLE))
    printable = len(data) - unprintable - data.count(b"\n") - data.count(b"\r")
    return printable >> 7 < unprintable
