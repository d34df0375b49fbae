"""A patch changes several files at once or none, in either of its forms, wherever its lines are."""

import pytest

from engine.domain.settings import Settings
from engine.ports.protocols import WorkspaceError
from engine.tools import apply_patch
from engine.tools.toolbox import Toolbox
from tests.engine.tools.memory_files import Files, context

GREET = b"def hello():\n    return 1\n\n\ndef other():\n    return 1\n"


class Copy(Files):
    """`full`: the path whose writing fails."""

    root = "/ws"
    full = ""

    async def write_file(self, path: str, content: bytes) -> None:
        if path == self.full and content != self.files.get(path):
            self.full = ""
            raise WorkspaceError("no space left")
        await super().write_file(path, content)

    async def remove_file(self, path: str) -> None:
        self.files.pop(path, None)


async def patch(text: str, **files: bytes) -> tuple[str, dict[str, bytes]]:
    """The answer, and the files after it; files are named as `a_py`."""
    before = {name.replace("_", "."): content for name, content in files.items()}
    workspace = Copy(before)
    answer = await apply_patch.call(context(workspace), apply_patch.Arguments(text))
    assert not answer.error or workspace.files == before
    return answer.text, workspace.files


SECTIONS = """*** Begin Patch
*** Update File: a.py
@@ def other():
     return 1
+    # done
@@
 def hello():
-    return 1
+    return 2
*** Add File: docs/new.md
+# New
+
+text
*** Delete File: old.py
*** End Patch
"""
UNIFIED = """Here is the change:
```diff
diff --git a/a.py b/a.py
index 123..456 100644
--- a/a.py
+++ b/a.py
@@ -101,2 +101,2 @@
 def hello():
-    return 1
+    return 2
@@ -905,2 +905,3 @@ def other():
 def other():
     return 1
+    # done
--- /dev/null
+++ b/docs/new.md
@@ -0,0 +1,9 @@
+# New
+
+text
diff --git a/old.py b/old.py
deleted file mode 100644
--- a/old.py
+++ /dev/null
@@ -1 +0,0 @@
-old
```
"""


@pytest.mark.parametrize(
    "text", [SECTIONS, UNIFIED, SECTIONS.replace("\n", "\r\n")], ids=["sections", "unified", "crlf"]
)
async def test_a_patch_updates_adds_and_deletes_files_wherever_its_lines_are(text: str) -> None:
    answer, files = await patch(text, a_py=GREET, old_py=b"old\n")
    assert answer == "edited a.py (2)\nadded docs/new.md\ndeleted old.py"
    assert files == {
        "a.py": b"def hello():\n    return 2\n\n\ndef other():\n    return 1\n    # done\n",
        "docs/new.md": b"# New\n\ntext\n",
    }


async def test_one_hunk_that_does_not_match_leaves_all_files_and_shows_the_nearest_text() -> None:
    text = "*** Update File: b.py\n@@\n-x\n+y\n*** Update File: a.py\n@@\n def hello():\n-    return 3\n+    return 2\n"
    answer, _ = await patch(text, a_py=GREET, b_py=b"x\n")
    assert answer == (
        "nothing changed: hunk 1 of 1 in a.py does not match: the nearest text is:\n1\tdef hello():\n2\t    return 1"
    )


async def test_a_failure_while_writing_leaves_all_files_as_they_were() -> None:
    workspace = Copy({"a": b"1\n", "b": b"1\n", "c": b"1\n"})
    workspace.full = "c"
    text = "*** Delete File: a\n*** Update File: b\n@@\n-1\n+2\n*** Add File: d\n+new\n*** Update File: c\n@@\n-1\n+2\n"
    answer = await apply_patch.call(context(workspace), apply_patch.Arguments(text))
    assert answer.text == "nothing changed: no space left"
    assert workspace.files == {"a": b"1\n", "b": b"1\n", "c": b"1\n"}


async def test_lines_that_occur_twice_are_found_by_an_anchor_the_order_or_a_line_number_else_refused() -> None:
    twice = b"class A:\n    x = 1\n\nclass B:\n    x = 1\n"
    after = b"class A:\n    x = 1\n\nclass B:\n    x = 2\n"
    hunk = "-    x = 1\n+    x = 2\n"
    numbered, around = ("@@ -5,1 +5,1 @@\n", "@@ -90 +90 @@\n"), ("@@\n class B:\n", "@@\n \n-class B:\n+class B:\n")
    for head in ("@@ class B:\n", *numbered, *around):
        assert (await patch(f"*** Update File: a\n{head}{hunk}", a=twice))[1]["a"] == after, head
    both = f"*** Update File: a\n@@\n class A:\n{hunk}@@\n{hunk}"
    assert (await patch(both, a=twice))[1]["a"] == after.replace(b"x = 1", b"x = 2")
    assert (await patch(f"*** Update File: a\n@@\n{hunk}", a=twice))[0] == (
        "nothing changed: hunk 1 of 1 in a matches 2 places (line 2, 5): add context, or a line above it after `@@`"
    )


