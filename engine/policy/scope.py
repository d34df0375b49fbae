"""The scope of a task: globs for the paths that it may change."""

import re

import pathspec


def strays(scope: str, paths: tuple[str, ...]) -> tuple[str, ...]:
    """The paths outside a scope; none if the scope is empty, or not one that can be read."""
    globs = scope.replace(",", " ").split()
    if not globs:
        return ()
    try:
        inside = pathspec.GitIgnoreSpec.from_lines(globs)
    except (ValueError, re.error):  # such as [z-a]
        return ()
    return tuple(path for path in paths if not inside.match_file(path))
