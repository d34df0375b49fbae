"""Finds claims about tests in a handoff that the record does not bear out.

A false accusation is worse than none: only plain statements count that an agent makes of its own work, and a claim is
doubted only where the record is complete and says otherwise.
"""

import re
from collections.abc import Iterator

from engine.domain.handoff_facts import SuiteLog, SuiteRun

_QUOTED = re.compile(
    r"```.*?(?:```|\Z)|^\s*>[^\n]*|`[^`\n]*`|\"[^\"\n]{0,300}\"|“[^”\n]{0,300}”", re.DOTALL | re.MULTILINE
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n\s*(?:[-*•]|\d+[.)])\s+|\n{2,}")
_NOT_SAID = re.compile(
    r"\b(?:not?|never|none|without|unable|cannot|nor|neither|hardly|except|apart from|but|however|although|though"
    r"|unless|until|if|once|when|whether|should|would|could|will|shall|must|may|might|can|to|let|please|expect\w*|assum\w*"
    r"|believ\w*|think|hope|make sure|ensure|so that|claim\w*|says?|fail\w*|skip\w*|broken?|red|error\w*|before"
    r"|previous\w*|earlier|already|used to|was|were|ci|upstream|pipeline|trunk|base|reviewer|they|user|someone|others?"
    r"|another|todo|need\w*|most|some|many|subset|partly|manually|unrelated)\b|n['’]t\b|\?",
    re.IGNORECASE,
)
"""Words that make a sentence something else than a plain statement about the agent's own tests."""
_THINGS = (
    r"(?:(?:all|the|my|these|whole|full|complete|entire|existing|new|old|unit|integration|own|project(?:['’]s)?|relevant"
    r"|and|of|[\d,]{1,12})\s+){0,8}(?:test[- ]?suite|suite|tests|checks?|pytest)"
)
_STOP = r"(?=\s*(?:[.,;:!)(]|$|—|–|and\b|again\b|now\b|locally\b|cleanly\b|too\b))"
_PASS = re.compile(
    rf"\b(?:{_THINGS}|everything)\s+(?:(?:all|still|now|also|both)\s+)*"
    rf"(?:pass(?:es|ed)?|succeed(?:s|ed)?|(?:is|are)\s+(?:all\s+)?(?:green|passing)){_STOP}"
    r"|\b(?:pass(?:es)?|passing)\s+(?:all|the whole|the full)\s+(?:of the\s+)?(?:[\d,]{1,12}\s+)?"
    r"(?:unit\s+|existing\s+)?"
    r"(?:tests|test suite)\b"
    rf"|\b[\d,]{{1,12}}\s+(?:tests\s+)?passed{_STOP}"
    rf"|\ball\s+(?:tests\s+)?green{_STOP}",
    re.IGNORECASE,
)
_RAN = re.compile(
    rf"(?:^|\bI\s+(?:also\s+)?|\bwe\s+|\band\s+(?:then\s+)?)(?:re-?)?(?:ran|executed)\s+{_THINGS}\b", re.IGNORECASE
)

_ANY_CLAIM = re.compile("pass|succeed|green|ran|executed", re.IGNORECASE)
"""What every claim contains; other texts need no closer look."""
_PROGRAM = re.compile(
    r"\b(?:pytest|unittest|tox|nox|make|just|npm|yarn|pnpm|cargo|go|gradlew?|mvnw?|rake|rspec|dotnet)\b"
)


def doubts(text: str, log: SuiteLog | None) -> tuple[str, ...]:
    """What a handoff claims about its tests that its agent's log does not bear out, with what the log says instead."""
    if log is None or not log.whole:
        return ()
    says_pass, says_ran = claims(text)
    if not (says_pass or says_ran):
        return ()
    says = "says the tests pass" if says_pass else "says it ran the tests"
    if not log.runs:
        return () if log.maybe else (f"{says}; its log has no command that runs tests",)
    if not says_pass or log.maybe:
        return ()
    if log.stale:
        return (f"{says}; files changed after the last test run",)
    last = log.last or log.runs[-1]
    others = (run for run in log.runs[-log.fresh :] if _program(run) != _program(last))
    if (last.passed is False or last.ended.startswith("killed")) and not any(run.passed for run in others):
        return (f"{says}; the last test run ended with {last.ended.replace('killed', 'a kill')}",)
    return ()


def claims(text: str) -> tuple[bool, bool]:
    """Whether a text says that the tests pass, and that they were run."""
    if _ANY_CLAIM.search(text) is None:
        return False, False
    said = [sentence for sentence in _sentences(text) if not _NOT_SAID.search(sentence)]
    return any(map(_PASS.search, said)), any(map(_RAN.search, said))


def _program(run: SuiteRun) -> str:
    """What ran the tests: `make check`, which may fail for another reason, is not the same as `pytest`."""
    found = _PROGRAM.search(run.command)
    return found[0] if found is not None else run.command


def _sentences(text: str) -> Iterator[str]:
    for sentence in _SENTENCE.split(_QUOTED.sub("…", text)):
        yield from filter(None, (" ".join(part.split()) for part in sentence.split("\n\n")))
