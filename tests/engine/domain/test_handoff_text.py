"""Handoffs of older journals, and how findings read."""

import msgspec

from engine.domain.handoff_facts import Finding
from engine.domain.types import HandoffText


def test_findings_of_older_journals_are_one_finding_without_evidence() -> None:
    old = msgspec.json.decode(b'{"status":"done","summary":"s","findings":"a\\nb"}', type=HandoffText)
    assert old.found == (Finding("a\nb"),)
    assert old.sections == {"findings": "a\nb"}
    assert msgspec.json.decode(msgspec.json.encode(old), type=HandoffText) == old
    assert msgspec.json.decode(b'{"status":"done","summary":"s","findings":""}', type=HandoffText).found == ()


def test_each_finding_reads_with_its_evidence() -> None:
    found = (Finding("it is slow", False), Finding("it is Python 3.11", True, share=True), Finding("c"))
    text = msgspec.convert({"status": "done", "summary": "s", "findings": list(found)}, HandoffText)
    assert text.sections["findings"] == "inferred: it is slow\nseen: it is Python 3.11\nc"
