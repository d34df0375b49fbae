"""A text file as its lines, with what edits of the lines keep: the end of each line, the encoding, the byte order mark.

Bytes that are not text in the file's encoding survive, so that an edit elsewhere in the file does not change them.
"""

import codecs
import re
from collections import Counter
from typing import Self

from msgspec import Struct, structs

from engine.domain.os_text import content_bytes, content_text, utf8_text

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NAMES = {"\r\n": "CRLF", "\n": "LF", "\r": "CR"}
_NO_TEXT = re.compile(r"[\0-\x08\x0e-\x1a\x1c-\x1f\ud800-\udfff]")


class TextFile(Struct, frozen=True):
    """`text` has the lines, each ended by `\\n`; `ends` has the ends that these lines have in the file."""

    text: str
    ends: tuple[str, ...] = ()
    encoding: str = "utf-8"
    mark: bytes = b""

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Never fails: what is in no known encoding is read as UTF-8 with escapes."""
        mark, encoding = next((each for each in _MARKS if data.startswith(each[0])), (b"", _unmarked_encoding(data)))
        try:
            text = data[len(mark) :].decode(encoding, _on_error(encoding))
        except UnicodeDecodeError:
            mark, encoding = b"", "utf-8"
            text = data.decode(encoding, _on_error(encoding))
        if "\r" in text and "\n" not in text:
            return cls(text.replace("\r", "\n"), ("\r",) * text.count("\r"), encoding, mark)
        # Elsewhere, a CR without LF is a character of its line.
        return cls(text.replace("\r\n", "\n"), tuple(re.findall(r"\r?\n", text)), encoding, mark)

    def encode(self) -> bytes:
        """The file's bytes."""
        lines = self.text.split("\n")
        text = "".join(line + end for line, end in zip(lines, (*self.ends, ""), strict=True))
        return self.mark + text.encode(self.encoding, _on_error(self.encoding))

    def lines_of(self, text: str) -> str:
        """A text from elsewhere with the line ends of `text`, and without the byte order mark that the file has."""
        if self.encoding == "utf-8":
            text = content_bytes(text, self._as_utf8).decode("utf-8", "surrogateescape")
        else:
            text = utf8_text(text)
        text = text.replace("\r\n", "\n")
        text = text.replace("\r", "\n") if "\r" in self.ends else text
        return text.removeprefix("\ufeff") if self.mark else text

    def replace(self, old: str, new: str, line_end: str = "\n", at: int | None = None) -> Self:
        """Replace each `old` by `new`, or the one at an index; both are as `lines_of` returns them. Without an index,
        `old` is not empty.

        Lines that stay keep their ends. A new line ends like the line that it replaces or the nearest line of `old`; in
        a file of a single line, with `line_end`.
        """
        # What `old` and `new` have in common is left alone.
        before = _common_start(old, new)
        after = _common_start(old[before:][::-1], new[before:][::-1])
        removed, added = old[before : len(old) - after].count("\n"), new[before : len(new) - after].count("\n")
        last = max(0, old.count("\n") - old.endswith("\n"))
        ends: list[str] = []
        first = done = 0
        *parts, rest = self.text.split(old) if at is None else (self.text[:at], self.text[at + len(old) :])
        for part in parts:
            first += part.count("\n")
            start = first + old.count("\n", 0, before)
            replaced = self.ends[start : start + min(removed, added)]
            if replaced:
                end = replaced[-1]
            else:
                end = self.ends[min(start, first + last, len(self.ends) - 1)] if self.ends else line_end
            ends += [*self.ends[done:start], *replaced, *[end] * (added - len(replaced))]
            done = start + removed
            first += old.count("\n")
        return structs.replace(self, text=new.join((*parts, rest)), ends=(*ends, *self.ends[done:]))

    @property
    def shown(self) -> str:
        """The lines with escapes for what cannot be shown, as `lines_of` takes them."""
        return content_text(self._as_utf8) if self.encoding == "utf-8" else utf8_text(self.text)

    @property
    def _as_utf8(self) -> bytes:
        return self.text.encode("utf-8", "surrogateescape")

    @property
    def note(self) -> str:
        """What is unusual about the file's form, for whoever sees only its lines; empty if nothing is."""
        found = [self.encoding.upper()] if self.encoding != "utf-8" else []
        found += ["with a byte order mark"] if self.mark else []
        found += [r"\xHH stands for a byte that is not UTF-8"] if re.search("[\udc80-\udcff]", self.text) else []
        counts = Counter(_NAMES[end] for end in self.ends).most_common()
        if len(counts) > 1:
            found.append(f"line ends are mixed: {', '.join(f'{count} {name}' for name, count in counts)}")
        elif counts and counts[0][0] != "LF":
            found.append(f"lines end in {counts[0][0]}")
        return "; ".join(found)


def _common_start(one: str, other: str) -> int:
    """The number of equal characters at the start of both."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (char, other_char) in pairs if char != other_char), min(len(one), len(other)))


def _on_error(encoding: str) -> str:
    return "surrogateescape" if encoding == "utf-8" else "surrogatepass"


def _unmarked_encoding(data: bytes) -> str:
    """UTF-16 if every other byte of most characters is zero and the rest is text; otherwise UTF-8."""
    if b"\0" in data and len(data) % 2 == 0:
        for encoding, high, low in (("utf-16-le", data[1::2], data[0::2]), ("utf-16-be", data[0::2], data[1::2])):
            if high.count(0) * 2 > len(high) and 0 not in low:
                text = data.decode(encoding, "replace")
                if not _NO_TEXT.search(text) and "\ufffd" not in text:
                    return encoding
    return "utf-8"