@pytest.mark.parametrize(
    ("before", "hunk", "after"),
    [
        (b"one\r\ntwo\r\n", "@@\n one\n+new\n", b"one\r\nnew\r\ntwo\r\n"),
        (b"a\nb\r\nc\nd\r\n", "@@\n-a\n+A\n@@\n-d\n+D\n+e\n", b"A\nb\r\nc\nD\r\ne\r\n"),
        ("ü\nx\n".encode("utf-16"), "@@\n-x\n+y\n", "ü\ny\n".encode("utf-16")),
        (b"caf\xe9\nx\n", "@@\n caf\\xe9\n-x\n+y\n", b"caf\xe9\ny\n"),
        (b"one\ntwo", "@@\n one\n-two\n+2\n", b"one\n2"),
        (b"one\ntwo", "@@\n one\n-two\n\\ No newline at end of file\n+two\n", b"one\ntwo\n"),
        (b"one\ntwo\n", "@@\n one\n-two\n+two\n\\ No newline at end of file\n", b"one\ntwo"),
        (b"one\ntwo\n", "@@\n one\n-two\n", b"one\n"),
        (b"", "@@\n+one\n", b"one\n"),
        (b"def f():\n    pass\n", "@@ def f():\n+    # first\n", b"def f():\n    # first\n    pass\n"),
        (b"a\n\nb\n", "@@\n a\n\n-b\n+c\n\n", b"a\n\nc\n"),
        (b"-- x\n++ y\n", "@@\n--- x\n+-- z\n", b"-- z\n++ y\n"),
    ],
)
async def test_a_hunk_keeps_line_ends_encoding_and_the_end_of_the_file(before: bytes, hunk: str, after: bytes) -> None:
    answer, files = await patch(f"*** Update File: a\n{hunk}*** End Patch\n", a=before)
    assert files["a"] == after, answer


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no file"),
        ("fix it", "names no file"),
        ("*** Update File: none\n@@\n-a\n+b\n", "no such file"),
        ("*** Delete File: none\n", "no such file"),
        ("*** Add File: a\n+x\n", "a exists already: use `*** Update File: a`"),
        ("*** Add File: ./a\n+x\n", "a exists already"),
        ("*** Add File: /ws/a\n+x\n", "a exists already"),
        ("*** Add File: b\nx\n", "line 2 of the patch does not start with `+`: 'x'"),
        ("*** Update File: a\n", "changes nothing in a"),
        ("*** Update File: a\n@@\n-one\n+two\nthree\n", "line 5 of the patch starts with neither"),
        ("*** Update File: a\n*** Move to: b\n", "run `mv a b`"),
        ("diff --git a/a b/b\nrename from a\nrename to b\n", "run `mv a b`"),
        ("*** Update File: a\n@@\n+two\n", "has only new lines"),
        ("*** Update File: a\n@@\n-one\n+1\n@@\n-one\n+2\n", "overlaps one before it"),
        ("+++ what\n", "belongs to no file"),
        ("*** Delete File: a\n*** Update File: a\n@@\n-one\n+two\n", "was deleted before"),
    ],
)
async def test_a_patch_that_cannot_be_applied_says_why(text: str, told: str) -> None:
    answer, files = await patch(text, a=b"one\n")
    assert told in answer
    assert answer.startswith("nothing changed: ")
    assert files == {"a": b"one\n"}


async def test_sections_of_the_same_file_build_on_each_other_however_it_is_named() -> None:
    text = "*** Update File: a\n@@\n-one\n+two\n*** Update File: ./a\n@@\n-two\n+three\n"
    assert (await patch(text, a=b"one\n"))[1] == {"a": b"three\n"}


async def test_a_file_may_be_deleted_and_added_again_or_become_a_folder() -> None:
    answer, files = await patch("*** Delete File: a\n*** Add File: a\n+new\n", a=b"one\n")
    assert (answer, files) == ("deleted a\nadded a", {"a": b"new\n"})
    answer, files = await patch("*** Add File: a/b\n+new\n*** Delete File: a\n", a=b"one\n")
    assert (answer, files) == ("added a/b\ndeleted a", {"a/b": b"new\n"})


def test_the_form_is_described_where_a_model_reads_it() -> None:
    [spec] = Toolbox(Settings()).specs(("apply_patch",))
    assert all(word in spec.description for word in ("*** Update File: PATH", "*** Add File: PATH", "*** Delete File"))


async def test_a_patch_that_would_take_long_to_place_is_refused() -> None:
    begin = "*** Begin Patch\n*** Update File: a.py\n"
    same = "".join(" x\n" for _ in range(3000))
    answer, _ = await patch(f"{begin}@@\n{same}+y\n", a_py=b"x\n" * 100_000)
    assert "no line that is rare enough to find its place" in answer
    many = "".join(f"@@\n-line {number}\n+new {number}\n" for number in range(501))
    answer, _ = await patch(begin + many, a_py=b"".join(b"line %d\n" % number for number in range(501)))
    assert "501 hunks for a.py, at most 500" in answer


async def test_hundreds_of_hunks_are_placed_in_a_large_file() -> None:
    lines = [f"line {number}\n" for number in range(20_000)]
    hunks = "".join(f"@@\n {lines[at]}-{lines[at + 1]}+new {at}\n".replace("\n\n", "\n") for at in range(0, 20_000, 40))
    before = "".join(lines).encode()
    answer, files = await patch(f"*** Begin Patch\n*** Update File: a.py\n{hunks}", a_py=before)
    assert answer == "edited a.py (500)"
    after = files["a.py"].decode().splitlines()
    assert (after[1], after[41], after[42], len(after)) == ("new 0", "new 40", "line 42", 20_000)
