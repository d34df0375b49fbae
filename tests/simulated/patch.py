"""Unified patches between two trees in memory, with git's headers."""

from difflib import unified_diff

from tests.simulated.merge import Tree


def unified_patch(old: Tree, new: Tree) -> str:
    """The patch from one tree to another. Files that are moved unchanged appear as renames."""
    changed = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    gone = {old[path]: path for path in changed if path not in new and old[path]}
    renames = {path: gone[new[path]] for path in changed if path not in old and new[path] in gone}
    parts = []
    for path in changed:
        if path in renames:
            before = renames[path]
            parts.append(
                f"diff --git a/{before} b/{path}\nsimilarity index 100%\nrename from {before}\nrename to {path}\n"
            )
        elif path not in renames.values():
            parts.append(_file_patch(path, old.get(path), new.get(path)))
    return "".join(parts)


def changed_lines(old: Tree, new: Tree) -> tuple[int, int]:
    """The lines that the patch from one tree to another adds and removes, without those of binary files."""
    texts = [{path: data for path, data in tree.items() if b"\0" not in data} for tree in (old, new)]
    lines = [line for line in unified_patch(*texts).splitlines() if not line.startswith(("+++ ", "--- "))]
    return sum(line.startswith("+") for line in lines), sum(line.startswith("-") for line in lines)


def _file_patch(path: str, old: bytes | None, new: bytes | None) -> str:
    header = f"diff --git a/{path} b/{path}\n"
    if old is None:
        header += "new file mode 100644\n"
    if new is None:
        header += "deleted file mode 100644\n"
    before, after = ("/dev/null" if old is None else f"a/{path}"), ("/dev/null" if new is None else f"b/{path}")
    lines = unified_diff(_lines(old), _lines(new), before, after)
    return header + "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _lines(content: bytes | None) -> list[str]:
    return (content or b"").decode(errors="replace").splitlines(keepends=True)
