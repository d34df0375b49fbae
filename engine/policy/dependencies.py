"""Finds the dependencies that a change adds to a project's manifests, and intents that forbid new ones. Pure."""

import ast
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from configparser import ConfigParser, Error
from posixpath import basename
from typing import Any

Names = dict[str, bool]
"""Names of dependencies, and whether each is only for development: tests, builds, tools."""

MOST = 200_000
"""Bytes of a manifest that is read."""
_PYTHON = "python"
_PEP_508 = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*(?:[<>=!~;@(,]|$)")
_DEVELOPMENT = re.compile(r"dev|test|doc|lint|build|type|check|tool|bench|ci\b", re.IGNORECASE)


def is_manifest(path: str) -> bool:
    """Whether a file lists a project's dependencies. Lock files do not: they follow from manifests."""
    return _reader(path) is not None


def added_dependencies(before: Mapping[str, bytes | None], after: Mapping[str, bytes | None]) -> tuple[str, ...]:
    """The dependencies that only the new contents of changed manifests name, each with its manifest.

    One that moved from one manifest to another is not new. A manifest that cannot be read adds nothing.
    """
    known: set[tuple[str, str]] = set()
    found: dict[tuple[str, str], str] = {}
    for path, content in after.items():
        ecosystem, _ = _reader(path) or ("", None)
        old, new = _names(path, before.get(path)), _names(path, content)
        if old is None or new is None:
            continue
        known |= {(ecosystem, name) for name in old}
        for name, development in new.items():
            where = f"{path}, development" if development else path
            found.setdefault((ecosystem, name), f"{name} ({where})")
    return tuple(text for key, text in found.items() if key not in known)


def _names(path: str, content: bytes | None) -> Names | None:
    """The dependencies in a manifest; none if there is no file, None if it cannot be read."""
    reader = _reader(path)
    if reader is None or content is None or not content.strip():
        return {}
    if len(content) > MOST:
        return None
    try:
        return reader[1](content.decode("utf-8-sig"))
    except (ValueError, TypeError, AttributeError, KeyError, SyntaxError, RecursionError, MemoryError, Error):
        return None


# --- Python --------------------------------------------------------------------------------------------------


def _python(lines: Iterable[Any], development: bool = False, own: str = "") -> Names:
    names = (_PEP_508.match(line) for line in lines if isinstance(line, str))
    found = {re.sub(r"[-_.]+", "-", name[1]).lower(): development for name in names if name is not None}
    found.pop(re.sub(r"[-_.]+", "-", own).lower(), None)
    return found


def _pyproject(text: str) -> Names:
    data = tomllib.loads(text)
    project, tool = data.get("project", {}), data.get("tool", {})
    own = project.get("name", "")
    poetry, found = tool.get("poetry", {}), Names()
    groups = {
        **{name: group.get("dependencies", {}) for name, group in poetry.get("group", {}).items()},
        "dev": poetry.get("dev-dependencies", {}),
    }
    for group in groups.values():
        found |= _python(_registered(group), True)
    for lines in (
        *data.get("dependency-groups", {}).values(),
        *tool.get("pdm", {}).get("dev-dependencies", {}).values(),
        *(env.get(kind, []) for env in tool.get("hatch", {}).get("envs", {}).values() for kind in _HATCH),
        tool.get("uv", {}).get("dev-dependencies", []),
        data.get("build-system", {}).get("requires", []),
    ):
        found |= _python(lines, True, own)
    for name, lines in project.get("optional-dependencies", {}).items():
        found |= _python(lines, bool(_DEVELOPMENT.search(name)), own)
    found |= _python(_registered(poetry.get("dependencies", {})))
    return found | _python(project.get("dependencies", []), False, own)


_HATCH = ("dependencies", "extra-dependencies")


def _pipfile(text: str) -> Names:
    data = tomllib.loads(text)
    return _python(_registered(data.get("dev-packages", {})), True) | _python(_registered(data.get("packages", {})))


def _requirements(text: str) -> Names:
    lines = text.replace("\\\n", " ").splitlines()
    return _python(line.partition(" #")[0] for line in lines if not line.lstrip().startswith(("-", "#", ".", "/")))


def _setup_cfg(text: str) -> Names:
    parser = ConfigParser(interpolation=None, strict=False)
    parser.read_string(text)
    sections = {name: dict(parser.items(name)) for name in parser.sections()}
    options = sections.get("options", {})
    found = {
        name: True for kind in ("setup_requires", "tests_require") for name in _requirements(options.get(kind, ""))
    }
    for name, lines in sections.get("options.extras_require", {}).items():
        found |= dict.fromkeys(_requirements(lines), bool(_DEVELOPMENT.search(name)))
    return found | _requirements(options.get("install_requires", ""))


def _setup_py(text: str) -> Names:
    found = Names()
    keywords = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.keyword)]
    for kind in ("setup_requires", "tests_require", "extras_require", "install_requires"):
        for keyword in keywords:
            if keyword.arg == kind:
                value = ast.literal_eval(keyword.value)
                groups = value.values() if isinstance(value, dict) else [value]
                found |= _python((line for group in groups for line in group), kind != "install_requires")
    return found


