"""A scope is globs: words are refused where it is given, and never judged where it stands in an older journal."""

import pytest

from engine.policy.scope import claims, scope_fault, strays


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "  ",
        "src/**",
        "src/** tests/*.py",
        "src/parser/**, tests/parser/**",
        "src/a.py\ntests/",
        "Makefile",
        "src",
        "README.md, docs",
        "`src/**`, `tests/**`",
        "- src/**\n- tests/new_folder/**",
        "!src/generated/** src/**",
        "app/(group)/[id]/page.tsx",
        "docs/My\\ File.md",
        ".github/workflows/*.yml",
        "README LICENSE setup.cfg",
        "**",
    ],
)
def test_globs_are_a_scope_also_of_what_does_not_exist_yet(scope: str) -> None:
    assert scope_fault(scope) == ""


@pytest.mark.parametrize(
    "scope",
    [
        "the parser and its tests",
        "The parser (src/parser.py) and whatever tests cover it.",
        "parser module",
        "Everything.",
        "anywhere",
        "src/** and tests/**",
        "only files under src/",
        "src/{parser,lexer}/**",
        "src/[z-a]",
        "Änderungen am Parser",
        "не трогать тесты",
    ],
)
def test_words_are_no_scope_and_the_refusal_says_how_to_write_one(scope: str) -> None:
    fault = scope_fault(scope)
    assert "scope takes globs such as src/parser/**, tests/parser/**" in fault
    assert strays(scope, ("anything", "src/parser.py")) == (), "an older journal's words are never judged"
    assert not claims(scope, "src/parser.py")


def test_globs_decide_which_paths_are_outside_a_scope() -> None:
    assert strays("src/** tests/*.py", ("src/a/b.c", "tests/x.py", "tests/y/z.py", "Makefile")) == (
        "tests/y/z.py",
        "Makefile",
    )
    assert strays("", ("anything",)) == ()
    assert strays("[z-a]", ("anything",)) == (), "a range that is none"
    assert strays("./src/**, `tests/`", ("src/a", "tests/b", "c")) == ("c",)


def test_who_may_change_anything_claims_nothing() -> None:
    assert claims("src/**", "src/a")
    for scope in ("", "**", "*", "src/**, **"):
        assert not claims(scope, "src/a")
