"""`swarm-tui send`: sends a command to a live run from another terminal or a script."""

import asyncio
import difflib
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from tui.bridge import (
    ROOT,
    AgentPath,
    AnswerNote,
    Cancel,
    Command,
    ControlClient,
    ErrorKind,
    HandoffId,
    ModelName,
    Pause,
    Rescope,
    Resolve,
    Resume,
    Role,
    SetModel,
    SetPriority,
    SetWorkers,
    Steer,
    Stop,
    SubmitIntent,
    SwarmError,
    find_run,
    split_model,
    utf8_text,
)
from tui.commands.intent_file import read_intent
from tui.commands.options import state_dir

Words = list[str]
ANY = "any"
"""Instead of a number of workers: no limit but that of the whole run."""


def send(arguments: Namespace) -> int:
    """Sends one command to the process that owns the run; returns once the run has recorded it."""
    command = command_of(arguments.verb, arguments.rest, freeze=arguments.freeze, scope=arguments.scope)
    run = find_run(state_dir(arguments), arguments.run)
    if not run.live:
        look = (
            f"to continue it: swarm-tui resume {run.run}"
            if run.unfinished
            else f"to see it: swarm-tui replay {run.run}"
        )
        raise SwarmError(ErrorKind.NOT_FOUND, f"{run.run} is not live", look)
    asyncio.run(_send(run.folder.socket, command))
    return 0


async def _send(socket: Path, command: Command) -> None:
    client = await ControlClient.connect(socket)
    try:
        await client.send(command)
    finally:
        await client.close()


def command_of(verb: str, words: Words, *, freeze: bool = False, scope: str = "") -> Command:
    """The command for a verb, the words after it and its options. Raises SwarmError (usage)."""
    words, scope = [utf8_text(word) for word in words], utf8_text(scope)
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        raise _usage(f"unknown verb '{verb}'", f"did you mean {near[0]}?" if near else f"verbs: {', '.join(VERBS)}")
    command = VERBS[verb](verb, words)
    if freeze and not isinstance(command, Pause):
        raise _usage(f"{verb} does not take --freeze", "--freeze goes with pause")
    if scope and not isinstance(command, Rescope):
        raise _usage(f"{verb} does not take --scope", "--scope goes with rescope")
    if isinstance(command, Pause):
        return Pause(command.path, freeze)
    return Rescope(command.path, command.goal, scope) if isinstance(command, Rescope) else command


def _optional_path(words: Words) -> AgentPath | None:
    return _path(words[0]) if words else None


def _path(word: str) -> AgentPath:
    if word != ROOT and not word.startswith(f"{ROOT}/"):
        raise _usage(f"'{word}' is not an agent's path", "write the full path, such as root/parser/w-3")
    return AgentPath(word)


def _is_path(word: str) -> bool:
    return word == ROOT or word.startswith(f"{ROOT}/")


def _pause(verb: str, words: Words) -> Command:
    _at_most(verb, words, 1, "[PATH]")
    return Pause(_optional_path(words))


def _resume(verb: str, words: Words) -> Command:
    _at_most(verb, words, 1, "[PATH]")
    return Resume(_optional_path(words))


def _steer(verb: str, words: Words) -> Command:
    path, text = (_path(words[0]), words[1:]) if words and _is_path(words[0]) else (ROOT, words)
    return Steer(path, _text(verb, text, "[PATH] TEXT"))


def _cancel(verb: str, words: Words) -> Command:
    if not words:
        raise _usage("cancel needs an agent's path", "write: cancel PATH [REASON]; to stop the whole run: stop")
    return Cancel(_path(words[0]), " ".join(words[1:])) if words[1:] else Cancel(_path(words[0]))


def _intent(verb: str, words: Words) -> Command:
    if len(words) != 1:
        raise _usage("intent needs one file", "write: intent FILE; - reads stdin")
    return SubmitIntent(read_intent(words[0]))


def _workers(verb: str, words: Words) -> Command:
    *path, number = words or [""]
    if not number or len(path) > 1:
        raise _usage(
            "workers needs one number", f"write: workers 8, workers root/parser 2 or workers root/parser {ANY}"
        )
    if path and number == ANY:
        return SetWorkers(None, _path(path[0]))
    return SetWorkers(_number(verb, number, least=1), _optional_path(path))


def _priority(verb: str, words: Words) -> Command:
    if len(words) != 2:
        raise _usage("priority needs a path and a number", "write: priority root/parser 5")
    return SetPriority(_path(words[0]), _number(verb, words[1]))


def _model(verb: str, words: Words) -> Command:
    *path, model = words or [""]
    role, is_of_role, name = model.partition("=")
    if is_of_role and ":" not in role:
        if role not in list(Role):
            raise _usage(f"unknown role '{role}'", f"roles: {', '.join(Role)}")
        if path:
            raise _usage(
                "the model of a role applies to the whole run",
                "write: model [PATH] PROVIDER:NAME, or ROLE=PROVIDER:NAME",
            )
        split_model(ModelName(name))
        return SetModel(ModelName(name), role=Role(role))
    if len(path) > 1:
        raise _usage("model takes a path and a model", "write: model [PATH] PROVIDER:NAME, or ROLE=PROVIDER:NAME")
    split_model(ModelName(model))
    return SetModel(ModelName(model), _optional_path(path))


def _rescope(verb: str, words: Words) -> Command:
    if len(words) < 2:
        raise _usage("rescope needs a path and a goal", "write: rescope root/parser 'the new goal'")
    return Rescope(_path(words[0]), _text(verb, words[1:], "PATH TEXT"))


def _resolve(verb: str, words: Words) -> Command:
    if len(words) != 1:
        raise _usage("resolve needs one handoff", "write: resolve HANDOFF; the app shows its id in the handoff's title")
    return Resolve(HandoffId(words[0]))


def _answer(verb: str, words: Words) -> Command:
    if not words:
        raise _usage(
            "answer needs the number of a note", "write: answer 3 'use 3.11'; swarm-tui report RUN lists the notes"
        )
    if (number := _number(verb, words[0])) < 1:
        raise _usage(f"there is no note {number}", "notes are numbered from 1; swarm-tui report RUN lists them")
    return AnswerNote(number, " ".join(words[1:]).strip())


def _stop(verb: str, words: Words) -> Command:
    return Stop(" ".join(words)) if words else Stop()


VERBS: dict[str, Callable[[str, Words], Command]] = {
    "pause": _pause,
    "resume": _resume,
    "steer": _steer,
    "cancel": _cancel,
    "intent": _intent,
    "workers": _workers,
    "priority": _priority,
    "model": _model,
    "rescope": _rescope,
    "resolve": _resolve,
    "answer": _answer,
    "stop": _stop,
}


def _at_most(verb: str, words: Words, count: int, takes: str) -> None:
    if len(words) > count:
        raise _usage(f"{verb}: unexpected argument '{words[count]}'", f"write: {verb} {takes}")


def _text(verb: str, words: Words, takes: str) -> str:
    text = " ".join(words).strip()
    if not text:
        raise _usage(f"{verb} needs a text", f"write: {verb} {takes}")
    return text


def _number(verb: str, word: str, least: int | None = None) -> int:
    try:
        number = int(word)
    except ValueError:
        raise _usage(f"{verb}: '{word}' is not a whole number", f"write a number, such as: {verb} 8") from None
    if least is not None and number < least:
        raise _usage(f"{verb}: {number} is too small", f"use {least} or more; to pause the run: pause")
    return number


def _usage(message: str, hint: str) -> SwarmError:
    return SwarmError(ErrorKind.USAGE, message, hint)
