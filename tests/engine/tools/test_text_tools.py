"""The file tools on texts whose line ends, encoding or byte order mark differ from the usual."""

from typing import Any

import pytest

from engine.tools import edit_file, read_file, write_file
from engine.tools.tool import Answer
from tests.engine.tools.memory_files import Files, context

BOM8 = b"\xef\xbb\xbf"


async def edit(content: bytes, old: str, new: str, count: int = 1, line_end: bytes = b"\n") -> bytes | str:
    """The file after an edit, or the answer if that is an error."""
    workspace = Files({"a": content}, line_end)
    answer = await edit_file.call(context(workspace), edit_file.Arguments("a", (edit_file.Edit(old, new, count),)))
    assert workspace.files["a"] == content or not answer.error
    return answer.text if answer.error else workspace.files["a"]


async def write(existing: bytes | None, text: str, line_end: bytes = b"\n") -> bytes:
    workspace = Files({"a": existing} if existing is not None else {}, line_end)
    answer = await write_file.call(context(workspace), write_file.Arguments("a", text))
    assert not answer.error
    return workspace.files["a"]


async def read(content: bytes, **place: Any) -> Answer:
    return await read_file.call(context(Files({"a": content})), read_file.Arguments("a", **place))


@pytest.mark.parametrize("sent", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
async def test_an_edit_keeps_line_ends_and_encoding_whatever_ends_the_model_sends(
    sent: str, end: str, encoding: str
) -> None:
    def file(*lines: str) -> bytes:
        return end.join(lines).encode(encoding)

    before = file("one", "two", "three", "last ü")
    old, new = sent.join(["one", "two"]), sent.join(["one", "new", "two!"])
    assert await edit(before, old, new) == file("one", "new", "two!", "three", "last ü")
    assert await edit(before, "last ü", sent.join(["last", "end ü", ""])) == file(
        "one", "two", "three", "last", "end ü", ""
    )


async def test_an_edit_of_a_file_with_cr_alone_keeps_cr() -> None:
    assert await edit(b"one\rtwo\rthree\r", "one\ntwo\n", "one\nnew\ntwo\n") == b"one\rnew\rtwo\rthree\r"


async def test_a_cr_inside_a_line_is_no_line_end() -> None:
    assert await edit(b"50%\r100%\ndone\n", "100%\ndone", "100%\nall done") == b"50%\r100%\nall done\n"


@pytest.mark.parametrize(
    ("old", "new", "after"),
    [
        ("b\nc", "b\nnew\nc", b"a\nb\r\nnew\r\nc\r\nd\ne"),
        ("a\nb", "a\nnew\nb", b"a\nnew\r\nb\r\nc\r\nd\ne"),
        ("a\n", "a\nnew\n", b"a\nnew\nb\r\nc\r\nd\ne"),
        ("d\n", "new\nd\n", b"a\nb\r\nc\r\nnew\nd\ne"),
        ("a\nb\nc\nd\n", "A\nB\nC\nD\n", b"A\nB\r\nC\r\nD\ne"),
        ("b\nc\nd\n", "", b"a\ne"),
        ("e", "e\nf\n", b"a\nb\r\nc\r\nd\ne\nf\n"),
    ],
)
async def test_lines_of_a_mixed_file_keep_their_ends_and_new_ones_follow_those_around(
    old: str, new: str, after: bytes
) -> None:
    assert await edit(b"a\nb\r\nc\r\nd\ne", old, new) == after


async def test_every_occurrence_keeps_its_own_line_ends() -> None:
    assert await edit(b"x\r\ny\r\nx\ny\n", "x\ny", "x\nnew\ny", 2) == b"x\r\nnew\r\ny\r\nx\nnew\ny\n"


async def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    assert await edit(b"caf\xe9\r\none\r\ntwo\r\n\0\xff", "one\ntwo", "1\n2") == b"caf\xe9\r\n1\r\n2\r\n\0\xff"


async def test_a_file_without_line_ends_gets_those_of_a_new_file() -> None:
    assert await edit(b"one", "one", "one\ntwo", line_end=b"\r\n") == b"one\r\ntwo"


async def test_an_edit_that_would_only_change_line_ends_says_so() -> None:
    assert "line ends" in str(await edit(b"one\r\ntwo\r\n", "one\r\ntwo", "one\ntwo"))


async def test_a_file_written_anew_keeps_line_ends_encoding_and_mark() -> None:
    assert await write(b"one\r\ntwo\r\n", "1\n2\n3") == b"1\r\n2\r\n3"
    assert await write(b"one\r\ntwo\r\n", "1\r\n2\r\n") == b"1\r\n2\r\n"
    assert await write(b"one\rtwo\r", "1\n2\n") == b"1\r2\r"
    assert await write(b"a\nb\r\nc\r\nd\n", "a\nb\nnew\nc\nd\n") == b"a\nb\r\nnew\r\nc\r\nd\n"
    assert await write(BOM8 + b"one\n", "1\n") == BOM8 + b"1\n"
    assert await write(BOM8 + b"one\n", "\ufeff1\n") == BOM8 + b"1\n"
    assert await write("one\r\n".encode("utf-16"), "ü\n") == "ü\r\n".encode("utf-16")


async def test_a_binary_file_is_replaced_by_what_is_written() -> None:
    assert await write(b"\x89PNG\r\n\x1a\n\0\0", "text\n") == b"text\n"


async def test_crlf_that_is_written_over_lf_is_meant() -> None:
    assert await write(b"one\ntwo\n", "1\r\n2\r\n") == b"1\r\n2\r\n"


async def test_a_new_file_is_written_as_a_checkout_would_write_it() -> None:
    assert await write(None, "one\ntwo\n", b"\r\n") == b"one\r\ntwo\r\n"


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"one\r\ntwo\r\n", "CRLF"),
        (b"one\rtwo\r", "CR"),
        (b"one\r\ntwo\r\nthree\n", "mixed: 2 CRLF, 1 LF"),
        (BOM8 + b"one\ntwo\n", "byte order mark"),
        ("one\r\ntwo\r\n".encode("utf-16"), "UTF-16"),
    ],
)
async def test_reading_a_file_tells_what_is_unusual_about_its_text(content: bytes, note: str) -> None:
    answer = await read(content)
    *lines, last = answer.text.split("\n")
    assert lines[:2] == ["1\tone", "2\ttwo"]
    assert note in last
    assert note in (await read(content, start=2)).text


