"""Reduces a failure to a signature, the same for the same failure: a line without numbers, addresses and folders."""

import re

_TELLING = re.compile(
    r"error|exception|failed|failure|fatal|cannot|can't|not found|no such|denied|undefined|panic", re.I
)
_SAYS_NOTHING = re.compile(
    r"\W*\d+ (?:failed|passed|error).* in [\d.]+s|make.*\*\*\*.*Error \d+|FAILED \(.*\)|npm ERR!.*|error: Recipe.*",
    re.I,
)


def failure_of(tool: str, state: str, answer: str) -> str:
    """The failure in a tool call's answer; empty if it did not fail."""
    failure = failure_in(answer) if tool == "shell" else ""
    return failure or (normalised(answer.strip().partition("\n")[0]) if state == "error" else "")


def failure_in(answer: str) -> str:
    """The failure in a command's answer; empty if it succeeded or prints none."""
    head, _, output = answer.partition("\n")
    if head.startswith("exit 0"):
        return ""
    if head.startswith("killed: "):
        return normalised(head.removeprefix("killed: ").partition(" after ")[0])
    lines = [line.strip() for line in output[-8_000:].splitlines()]
    telling = [line for line in lines if _TELLING.search(line) and not _SAYS_NOTHING.match(line)]
    return normalised(telling[-1]) if telling else ""


def normalised(line: str) -> str:
    """A line of an error message without numbers, addresses and the workspace's folder."""
    line = re.sub(r"0x[0-9a-f]+|\b[0-9a-f]{12,}\b", "H", line, flags=re.I)
    line = re.sub(r"/ws/", "", line)
    return re.sub(r"\d+", "N", line)[:300]
