"""Reads the result of a test run from the summary that its runner printed."""

import re

from msgspec import Struct

from engine.domain.units import counted

NAMES = 3
"""The most failures that are named."""
NAME_SHOWN = 150

_ANSI = re.compile(r"\x1b\[[\d;]*m")
_COUNTS = r"\d+ [a-z]+(?: [a-z]+)?(?:, \d+ [a-z]+(?: [a-z]+)?)*"
_ONCE = "|".join(
    (
        rf"(?:=+ )?(?:no tests ran|{_COUNTS}) in [\d.]+ ?s(?: \([^)\n]*\))?(?: =+)?",  # pytest
        r"Ran \d+ tests? in [\d.]+ ?s\n{1,3}(?:OK|FAILED|NO TESTS RAN)(?: \(.*\))?",  # unittest
        r"FAILED \((?:failures|errors|unexpected successes)=.*\)",
        r"(?:Test Suites:.*\n)?Tests: +\d+ (?:failed|passed|skipped|todo).*",  # jest
        r"(?: *Test Files +\d.*\n)? *Tests +\d+ .*\(\d+\)",  # vitest
        r" +\d+ passing(?: \(.*\))?(?:\n +\d+ pending)?(?:\n +\d+ failing)?",  # mocha
        r"\d+% tests passed, \d+ tests failed out of \d+",  # ctest
        r"(?:\[\w+\] )?Tests run: \d+, +Failures: \d+(?:, +Errors: \d+)?(?:, +Skipped: \d+)?",  # maven, junit
        r"\d+ tests? completed, \d+ failed(?:, \d+ skipped)?",  # gradle
        r"\d+ (?:examples?|tests?|runs?|doctests?), [\w, ]*\d+ failures?(?:, \d+ [\w ]+)*",  # rspec, minitest, mix
        r"OK \(\d+ tests?(?:, \d+ assertions?)?\)|Tests: \d+, Assertions: .*",  # phpunit
        r" *(?:Passed|Failed)! +- Failed: .*",  # dotnet
        r" *Summary \[.*\] +\d+ tests? run: .*",  # nextest
        r"[#ℹ] pass \d+\n[#ℹ] fail \d+",  # node
        r" *\d+ pass\n(?: *\d+ (?:skip|todo)\n){0,2} *\d+ fail",  # bun
        r"(?:ok|FAILED) \| \d+ passed.*",  # deno
        r"  \d+ (?:failed|passed \([\d.]+\w+\))",  # playwright
        r"Files=\d+, Tests=\d+,.*\nResult: (?:PASS|FAIL)",  # prove
    )
)
_CARGO = r"test result: (?:ok|FAILED)\. \d+ passed; .*"
_GO = r"ok[ \t]+\S+[ \t]+(?:[\d.]+s|\(cached\)).*|FAIL[ \t]+\S+[ \t]+(?:[\d.]+s|\[.*\])|FAIL"
_SUMMARY = re.compile(rf"^(?:(?P<once>{_ONCE})|(?P<cargo>{_CARGO})|(?P<go>{_GO}))[ \t\r]*$", re.MULTILINE)
"""What a runner prints once at its end, or as cargo and go do once for each part."""
_COUNT = re.compile(
    r"(?P<n>\d+)\s+(?:tests? )?(?P<what>pass|fail|error|skip|pending)"
    r"|(?<!expected )\b(?P<what_first>pass|fail|error|skip)\w*(?:[=:] *| )(?P<last>\d+)",
    re.IGNORECASE,
)
_TOTAL = re.compile(r"(?:\bRan|out of|Tests run:|Tests[:=]) *(\d+)|\b(\d+) (?:examples?|tests?|runs?)\b")
_FAILED = re.compile(r"\bFAIL(?:ED)?\b")
_NAME = re.compile(
    r"^[ \t]*((?:FAILED|ERROR) \S+\.py\b.*|(?:FAIL|ERROR): \w+ \(.*|test \S+ \.\.\. FAILED|--- FAIL: \S.*"
    r"|(?:●|×|✖|FAIL ) *\S+ .*[›>].*|\d+ - \S+ \(Failed\).*|\[ERROR\] +\w+[.\w]*:\d+.*|rspec \S+:\d+.*)$",
    re.MULTILINE,
)


class Result(Struct, frozen=True):
    """`passed` is None and `text` empty if there is no summary. `names`: lines that name failures."""

    passed: bool | None = None
    text: str = ""
    names: tuple[str, ...] = ()


ALL = slice(None)


def result_in(output: str, runs: int = 1, part: slice = ALL) -> Result:
    """What the summaries in a command's output say. `part`: which of its runs count, if each has one summary."""
    output = _ANSI.sub("", output)
    found = list(_SUMMARY.finditer(output))
    counting = found[part]
    if not counting or (part != ALL and (len(found) != runs or found[-1].lastgroup != "once")):
        return Result()
    before, after = found[: found.index(counting[0])], found[found.index(counting[-1]) + 1 :]
    results = [_of_go(counting)] if counting[-1].lastgroup == "go" else [_of_cargo(counting)]
    if counting[-1].lastgroup == "once":
        results = [_counted(match[0]) for match in counting]
    result = next((each for each in results if each.passed is False), results[-1])
    if result.passed is not False:
        return result
    end = counting[-1].end() if after else len(output)
    names = _NAME.findall(output, before[-1].end() if before else 0, end)
    return Result(False, result.text, tuple(name.strip()[:NAME_SHOWN] for name in names[:NAMES]))


def _of_go(found: list[re.Match[str]]) -> Result:
    passed = sum(match[0].startswith("ok") for match in found)
    failed = sum(match[0].startswith("FAIL") and match[0].strip() != "FAIL" for match in found)
    if passed and not failed and found[-1][0].strip() != "FAIL":
        return Result(True, f"{counted(passed, 'package')} passed")
    shown = [f"{counted(failed, 'package')} failed"] if failed else ["failed"]
    return Result(False, ", ".join(shown + ([f"{passed} passed"] if passed else [])))


def _of_cargo(found: list[re.Match[str]]) -> Result:
    result = _counted(" ".join(match[0] for match in found if match.lastgroup == "cargo"))
    return result if result.passed is not None else Result()  # only the last part may have been shown


def _counted(summary: str) -> Result:
    """The result in a summary; a suite that failed as a whole counts as a failure."""
    suites, _, tests = summary.rpartition("\n") if summary.lstrip().startswith("Test ") else ("", "", summary)
    count = _counts(tests)
    if suites and not count["fail"]:
        count["fail"] = _counts(suites)["fail"]
    failed, errors, skipped = count["fail"], count["error"], count["skip"] + count["pending"]
    total = max((int(number or other) for number, other in _TOTAL.findall(tests)), default=0)
    passed = count["pass"] or max(0, total - failed - errors - skipped)
    parts = [f"{failed} failed"] if failed else []
    parts += [counted(errors, "error")] if errors else []
    fails = bool(parts or _FAILED.search(summary))
    if fails and not parts:
        return Result(False, "failed")
    parts += [f"{passed} passed"] if passed else []
    parts += [f"{skipped} skipped"] if skipped else []
    return Result(False if fails else True if passed else None, ", ".join(parts) or "no tests ran")


def _counts(text: str) -> dict[str, int]:
    counts = dict.fromkeys(("pass", "fail", "error", "skip", "pending"), 0)
    for match in _COUNT.finditer(text):
        counts[(match["what"] or match["what_first"]).lower()] += int(match["n"] or match["last"])
    return counts
