"""Recognises the commands that agents run as tests, and says how they ended."""

import re

from engine.domain.handoff_facts import UNREADABLE, SuiteRun
from engine.policy.build_commands import commands_and_operators, forms
from engine.policy.suite_results import ALL, result_in

SHOWN = 100
"""Characters of a command that are kept."""
STEPS = 500
"""The most simple commands of one line that are judged."""
READ = 4_000
"""Characters of one simple command that are looked at."""

_RUNNERS = (
    "pytest|py.test|unittest|nose|nose2|nosetests|tox|nox|trial|stestr|doctest|ctest|jest|vitest|mocha|ava|karma|rspec"
    "|playwright test|cypress run|phpunit|pest|bats|prove|busted|ginkgo|gotestsum|coverage run|hatch test|meson test"
    "|ninja test|behave"
).replace(".", r"\.")
_END = r"(?=\s|$)"
_TARGET = r"(?:[^\s_:-]+[-_:])*(?:tests?|checks?|spec)(?:[-_:]\S*)?"
_WORDS = r"(?:\s+\S+){0,8}?\s+"
_TEST = re.compile(
    "|".join(
        (
            rf"(?:{_RUNNERS}){_END}",
            rf"python[\d.]*{_WORDS}-m\s+(?:{_RUNNERS}){_END}",
            rf"(?:npx|bunx|(?:pnpm|npm|yarn) exec|yarn|bundle exec)\s+(?:{_RUNNERS}){_END}",
            rf"(?:g?make|just|task|rake|invoke|inv|composer|bundle exec rake){_WORDS}{_TARGET}{_END}",
            rf"(?:npm|yarn|pnpm|bun)(?:\s+-\S+)*(?:\s+run)?(?:\s+-\S+)*\s+(?:t|{_TARGET}){_END}",
            rf"(?:cargo|go|deno|swift|mix|dotnet|bazel|rails|stack|cabal|lein|dune|sbt|zig build|flutter|dart|forge)"
            rf"(?:\s+[-+]\S+)*\s+(?:test|tests|spec|runtest|nextest){_END}",
            rf"(?:gradlew?|mvnw?)(?:\s+\S+){{0,8}}?\s+(?:\S*[tT]est|check|verify){_END}",
            rf"python[\d.]*(?:\s+-\S+)*\s+(?:\S*/)?(?:tests?/\S+|test_\w+|\w+_tests?|run_?tests?)\.py{_END}",
            rf"python[\d.]*\s+setup\.py\s+test{_END}",
            rf"(?:(?:ba|z)?sh\s+)?(?:\S*/)?(?:run[_-]?)?tests?(?:[_-][\w-]*)?\.sh{_END}",
        )
    )
)
_RUN = re.compile(r"(?:uv|poetry|pipenv|pdm|hatch|rye|conda|mamba|micromamba) run ")
_NO_TEST = re.compile(r"\s(?:--version|--help|-h|--collect-only|--co|--fixtures|--markers|--no-run|--list)(?=\s|$)")
_READERS = re.compile(
    "cat|ls|head|tail|e?grep|rg|ag|find|fd|git|sed|awk|wc|less|more|nl|diff|cmp|echo|printf|cd|pwd|which|type|tree|stat"
    "|file|mkdir|touch|rm|rmdir|cp|mv|ln|chmod|du|sort|uniq|cut|tr|jq|true|false|export|set|source|pip|uv|#.*"
)
"""Programs that surely run no test."""
_MAYBE = re.compile(
    r"test|check|spec|assert|verif|suite|<<|^\.?/|\s-[ce]\s|\b(?:ci|make|just|task|poe|invoke|inv|rake|npm|yarn|pnpm|bun|hatch"
    r"|ant|bazel|scons|ninja|meson|docker|podman|\w+\.sh)\b",
    re.IGNORECASE,
)
"""What may be a test by another name, or starts something that may run one."""
_HERE = re.compile(r"(<<-?\s*(['\"]?)(\w+)\2[^\n]*\n).*?(?:^\s*\3\s*$|\Z)", re.DOTALL | re.MULTILINE)
_PIPEFAIL = re.compile(r"set\s+(?:-\w*o|-o)\s+pipefail")
_ERREXIT = re.compile(r"set\s+-\w*e")
_NESTED = re.compile(r"\b(?:ba|da|z)?sh\s+-\w*c\s.*[|;]", re.DOTALL)
_PUTS_BACK = re.compile(
    r"(?:git(?:\s+-\S+)*\s+(?:stash(?! (?:list|show))|checkout|restore|reset|apply|switch|revert|worktree|archive)"
    r"|cp|mv|patch|rsync|(?:sed|perl)\s(?:.*\s)?-\w*i)(?=\W|$)"
)
"""What puts changes aside or back."""
_WRITES = re.compile(r".*<<(?=\W)|[^<>]*[^<>&\d]>>?\s*[^>&\s/]")


