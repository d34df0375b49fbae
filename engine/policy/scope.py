"""The scope of a task: globs for the paths that it may change."""

import pathspec


def strays(scope: str, paths: tuple[str, ...]) -> tuple[str, ...]:
    """The paths outside a scope; none if the scope is empty."""
    globs = scope.replace(",", " ").split()
    if not globs:
        return ()
    inside = pathspec.GitIgnoreSpec.from_lines(globs)
    return tuple(path for path in paths if not inside.match_file(path))
