"""The program inside sandboxes: it is staged compiled, and a start loads few modules."""

import subprocess
from pathlib import Path

from engine.sandbox.inside.frames import pack, unpack
from engine.sandbox.program import interpreter, python, stage_program, staged_program

COSTLY = ("collections", "ctypes", "enum", "importlib", "re", "resource", "typing", "inside.commands", "inside.search")


def test_a_start_loads_only_what_it_needs_and_no_source_is_staged(tmp_path: Path) -> None:
    stage_program(tmp_path)
    staged = staged_program(tmp_path)
    assert {path.suffix for path in staged.rglob("*") if path.is_file()} == {".pyc"}
    program = f"import sys; sys.path.insert(0, {str(staged)!r}); import inside.loop; print(*sys.modules)"
    command = [python(), "-I", "-S", "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "inside.jobs" in loaded
    assert not set(COSTLY) & set(loaded)


def test_the_program_answers_frames_until_its_input_ends(tmp_path: Path) -> None:
    stage_program(tmp_path)
    (tmp_path / "file").write_bytes(b"content")
    config = pack(b"root", bytes(tmp_path))
    asked = (
        config + pack(b"1", b"read", b"file", b"100") + pack(b"2", b"nonsense") + pack(b"3", b"put", b"../x", b"0", b"")
    )
    command = interpreter(str(staged_program(tmp_path)))
    # When its input ends it kills its remaining processes; here it has none.
    said = subprocess.run(command, input=asked, capture_output=True, check=True).stdout
    answers = []
    while said:
        size = int.from_bytes(said[:4], "big")
        answers.append(unpack(said[4 : 4 + size]))
        said = said[4 + size :]
    assert answers == [
        [b"0", b"ready"], [b"1", b"ok", b"content"], [b"2", b"err", b"unknown request"],
        [b"3", b"err", b"names no file of the workspace"],
    ]  # fmt: skip
    assert not (tmp_path.parent / "x").exists()
