"""A check from nothing starts with the downloads that its commit's lock files name by hash, and with nothing else."""

import base64
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.domain.settings import BuildSettings
from engine.repo.workspaces.verified_downloads import Named, keep_downloads
from tests.engine.repo.workspaces.cached_project import Project

CRATE = b"a crate"
LOCK = b"""version = 4

[[package]]
name = "part"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "%s"
""" % hashlib.sha256(CRATE).hexdigest().encode()
CACHE = ".cargo/registry/cache/index-1"


@pytest.fixture
async def project(tmp_path: Path) -> AsyncIterator[Project]:
    project = Project(tmp_path)
    await project.start(BuildSettings())
    yield project
    await project.workspaces.close()


def layer(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def kept(caches: list[Path], locks: list[bytes], target: Path) -> list[str]:
    keep_downloads(caches, Named(locks), target)
    return sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())


def address(content: bytes) -> str:
    digest = hashlib.sha512(content).hexdigest()
    return f".npm/_cacache/content-v2/sha512/{digest[:2]}/{digest[2:4]}/{digest[4:]}"


def integrity(content: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


def test_a_crate_is_kept_if_the_lock_file_names_its_content_for_that_name(tmp_path: Path) -> None:
    files = {
        f"{CACHE}/part-1.0.0.crate": CRATE,
        f"{CACHE}/part-2.0.0.crate": CRATE,
        f"{CACHE}/other-1.0.0.crate": b"unnamed",
        ".cargo/registry/src/index-1/part-1.0.0/src/lib.rs": CRATE,
        ".cache/ccache/result": CRATE,
    }
    made = layer(tmp_path / "1", files)
    assert kept([made], [LOCK], tmp_path / "2") == [f"{CACHE}/part-1.0.0.crate"]
    poisoned = layer(tmp_path / "3", {f"{CACHE}/part-1.0.0.crate": b"poison"})
    assert kept([poisoned], [LOCK], tmp_path / "4") == []
    assert kept([made, poisoned], [LOCK], tmp_path / "5") == [f"{CACHE}/part-1.0.0.crate"]
    assert (tmp_path / "5" / CACHE / "part-1.0.0.crate").read_bytes() == CRATE
    assert kept([made], [], tmp_path / "6") == []


def test_an_npm_package_is_kept_at_the_address_of_its_content(tmp_path: Path) -> None:
    one, other = b"one", b"other"
    lock = json.dumps({"packages": {"node_modules/a": {"integrity": integrity(one)}}}).encode()
    files = {address(one): one, address(other): other, ".npm/_cacache/index-v5/aa/bb/key": b"where"}
    assert kept([layer(tmp_path / "1", files)], [lock], tmp_path / "2") == [address(one)]
    assert kept([layer(tmp_path / "3", {address(other): one})], [lock], tmp_path / "4") == []


def test_archives_of_yarn_and_poetry_are_kept_by_the_hashes_of_their_lock_files(tmp_path: Path) -> None:
    zipped, wheel = b"zipped", b"wheel"
    files = {
        ".yarn/berry/cache/a-npm-1.0.0.zip": zipped,
        ".yarn/berry/cache/b.zip": b"else",
        ".cache/pypoetry/artifacts/ab/cd/a.whl": wheel,
        ".cache/pip/http-v2/a/b/c.body": wheel,
        ".cache/uv/wheels-v5/a": wheel,
    }
    locks = [
        f'"a@npm:^1.0.0":\n  checksum: 10c0/{hashlib.sha512(zipped).hexdigest()}\n'.encode(),
        f'files = [{{file = "a.whl", hash = "sha256:{hashlib.sha256(wheel).hexdigest()}"}}]'.encode(),
    ]
    assert kept([layer(tmp_path / "1", files)], locks, tmp_path / "2") == [
        ".cache/pypoetry/artifacts/ab/cd/a.whl",
        ".yarn/berry/cache/a-npm-1.0.0.zip",
    ]


def test_links_and_odd_files_are_passed_over(tmp_path: Path) -> None:
    outside = layer(tmp_path / "outside", {"index-1/part-1.0.0.crate": CRATE, "part-1.0.0.crate": CRATE})
    linked = tmp_path / "1"
    (linked / ".cargo/registry").mkdir(parents=True)
    (linked / ".cargo/registry/cache").symlink_to(outside)
    odd = tmp_path / "2"
    (odd / CACHE).mkdir(parents=True)
    (odd / CACHE / "part-1.0.0.crate").symlink_to(outside / "part-1.0.0.crate")
    (odd / CACHE / "folder").symlink_to(outside)
    os.mkfifo(odd / CACHE / "pipe")
    assert kept([linked, odd], [LOCK], tmp_path / "3") == []


async def test_a_check_from_nothing_starts_with_named_downloads_alone(project: Project) -> None:
    project.write("Cargo.lock", LOCK.decode())
    base = project.commit()
    fill = (
        f"mkdir -p ~/{CACHE} ~/.cargo/registry/src ~/.cache/ccache; printf 'a crate' > ~/{CACHE}/part-1.0.0.crate;"
        f"touch ~/{CACHE}/else-1.0.0.crate ~/.cargo/registry/src/unpacked ~/.cache/ccache/object"
    )
    await project.check(base, fill)
    found = "cd; find . -type f"
    assert await project.seen(base, found, clean=True) == f"./{CACHE}/part-1.0.0.crate\n"
    await project.check(base, "mkdir ~/.cargo/registry/src; touch ~/.cargo/registry/src/fresh", clean=True)
    assert (await project.seen(base, f"{found} | sort")).split() == [
        f"./{CACHE}/part-1.0.0.crate",
        "./.cargo/registry/src/fresh",
    ]
    project.write("Cargo.lock", "version = 4\n")
    assert await project.seen(project.commit(), found, clean=True) == "", "the lock file does not name it any more"


async def test_setup_begins_with_named_downloads(project: Project) -> None:
    project.write("Cargo.lock", LOCK.decode())
    base = project.commit()
    crate = f"~/{CACHE}/part-1.0.0.crate"
    setup = f"cat {crate} 2>/dev/null || echo download; mkdir -p ~/{CACHE}; printf 'a crate' > {crate}"
    await project.restart(BuildSettings(setup=setup))
    await project.workspaces.sweep(())
    first = await project.workspaces.set_up(base)
    project.write("code.py", "changed\n")
    again = await project.workspaces.set_up(project.commit())
    assert first is not None
    assert again is not None
    assert (first.text, again.text) == ("download\n", "a crate")


@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")
async def test_npm_installs_from_named_downloads_without_a_network(project: Project) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in (
            ("package.json", '{"name": "part", "version": "1.0.0"}'),
            ("index.js", "module.exports = 41"),
        ):
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    tarball = packed.getvalue()
    where = {"version": "1.0.0", "resolved": "https://registry.invalid/part.tgz", "integrity": integrity(tarball)}
    own = {"name": "project", "version": "1.0.0", "dependencies": {"part": "1.0.0"}}
    lock = {**own, "lockfileVersion": 3, "packages": {"": own, "node_modules/part": where}}
    project.write("package.json", json.dumps(own))
    project.write("package-lock.json", json.dumps(lock))
    project.write("part.tgz.base64", base64.b64encode(tarball).decode())
    base = project.commit()
    place = f"~/{address(tarball)}"
    await project.check(base, f"mkdir -p $(dirname {place}); base64 -d part.tgz.base64 > {place}")
    clean = await project.open(base, clean=True)
    ran = await clean.run("npm ci --offline --no-audit && node -p 'require(\"part\")'", 120, lambda _: None)
    assert ran.exit == 0, ran.text
    assert ran.text.splitlines()[-1] == "41"
    await clean.close()
