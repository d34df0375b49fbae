"""Lines of JSON are safe to print: nothing in them is executed, reordered or hidden by a terminal."""

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from engine.domain.json_text import json_line
from engine.domain.os_text import utf8_text

UNSEEN = frozenset(chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp"))


def test_control_and_format_characters_are_written_as_escapes() -> None:
    line = json_line({"text": "".join(sorted(UNSEEN))}).decode()
    assert [char for char in line if char in UNSEEN] == []
    assert json.loads(line) == {"text": "".join(sorted(UNSEEN))}


@given(st.text(st.characters(), max_size=40))
def test_any_text_comes_back_as_it_was_apart_from_lone_surrogates(text: str) -> None:
    line = json_line([text]).decode("utf-8")
    assert "\n" not in line
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert json.loads(line) == [utf8_text(whole)]