async def test_a_usual_text_is_read_without_a_note() -> None:
    assert (await read(b"one\ntwo")).text == "1\tone\n2\ttwo"
    assert (await read(b"\0\xff\xfe\1")).error


# --- several edits in one call ---------------------------------------------------------------------------------------


async def edits(content: bytes, *wanted: tuple[str, str] | tuple[str, str, int]) -> bytes | str:
    """The file after the edits, or the answer if that is an error."""
    workspace = Files({"a.py": content})
    made = tuple(edit_file.Edit(*edit) for edit in wanted)
    answer = await edit_file.call(context(workspace), edit_file.Arguments("a.py", made))
    assert workspace.files["a.py"] == content or not answer.error
    return answer.text if answer.error else workspace.files["a.py"]


async def test_edits_are_made_in_order_each_on_what_those_before_it_left() -> None:
    assert await edits(b"a\r\nb\r\n", ("a", "b"), ("b\n", "c\nd\n", 2)) == b"c\r\nd\r\nc\r\nd\r\n"


async def test_one_edit_that_cannot_be_made_leaves_the_file_as_it_is_and_is_named_with_the_nearest_text() -> None:
    source = b"def one():\n    return 1\n\n\ndef two():\n\treturn 2\n"
    assert await edits(
        source, ("return 1", "return 3"), ("def two():\n    return 2\n", "def two():\n    return 4\n")
    ) == (
        "nothing changed: edit 2 of 2: `old` does not occur in a.py; the nearest text differs only in white space:\n"
        "5\tdef two():\n6\t\treturn 2"
    )
    assert await edits(source, ("def one(self):\n", "")) == (
        "nothing changed: `old` does not occur in a.py; the nearest text is:\n1\tdef one():"
    )
    assert (
        await edits(source, ("zzzz", "y")) == "nothing changed: `old` does not occur in a.py; nothing there is like it"
    )


async def test_an_edit_that_fits_another_number_of_places_names_their_lines() -> None:
    assert await edits(b"x\ny\nx\nx\n", ("x\n", "z\n")) == (
        "nothing changed: `old` occurs 3 times in a.py, not 1 (line 1, 3, 4): include more of the surrounding text, or "
        "pass the right `count`"
    )


@pytest.mark.parametrize("wanted", [(), (("", "x"),), (("x", "x"),)])
async def test_edits_that_change_nothing_are_refused(wanted: tuple[tuple[str, str], ...]) -> None:
    assert isinstance(await edits(b"x\n", *wanted), str)


async def test_the_nearest_text_is_found_quickly_and_shown_shortly_in_a_large_file() -> None:
    lines = [f"    value_{number} = compute({number})" for number in range(60_000)]
    lines[40_000] = "    needle = compute(" + "x" * 5_000 + ")"
    answer = str(
        await edits("\n".join(lines).encode(), ("    needle = compute(y)\n    value_40001 = compute(40001)", ""))
    )
    assert "40002\t    value_40001 = compute(40001)" in answer
    assert len(answer) < 1_000
