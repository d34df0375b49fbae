"""A file that an agent rewrites has the old content or the new one, whenever the launcher is killed."""

import os
from pathlib import Path

import pytest

from engine.repo.changes.left_out import in_own_folder
from engine.sandbox.inside import files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "kept.py").write_text("old\n")
    (tmp_path / "kept.py").chmod(0o755)
    return tmp_path


def write(root: Path, path: str, content: bytes) -> None:
    files.write(os.fsencode(root), os.fsencode(path), content)


def left_out(root: Path) -> list[str]:
    above = os.open(root, os.O_RDONLY)
    try:
        return list(in_own_folder(above, ".swarm"))
    finally:
        os.close(above)


def test_a_file_whose_rewriting_is_cut_off_keeps_its_content(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(fd: int, content: bytes) -> None:
        os.write(fd, content[:2])
        os._exit(9)

    monkeypatch.setattr(files, "write_all", cut_off)
    child = os.fork()
    if not child:
        write(root, "kept.py", b"new content\n")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert (root / "kept.py").read_text() == "old\n"
    assert left_out(root) == []
    monkeypatch.undo()
    write(root, "kept.py", b"new\n")
    assert (root / "kept.py").read_text() == "new\n"
    assert os.listdir(root / ".swarm") == []


def test_a_file_that_the_disk_has_no_room_for_keeps_its_content(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_all", full)
    with pytest.raises(OSError, match="No space left"):
        write(root, "kept.py", b"new\n")
    assert (root / "kept.py").read_text() == "old\n"
    assert os.listdir(root / ".swarm") == []


def test_a_replaced_file_keeps_its_mode_and_links_still_lead_to_it(root: Path) -> None:
    (root / "folder").mkdir()
    (root / "folder" / "link.py").symlink_to("../kept.py")
    write(root, "folder/link.py", b"new\n")
    assert (root / "folder" / "link.py").is_symlink()
    assert (root / "kept.py").read_text() == "new\n"
    assert (root / "kept.py").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("obstacle", ["file", "dangling link", "pipe"])
def test_a_file_is_rewritten_in_place_where_it_cannot_be_replaced(root: Path, obstacle: str) -> None:
    own = root / ".swarm"
    if obstacle == "file":
        own.write_text("")
    elif obstacle == "dangling link":
        own.symlink_to("/nowhere")
    else:
        os.mkfifo(own)
    write(root, "kept.py", b"new\n")
    assert (root / "kept.py").read_text() == "new\n"
