"""Finds the downloads in caches that a commit's own lock files name by hash: a check from nothing may start with them.

Only caches whose tools find files by content, or compare them with the lock file again. Those of pip and uv are not
among them: they are looked up by address, and an entry decides where a package comes from.
"""

import hashlib
import os
import re
import stat
from binascii import Error, a2b_base64
from collections.abc import Iterable, Sequence
from pathlib import Path

from engine.repo.workspaces.checkout import hard_link
from engine.repo.workspaces.warm_builds import is_inside

LOCK_FILES = frozenset({b"Cargo.lock", b"package-lock.json", b"npm-shrinkwrap.json", b"yarn.lock", b"poetry.lock"})
CRATES, NPM = ".cargo/registry/cache", ".npm/_cacache/content-v2/sha512"
PLACES = (CRATES, NPM, ".cache/pypoetry/artifacts", ".yarn/berry/cache")
_CRATE = re.compile(rb'name = "([^"/]+)"\nversion = "([^"/]+)"\nsource = [^\n]*\nchecksum = "([0-9a-f]{64})"')
_HEX = re.compile(rb"(?<![0-9a-f])(?:[0-9a-f]{128}|[0-9a-f]{64})(?![0-9a-f])")
_BASE64 = re.compile(rb"sha512-([A-Za-z0-9+/]{86}==)")


class Named:
    """The hashes in a commit's lock files."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._digests: set[bytes] = set()
        self._crates: set[tuple[str, bytes]] = set()
        for text in texts:
            self._digests.update(bytes.fromhex(found.decode()) for found in _HEX.findall(text))
            for found in _BASE64.findall(text):
                try:
                    self._digests.add(a2b_base64(found))
                except Error:
                    continue
            for name, version, found in _CRATE.findall(text):
                file = os.fsdecode(b"%s-%s.crate" % (name, version))
                self._crates.add((file, bytes.fromhex(found.decode())))

    def __bool__(self) -> bool:
        return bool(self._digests)

    def has(self, place: str, path: str, file: Path) -> bool:
        """Whether a file, at `path` in the cache `place`, is what the lock files name there. Raises OSError."""
        if not stat.S_ISREG(os.lstat(file).st_mode):
            return False
        if place == CRATES:
            return (file.name, _digest(file, "sha256")) in self._crates
        digest = _digest(file, "sha512")
        if place == NPM:
            return digest in self._digests and path.replace("/", "") == digest.hex()
        return digest in self._digests or _digest(file, "sha256") in self._digests


def _digest(file: Path, kind: str) -> bytes:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, kind).digest()


def keep_downloads(caches: Sequence[Path], named: Named, target: Path) -> bool:
    """Make `target` a layer with the downloads of other layers that are `named`. Returns whether there are any.

    Nobody may write to the other layers. Raises OSError.
    """
    for layer in reversed(caches) if named else ():
        for place in PLACES:
            if not is_inside(layer, f"{place}/."):
                continue
            for folder, _, names in os.walk(layer / place):
                for file in (Path(folder, name) for name in names):
                    kept = target / file.relative_to(layer)
                    if not kept.exists() and named.has(place, str(file.relative_to(layer / place)), file):
                        kept.parent.mkdir(parents=True, exist_ok=True)
                        hard_link(str(file), str(kept))
    return target.exists()
