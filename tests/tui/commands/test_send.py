"""What the words after `swarm-tui send RUN` mean."""

import pytest

from tui.bridge import (
    AgentPath,
    Command,
    HandoffId,
    ModelName,
    Pause,
    Rescope,
    Resolve,
    Role,
    SetModel,
    SetWorkers,
    SwarmError,
)
from tui.commands import arguments
from tui.commands.send import VERBS, command_of

PARSER = AgentPath("root/parser")


@pytest.mark.parametrize(
    ("verb", "words", "options", "command"),
    [
        ("pause", ["root/parser"], {}, Pause(PARSER)),
        ("pause", ["root/parser"], {"freeze": True}, Pause(PARSER, freeze=True)),
        ("pause", [], {"freeze": True}, Pause(None, freeze=True)),
        ("model", ["rehearsal:notes"], {}, SetModel(ModelName("rehearsal:notes"))),
        ("model", ["root/parser", "rehearsal:notes"], {}, SetModel(ModelName("rehearsal:notes"), PARSER)),
        ("model", ["worker=rehearsal:a?speed=0"], {}, SetModel(ModelName("rehearsal:a?speed=0"), role=Role.WORKER)),
        ("model", ["rehearsal:a?speed=0"], {}, SetModel(ModelName("rehearsal:a?speed=0"))),
        ("workers", ["8"], {}, SetWorkers(8)),
        ("workers", ["root/parser", "2"], {}, SetWorkers(2, PARSER)),
        ("workers", ["root/parser", "any"], {}, SetWorkers(None, PARSER)),
        ("rescope", ["root/parser", "own", "it"], {}, Rescope(PARSER, "own it")),
        ("rescope", ["root/parser", "own it"], {"scope": "src/**"}, Rescope(PARSER, "own it", "src/**")),
        ("rescope", ["root/parser", "caf\udce9"], {"scope": "\udce9/**"}, Rescope(PARSER, "caf\\xe9", "\\xe9/**")),
        ("resolve", ["h1"], {}, Resolve(HandoffId("h1"))),
    ],
)
def test_words_become_commands(verb: str, words: list[str], options: dict[str, str], command: Command) -> None:
    assert command_of(verb, words, **options) == command  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verb", "words", "options", "hint"),
    [
        ("resume", [], {"freeze": True}, "--freeze goes with pause"),
        ("steer", ["hello"], {"scope": "x"}, "--scope goes with rescope"),
        ("model", ["root/parser", "worker=rehearsal:a"], {}, "ROLE=PROVIDER:NAME"),
        ("workers", ["root/parser"], {}, "such as: workers 8"),
        ("workers", ["root/parser", "0"], {}, "pause"),
        ("workers", ["any"], {}, "write a number"),
        ("workers", [], {}, "workers root/parser 2"),
        ("model", ["wroker=rehearsal:a"], {}, "roles: planner"),
    ],
)
def test_what_does_not_go_together_is_refused(verb: str, words: list[str], options: dict[str, str], hint: str) -> None:
    with pytest.raises(SwarmError) as raised:
        command_of(verb, words, **options)  # type: ignore[arg-type]
    assert hint in raised.value.hint


def test_the_help_names_every_verb() -> None:
    assert {written.split()[0] for written, _ in arguments.VERBS} == set(VERBS)
