"""Text that the operating system gives as bytes: it can be shown, stored and sent, and it comes back as it was."""

import ast
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from unicodedata import is_normalized

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.domain.json_text import json_line, log_text
from engine.domain.os_text import (
    content_bytes,
    content_text,
    output_text,
    path_bytes,
    path_str,
    path_text,
    shell_word,
    utf8_text,
)
from tests.odd_names import ODD, random_names
from tui.format.text import clean, one_line

TOP = Path(__file__).parents[3]
NAMES = (*ODD, *random_names(1, 3_000))
BYTES = st.binary(max_size=30).filter(lambda data: 0 not in data)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"src/main.py", "src/main.py"),
        ("café/日本.txt".encode(), "café/日本.txt"),
        (b"latin\xe9.txt", r"latin\xe9.txt"),
        (b"a\nb/\x1b[1m", r"a\x0ab/\x1b[1m"),
        ("cafe\u0301".encode(), r"cafe\xcc\x81"),
        ("a\u202eb".encode(), r"a\xe2\x80\xaeb"),
        (rb"dir\name", r"dir\name"),
        (rb"literal\xe9", r"literal\x5cxe9"),
        (b" a/b ", r"\x20a/b\x20"),
    ],
)
def test_a_path_is_shown_as_it_is_except_for_what_cannot_be_seen(name: bytes, shown: str) -> None:
    assert path_text(name) == shown
    assert path_bytes(shown) == name


def test_every_path_comes_back_from_its_text() -> None:
    for name in NAMES:
        shown = path_text(name)
        assert path_bytes(shown) == name
        assert path_text(path_str(shown)) == shown, "bytes and strings of Python's functions read the same"
    assert len({path_text(name) for name in NAMES}) == len(set(NAMES)), "two paths never look the same"


def test_the_text_of_a_path_survives_being_shown_logged_sent_and_normalised() -> None:
    for name in NAMES:
        shown = path_text(name)
        assert shown.isprintable()
        assert clean(shown) == one_line(shown) == log_text(shown) == utf8_text(shown) == shown
        assert is_normalized("NFC", shown)
        assert json_line(shown).decode() == '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_parts_of_a_path_are_shown_alike_alone_and_joined() -> None:
    for above, below in pairwise(NAMES):
        assert path_text(above + b"/" + below) == f"{path_text(above)}/{path_text(below)}"


@given(st.text(st.characters(), max_size=20))
@example("\udce9\ud800")
def test_any_string_has_a_text_that_can_be_encoded(text: str) -> None:
    path_text(text).encode()
    utf8_text(text).encode()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_path_can_be_pasted_into_a_shell() -> None:
    names = [name for name in NAMES[:300] if name]
    words = " ".join(shell_word(name.decode("utf-8", "surrogateescape")) for name in names)
    script = b"printf '%s\\0' " + words.encode()
    printed = subprocess.run(["bash"], input=script, capture_output=True, check=True).stdout
    assert printed.split(b"\0")[:-1] == names


def test_what_a_program_prints_shows_bytes_that_are_not_utf8() -> None:
    assert output_text("é ".encode() + b"\xe9\n") == "é \\xe9\n"


@given(BYTES)
@example(b"caf\xe9 \\xe9 \\x5c\n")
def test_a_files_content_comes_back_from_its_text(data: bytes) -> None:
    assert content_bytes(content_text(data), data) == data


def test_escapes_stand_for_bytes_only_in_a_file_that_is_not_utf8() -> None:
    assert content_text(rb"'\xe9'") == r"'\xe9'"
    assert content_bytes(r"'\xe9'", b"plain") == rb"'\xe9'"
    assert content_text(b"caf\xe9 = '\\xe9'") == r"caf\xe9 = '\x5cxe9'"
    assert content_bytes(r"caf\xe9", b"caf\xe9") == b"caf\xe9"


SERVERS = {"engine/models/adapters/sse.py", "engine/models/adapters/error_mapping.py"}
"""What servers send is not what the operating system gives."""
OTHERS = {
    "engine/models/adapters/wire_format.py",  # a hash
    "engine/repo/changes/pending.py",  # ASCII headers of git
    "engine/repo/changes/left_out.py",  # ASCII numbers of the kernel
    "engine/resources/proc.py",
    "engine/sandbox/process_identity.py",
    "engine/domain/text_file.py",  # a guess at an encoding
    "engine/sandbox/inside/search.py",  # runs in the sandbox without the engine's modules
    "engine/journal/sql_process.py",  # what a model's query gets of a journal that may be damaged
    "tui/commands/help.py",  # our own documentation
    "tui/screens/clipboard_and_editor.py",  # what an editor saved
    "tui/sessions/hand_over.py",  # another process's log
}


def test_nothing_else_drops_bytes_that_it_cannot_decode() -> None:
    found = set()
    for path in (*TOP.glob("engine/**/*.py"), *TOP.glob("tui/**/*.py")):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            values = (*call.args[1:], *(word.value for word in call.keywords if word.arg == "errors"))
            method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            named = any(isinstance(value, ast.Constant) and value.value == "replace" for value in values)
            if named and method in ("decode", "encode", "open", "read_text", "write_text", "TextIOWrapper"):
                found.add(path.relative_to(TOP).as_posix())
    assert found <= SERVERS | OTHERS
