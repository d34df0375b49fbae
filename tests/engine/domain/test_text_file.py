"""Any file survives reading and writing, and an edit changes nothing but its own lines."""

from hypothesis import given
from hypothesis import strategies as st

from engine.domain.text_file import TextFile

LINES = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"", b"\r", b"\xff", b"\0"]), st.sampled_from([b"\n", b"\r\n"]))
)


@given(st.one_of(st.binary(), LINES.map(lambda lines: b"".join(line + end for line, end in lines))))
def test_every_file_is_written_as_it_was_read(data: bytes) -> None:
    assert TextFile.read(data).encode() == data


@given(st.text("ab\ud7ff\n\r"), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"]))
def test_every_text_is_written_in_its_encoding(text: str, encoding: str) -> None:
    data = text.encode(encoding)
    assert TextFile.read(data).encode() == data


@given(LINES, LINES, LINES, st.text("ab\n", min_size=1))
def test_an_edit_changes_no_byte_outside_the_text_that_it_replaces(
    before: list[tuple[bytes, bytes]], inside: list[tuple[bytes, bytes]], after: list[tuple[bytes, bytes]], new: str
) -> None:
    start, middle, end = (
        b"".join(line + e for line, e in lines) for lines in (before, [(b"<", b"\n"), *inside], after)
    )
    file = TextFile.read(b"x\n" + start + middle + b">\n" + end)
    old = TextFile.read(middle + b">\n").text
    if file.text.count(old) != 1 or not file.text.endswith(TextFile.read(b"\n" + end).text[1:]):
        return
    edited = file.replace(old, new + "\n").encode()
    assert edited.startswith(b"x\n" + start)
    assert edited.endswith(end)
