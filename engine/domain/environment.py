"""What agents' commands find in their sandbox: programs, tools, network and limits, as seen from a copy of the base."""

from msgspec import Struct


class Interpreter(Struct, frozen=True):
    """A language's interpreter. `name` is how a command calls it, `path` the program that then runs.

    `call_s`: the CPU seconds that a call by name was measured to take, if one by path takes far less; else 0.
    """

    name: str
    version: str = ""
    path: str = ""
    call_s: float = 0.0


class Environment(Struct, frozen=True):
    """What one look found. `conditions` is a hash of the settings and sandbox that it was made under.

    `absent` are usual names of an interpreter that nothing answers to, such as `python`. `managers` are package
    managers and build tools. `tools` are the test and lint tools that are named in the project or the intent and are
    installed, as a command calls them, `tests` those of them that run tests, and `missing` those that are not
    installed. `commands` are the project's own, such as `make test`. `limits` are those of one command and of a copy.
    `gap` says why the look is incomplete; empty if it is not.
    """

    conditions: str
    interpreters: tuple[Interpreter, ...] = ()
    absent: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    network: bool = False
    limits: tuple[str, ...] = ()
    gap: str = ""