def _registered(table: Mapping[str, Any]) -> list[str]:
    """The names in a table of dependencies that come from outside: not from a folder of the repository."""
    inside = ("path", "workspace")
    return [
        name
        for name, value in table.items()
        if name.lower() != "python" and not (isinstance(value, dict) and any(key in value for key in inside))
    ]


# --- other languages -----------------------------------------------------------------------------------------


def _package_json(text: str) -> Names:
    data = json.loads(text)
    found = Names()
    for kind in ("devDependencies", "optionalDependencies", "peerDependencies", "dependencies"):
        for name, version in (data.get(kind) or {}).items():
            if not str(version).startswith(("workspace:", "file:", "link:")):
                found[name] = kind == "devDependencies"
    return found


def _composer(text: str) -> Names:
    data = json.loads(text)
    both = ((name, kind) for kind in ("require-dev", "require") for name in data.get(kind) or {})
    return {name: kind == "require-dev" for name, kind in both if "/" in name}


def _cargo(text: str) -> Names:
    data = tomllib.loads(text)
    found = Names()
    for table in (data, data.get("workspace", {}), *data.get("target", {}).values()):
        for kind in ("dev-dependencies", "build-dependencies", "dependencies"):
            found |= dict.fromkeys(_registered(table.get(kind, {})), kind != "dependencies")
    return found


def _go(text: str) -> Names:
    blocks = re.findall(r"^require\s*\((.*?)^\)", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"^require\s+([^(\s].*)$", text, re.MULTILINE)
    wanted = (line.split("//") for line in lines if "// indirect" not in line)
    return {parts[0].split()[0]: False for parts in wanted if parts[0].split()}


def _matches(pattern: str, development: str = r"(?!)") -> Callable[[str], Names]:
    """Reads manifests that are programs or XML: the first group of each match is a name."""

    def read(text: str) -> Names:
        found = re.finditer(
            pattern, re.sub(r"<!--.*?(?:-->|\Z)|^\s*(?:#|//).*?$", "", text, flags=re.DOTALL | re.MULTILINE)
        )
        return {match[1]: re.search(development, match[0], re.IGNORECASE) is not None for match in found}

    return read


