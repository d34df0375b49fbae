"""Scanning a workspace: what can land, what is rejected, and bounds on memory and time."""

import subprocess
import tempfile
from pathlib import Path

import pytest

from engine.policy.left_out import left_out_lines
from engine.repo.changes import scan as scan_module
from engine.repo.changes.scan import Scan
from engine.repo.git.forbidden_paths import MAX_PATH_BYTES, refusal
from engine.repo.git.ignores import Rules, parse_rules
from engine.repo.git.objects import NewObjects, ObjectStore
from engine.sandbox.inside.frames import MAX_FRAME
from tests.ordinary_user import as_an_ordinary_user, give_away


def store(folder: Path) -> ObjectStore:
    subprocess.run(["git", "init", "-q", "--bare", str(folder)], check=True)
    return ObjectStore(folder)


def scanned(folder: Path, upper: Path) -> Scan:
    objects = NewObjects(store(folder / "trunk.git"))
    scan = Scan(objects, objects.empty_tree, None, frozenset(), parse_rules(b"*.log\n"))
    scan.run(upper)
    return scan


@pytest.mark.parametrize(
    "text",
    ["* working-tree-encoding\n", "*.txt text -working-tree-encoding\r\n", "[attr]utf working-tree-encoding eol=lf"],
)
def test_attributes_that_make_every_checkout_fail_do_not_land(tmp_path: Path, text: str) -> None:
    upper = tmp_path / "upper"
    (upper / "src").mkdir(parents=True)
    (upper / "src" / ".gitattributes").write_bytes(text.encode())
    assert scanned(tmp_path, upper).rejected == [
        "src/.gitattributes: git rejects working-tree-encoding without a value; add an encoding"
    ]
    good = b"# a working-tree-encoding\n*.a working-tree-encoding=UTF-16\nworking-tree-encoding text\n"
    assert refusal(".gitattributes", good + b"*.c !working-tree-encoding\n", link=False) == ""


def test_the_largest_file_that_can_land_fits_into_one_frame() -> None:
    assert scan_module.MAX_FILE_BYTES + MAX_PATH_BYTES + 1_024 < MAX_FRAME


def test_a_path_too_long_for_a_checkout_does_not_land(tmp_path: Path) -> None:
    path = "/".join(["x" * 200] * (MAX_PATH_BYTES // 201 + 1))
    upper = tmp_path / "upper"
    (upper / path).mkdir(parents=True)
    (upper / path / "file").touch()
    scan = scanned(tmp_path, upper)
    assert not scan.changes
    [reason] = scan.rejected
    assert reason.endswith("…: path too long to land; shorten it")


def test_sparse_files_are_read_up_to_a_total_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "MAX_TOTAL_BYTES", 1 << 20)
    upper = tmp_path / "upper"
    upper.mkdir()
    for number in range(8):
        with (upper / f"{number}.bin").open("wb") as file:
            file.truncate(300 << 10)
    (upper / "9.log").write_bytes(b"x" * (2 << 20))
    scan = scanned(tmp_path, upper)
    assert sorted(scan.changes) == ["0.bin", "1.bin", "2.bin"]
    assert scan.rejected == ["3.bin: one change can have at most 1 MiB; remove new files or add them to .gitignore"]
    assert scan.ignored == ["9.log"]


def test_matching_many_files_against_many_rules_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "MAX_RULES", 100)
    monkeypatch.setattr(scan_module, "MAX_MATCH_WORK", 5_000)
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / ".gitignore").write_text("".join(f"{number}-*.x\n" for number in range(20_000)) + "*/a" * 300)
    for number in range(40):
        (upper / f"file-{number:02}").touch()
    work: list[int] = []
    real = scan_module.is_ignored

    def counted(chain: tuple[Rules, ...], excludes: Rules, path: str, folder: bool) -> bool:
        work.append(sum(map(len, chain)) + len(excludes))
        return real(chain, excludes, path, folder)

    monkeypatch.setattr(scan_module, "is_ignored", counted)
    scan = scanned(tmp_path, upper)
    assert sum(work) <= 5_000 - scan_module.PARSE_WORK * 100
    assert len(scan.changes) == 41
    [reason] = scan.rejected
    assert reason.endswith(": too many files and ignore rules; remove some of either")


@pytest.mark.parametrize(("name", "shown"), [("closed.py", "closed.py"), ("closed\udce9\n", "closed\\xe9\\x0a")])
def test_a_changed_file_that_cannot_be_read_is_rejected_and_not_dropped(name: str, shown: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:  # which an ordinary user can reach
        folder = Path(temporary)
        upper = folder / "upper"
        upper.mkdir()
        (upper / name).write_text("work\n")
        (upper / name).chmod(0)
        give_away(folder)
        told = as_an_ordinary_user(lambda: "".join(scanned(folder, upper).rejected))
    assert told == f"{shown}: file not readable; fix its mode or remove it"


def test_what_is_left_out_is_named_in_a_few_lines_whatever_the_number_of_files(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    for folder in range(50):
        (upper / f"{'deep/' * (folder % 7)}f{folder}").mkdir(parents=True)
        for file in range(20):
            (upper / f"{'deep/' * (folder % 7)}f{folder}" / f"{file}.log").touch()
    found = scanned(tmp_path, upper).left_out
    assert len(found) == 1_000
    [line] = left_out_lines(found)
    assert line.startswith("f0/0.log, ")
    assert line.endswith(", 994 more (git ignores it)")