def test_run(command: str, exit: int | None, killed: str, output: str, wall_s: float, check: str) -> SuiteRun | bool:
    """The record of a command that ran tests; otherwise whether it may have tested something.

    `check` is the project's check: its parts are tests, whatever they are called.
    """
    steps = commands_and_operators(_HERE.sub(r"\1", command))
    own = {form for part, _ in commands_and_operators(check) for form in forms(part) if not _reads(form)}
    tests = [_is_test(step[:READ], own) for step, _ in steps[:STEPS]]
    if len(steps) > STEPS:
        return True
    if not any(tests):
        return any(not _reads(next(iter(forms(step)), "")) and bool(_MAYBE.search(step)) for step, _ in steps)
    covering = _covering(steps, tests)
    counted = covering or tests
    by_exit = None if exit is None else _passed(steps, counted, exit)
    number = counted.count(True)
    part = ALL if counted == tests else slice(-number, None) if counted[_last(tests)] else slice(number)
    result = result_in(output, tests.count(True), part)
    passed, ended = by_exit, f"killed: {killed}" if exit is None else f"exit {exit}"
    if result.text and (by_exit is None or result.passed in (None, by_exit)) and (exit is not None or not counted[-1]):
        passed, ended = result.passed, result.text
    elif result.passed and not by_exit:
        passed, ended = None, f"{result.text}, but {ended}"
    elif exit is not None and by_exit is None:
        ended = UNREADABLE
    names = "\n".join(result.names) if passed is False else ""
    return SuiteRun(_shown(steps, counted), passed, ended, round(wall_s, 1), names, covering is not None)


def _covering(steps: list[tuple[str, str]], tests: list[bool]) -> list[bool] | None:
    """Which steps test what the command leaves behind; None if it tests something else, such as the code without its
    change, on purpose."""
    others = ["" if test else step[:READ] for test, (step, _) in zip(tests, steps, strict=True)]
    puts_back = [_PUTS_BACK.match(step) is not None for step in others]
    changes = [puts or _WRITES.match(step) is not None for puts, step in zip(puts_back, others, strict=True)]
    first, last = tests.index(True), _last(tests)
    after = [at for at, change in enumerate(changes) if change and at > first]
    if any(puts_back[last:]) and any(changes[:last]):
        before = [test and not any(changes[:at]) for at, test in enumerate(tests)]
        return before if any(before) else None
    between = max((at for at in after if at < last), default=0)
    return [test and at >= between for at, test in enumerate(tests)]


def _last(tests: list[bool]) -> int:
    return len(tests) - 1 - tests[::-1].index(True)


def _shown(steps: list[tuple[str, str]], tests: list[bool]) -> str:
    """The last test of a command, with an ellipsis for what is beside it."""
    at = _last(tests)
    text = " ".join(steps[at][0].replace("2>&1", "").split())
    text = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
    return f"{'… ' if at else ''}{text}{' …' if at < len(steps) - 1 else ''}"


def _is_test(step: str, own: set[str]) -> bool:
    for form in forms(step):
        if (runner := _RUN.match(form)) is not None:
            words = form[runner.end() :].split()
            candidates = [" ".join(words[at:]) for at in range(min(6, len(words)))]
        else:
            candidates = [form]
        if form in own or (any(map(_TEST.match, candidates)) and not _NO_TEST.search(form)):
            return True
    return False


def _reads(form: str) -> bool:
    """Whether the program of a simple command surely runs no test."""
    return _READERS.fullmatch(form.partition(" ")[0].rpartition("/")[2]) is not None and not _RUN.match(form)


def _passed(steps: list[tuple[str, str]], tests: list[bool], exit: int) -> bool | None:
    """Whether the tests passed; None if the exit status may be that of another command."""
    passed = exit == 0
    first = tests.index(True)
    before = [step for step, _ in steps[:first]]
    piped, strict = any(map(_PIPEFAIL.match, before)), any(map(_ERREXIT.match, before))
    if any(test and _NESTED.search(step) for test, (step, _) in zip(tests, steps, strict=True)):
        return None
    if steps[-1][1].strip("\n ") == "&":
        return None
    for at in range(first, len(steps) - 1):
        joins = steps[at][1].strip("()`\n ")
        if joins == "&&" or (strict and joins in ("", ";")):
            unsure = not passed and not tests[at + 1]
        elif joins == "||":
            unsure = passed
        else:
            unsure = not (joins in ("|", "|&") and piped)
        if unsure:
            return None
    return passed