_READERS: tuple[tuple[str, str, Callable[[str], Names]], ...] = (
    (r"pyproject\.toml", _PYTHON, _pyproject),
    (r"requirements[\w.-]*\.(?:txt|in)|[\w.-]+[-_.]requirements\.(?:txt|in)", _PYTHON, _requirements),
    (r"setup\.cfg", _PYTHON, _setup_cfg),
    (r"setup\.py", _PYTHON, _setup_py),
    (r"Pipfile", _PYTHON, _pipfile),
    (r"package\.json", "npm", _package_json),
    (r"composer\.json", "composer", _composer),
    (r"Cargo\.toml", "cargo", _cargo),
    (r"go\.mod", "go", _go),
    (r"Gemfile", "gem", _matches(r"(?m)^\s*gem\s+['\"]([\w.-]+)['\"].*$", "test|development")),
    (r".+\.gemspec", "gem", _matches(r"add_\w*dependency[\s(]+['\"]([\w.-]+)['\"]", "add_development")),
    (
        r"pom\.xml",
        "maven",
        _matches(
            r"(?s)<dependency>(?:(?!<dependency>).)*?<artifactId>\s*([\w.-]+)(?:(?!<dependency>).)*?</dependency>",
            "<scope>\\s*test",
        ),
    ),
    (
        r".+\.gradle(?:\.kts)?",
        "maven",
        _matches(r"\b\w*(?:[iI]mplementation|[aA]pi|Only|compile)\b[\s(]+['\"][\w.-]+:([\w.-]+)", r"^\w*test"),
    ),
    (r".+\.(?:cs|fs|vb)proj|Directory\.Packages\.props", "nuget", _matches(r"<Package\w+\s+Include=\"([\w.-]+)\"")),
)


def _reader(path: str) -> tuple[str, Callable[[str], Names]] | None:
    name = basename(path)
    in_folder = re.search(r"(?:^|/)requirements/[^/]+\.(?:txt|in)$", path)
    if in_folder:
        name = f"requirements-{name}"
    return next(((kind, read) for pattern, kind, read in _READERS if re.fullmatch(pattern, name)), None)


# --- intents -------------------------------------------------------------------------------------------------

_KINDS = r"(?:(?:new|additional|extra|more|further|other|external|third[- ]party|runtime|run-time|python|npm)\s+)"
_LIBRARY = r"(?:standard library|stdlib)"
_FORBIDS = re.compile(
    rf"\b(?:no|zero)\s+{_KINDS}*dependenc(?:y|ies)\b"
    r"|\b(?:do not|don['’]t|never|must not|may not|without)"
    r"\s+(?:add|adding|introduc(?:e|ing)|(?:bring|pull)(?:ing)? in)"
    rf"\s+(?:any\s+)?{_KINDS}*dependenc(?:y|ies)\b"
    rf"|\b(?:no|without)\s+{_KINDS}+(?:packages|libraries)\b"
    rf"|\b{_LIBRARY} only\b|\bonly (?:the |python['’]?s? )?{_LIBRARY}\b"
    rf"|\bnothing (?:but|beyond|outside(?: of)?) the {_LIBRARY}\b|\bdependency-free\b",
    re.IGNORECASE,
)
_EXCEPT = re.compile(
    r"\b(?:unless|except|if|but(?! the)|may(?! not)|can|could|currently|already|today|has|have|had)\b", re.IGNORECASE
)
_RUNTIME = re.compile(r"run-?time|standard library|stdlib|dependency-free|\btests?\b|develop", re.IGNORECASE)


def forbidden(intent: str, dependencies: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """The words of an intent that forbid new dependencies, and which of these they forbid; empty if none does.

    A sentence with an exception forbids nothing. One about the run time leaves dependencies for development alone.
    """
    added = tuple(dependencies)
    for sentence in _sentences(intent) if added else ():
        if (words := _FORBIDS.search(sentence)) is not None and not _EXCEPT.search(sentence):
            runtime = _RUNTIME.search(sentence) is not None
            named = tuple(each for each in added if not (runtime and each.endswith(", development)")))
            if named:
                return words[0], named
    return "", ()


def _sentences(text: str) -> Iterator[str]:
    for part in re.split(r"(?<=[.!?;])\s+|\n\s*[-*•]\s+|\n{2,}", text):
        yield " ".join(part.split())
