"""A task's scope: globs that say which paths it may change."""

import pathspec


def strays(scope: str, paths: tuple[str, ...]) -> tuple[str, ...]:
    """The paths that lie outside a scope; none where there is no scope."""
    globs = scope.replace(",", " ").split()
    if not globs:
        return ()
    inside = pathspec.GitIgnoreSpec.from_lines(globs)
    return tuple(path for path in paths if not inside.match_file(path))
