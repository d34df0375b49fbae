"""Masking: every published format of keys, nothing that merely resembles one, and keys that a stream cuts in two."""

import random
import string

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from engine.domain.conversation import Message, Opaque, Request, Text, ToolCall, Turn
from engine.domain.errors import ExitStatus
from engine.domain.events import ToolFinished
from engine.domain.masking import FORMATS, MARK, Mask, looks_like_key, secrets_of
from engine.domain.types import CallId, HandoffStatus, HandoffText, ModelName, TaskState, ToolCallState
from engine.orchestrator.swarm import Swarm
from engine.policy.run_end import Outcome
from engine.tools.tool import Answer
from tests import simulated
from tests.engine.scripts import done, planner_of, turns, writes
from tests.engine.swarms import fresh, run
from tests.simulated import Ran, World, answers, call, first_line, turn


def letters(count: int, alphabet: str = string.ascii_letters + string.digits, seed: int = 1) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=count))


HEX, UPPER = "0123456789abcdef", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
PEM = "-----BEGIN {0} KEY-----\n" + "\n".join(letters(64, seed=n) for n in range(20)) + "\n-----END {0} KEY-----"
KEYS = {
    "sk-" + "ant-api03-" + letters(93) + "AA": "anthropic key",
    "sk-" + "proj-" + letters(120): "openai key",
    "sk-" + letters(20) + "T3BlbkFJ" + letters(20): "api key",
    "sk-" + letters(32, HEX): "api key",
    "sk-" + "or-v1-" + letters(64, HEX): "openrouter key",
    "gh" + "p_" + letters(36): "github token",
    "gh" + "s_" + letters(36): "github token",
    "github" + "_pat_" + letters(22) + "_" + letters(59): "github token",
    "glpat" + "-" + letters(20): "gitlab token",
    "AK" + "IA" + letters(16, UPPER): "aws key",
    "xox" + "b-123456789012-1234567890123-" + letters(24): "slack token",
    "AI" + "za" + letters(35): "google key",
    "npm" + "_" + letters(36): "npm token",
    "pypi" + "-AgEIcHlwaS5vcmc" + letters(100): "pypi token",
    "hf" + "_" + letters(34): "hugging face token",
    "sk" + "_live_" + letters(24): "stripe key",
    "ey" + "J" + letters(30) + ".ey" + "J" + letters(60) + "." + letters(43): "json web token",
    "Bearer " + letters(40): "bearer token",
    PEM.format("RSA PRIVATE"): "private key",
    PEM.format("OPENSSH PRIVATE"): "private key",
    PEM.format("PRIVATE"): "private key",
}
AROUND = ("{}", "export KEY={}\n", 'key = "{}",', "{{'token': '{}'}}", "https://x:{}@host/", "12\t{}\n13\tend", "<{}>")


@pytest.mark.parametrize(("key", "kind"), KEYS.items(), ids=lambda text: text[:12].strip())
@pytest.mark.parametrize("around", AROUND)
def test_a_key_of_every_format_is_masked_and_the_text_around_it_is_kept(key: str, kind: str, around: str) -> None:
    assert Mask().text(around.format(key)) == around.format(f"[masked: {kind}]")
    assert looks_like_key(around.format(key))


@pytest.mark.parametrize(
    "text",
    [
        letters(40, HEX),
        "sha256-" + letters(43) + "=",
        letters(4_000, string.ascii_letters + string.digits + "+/"),
        "data:image/png;base64," + letters(8_000, string.ascii_letters + string.digits + "+/"),
        "task-runner-with-a-very-long-name and disk-utility sk-learn-contrib-and-more-things",
        "class sk-cube-grid sk-fading-circle sk-chasing-dots-animation",
        "npm_config_registry npm_package_json npm_lifecycle_event",
        "AKIA" + "IOSFODNN7" + "EXAMPLE",
        "if text.startswith('-----BEGIN PRIVATE KEY-----'):\n    raise Refused(text)\n" + "x = call(1)\n" * 100,
        "-----BEGIN CERTIFICATE-----\n" + letters(64) + "\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\n" + letters(64) + "\n-----END PUBLIC KEY-----",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + letters(40),
        "the header is `Authorization: Bearer <token>`; a Bearer authentication-is-required-here",
        "hf_transformers_pretrained_configuration SG.dark.theme eyJhbGciOi",
        "github_pat_ ghp_ xoxb- AIza sk-ant-",
    ],
)
def test_text_that_is_not_a_key_is_kept(text: str) -> None:
    assert Mask().text(text) is text


@pytest.mark.parametrize("key", [PEM.format("RSA PRIVATE")])
def test_a_private_key_is_masked_with_line_numbers_file_names_and_escapes(key: str) -> None:
    numbered = "\n".join(f"{number}\t{line}" for number, line in enumerate(key.splitlines(), 1))
    found = "\n".join(f"src/my-key_1.pem:{number}: {line}" for number, line in enumerate(key.splitlines(), 1))
    cut = "\n".join(key.splitlines()[:10])
    for text in (numbered, found, key.replace("\n", "\\n"), cut, f'"{key}"'.replace("\n", '\\n" +\n  "')):
        masked = Mask().text(text)
        assert "[masked: private key]" in masked
        assert not any(line in masked for line in key.splitlines()[1:9])


def test_values_of_the_engines_own_variables_are_masked_everywhere() -> None:
    environ = {
        "ANTHROPIC_API_KEY": "short-one",
        "DEPLOY_TOKEN": "correct horse battery",
        "DB_PASSWORD": "tiny",
        "SSH_KEY": "/home/me/.ssh/id_ed25519",
        "HOME": "/home/me-and-a-long-name",
    }
    mask = Mask(secrets_of(environ, frozenset({"ANTHROPIC_API_KEY"})))
    assert mask.text("use short-one then") == "use [masked: value of ANTHROPIC_API_KEY] then"
    assert mask.text("xcorrect horse batteryx") == "x[masked: value of DEPLOY_TOKEN]x"
    for plain in ("tiny", "/home/me/.ssh/id_ed25519", "/home/me-and-a-long-name"):
        assert mask.text(plain) == plain
    assert all(MARK.fullmatch(f"[masked: {kind}]") for kind in [f.kind for f in FORMATS] + ["value of A_KEY"])


@settings(deadline=None, max_examples=60)
@given(some.lists(some.integers(1, 40), min_size=1), some.sampled_from(sorted(KEYS)), some.integers(0, 1_000))
def test_a_stream_never_shows_part_of_a_key(sizes: list[int], key: str, seed: int) -> None:
    words = " ".join(letters(random.Random(seed).randint(1, 30), seed=seed + n) for n in range(10))
    text = f"{words}\nKEY={key} {words} correct horse battery {words}"
    mask = Mask({"PASS_TOKEN": "correct horse battery"})
    stream, shown, at, turn_ = mask.stream(), [], 0, 0
    while at < len(text):
        size = sizes[turn_ % len(sizes)]
        shown.append(stream.feed(text[at : at + size]))
        at, turn_ = at + size, turn_ + 1
    shown.append(stream.rest())
    assert "".join(shown) == mask.text(text)


def test_a_stream_without_white_space_is_shown_after_a_while() -> None:
    stream = Mask().stream()
    key = next(iter(KEYS))
    shown = "".join(stream.feed(piece) for piece in ["x" * 5_000, "=" + key, "=" + "y" * 20_000])
    assert len(shown) > 10_000
    assert key[8:40] not in shown + stream.rest()


# --- in a swarm ----------------------------------------------------------------------------------------------

SECRET = "gh" + "p_" + letters(36, seed=7)


def test_neither_a_model_nor_the_journal_gets_a_key() -> None:
    plan = planner_of(f"use {SECRET}")

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        match turns(request):
            case 0:
                return turn(call("shell", command="cat token"), call("read_file", path="token"))
            case 1:
                assert all("[masked: github token]" in answer for answer in answers(request))
                return writes("own.txt", f"a {SECRET} of my own\n")
            case _:
                return done(f"found {SECRET}", concerns=f"{SECRET} should not be here")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        assert not any(SECRET.encode() in asked.data for asked in w.models.asked)
        assert not any(SECRET in repr(event) for event in w.journal.surviving())
        assert w.trunk.files["own.txt"].decode() == f"a {SECRET} of my own\n", "what a model makes up, it may write"
        assert not any(SECRET in commit.message for commit in w.commits.made.values())
        assert any("[masked: github token]" in handoff.text.summary for handoff in swarm.snapshot.handoffs.values())

    def shell(workspace: simulated.MemoryWorkspace, command: str) -> Ran:
        return Ran(0, f"token={SECRET}\n")

    run(script, examine, shell=shell, files={"token": SECRET.encode(), "AGENTS.md": f"use {SECRET}".encode()})


def test_an_edit_does_not_replace_a_key_in_a_file_with_its_mark() -> None:
    plan = planner_of("edit")
    content = f"name = 1\ntoken = {SECRET}\n"

    def script(model: ModelName, request: Request) -> Turn:
        if first_line(request).startswith("# Intent"):
            return plan(request)
        match turns(request):
            case 0:
                return turn(call("read_file", path="conf"))
            case 1:
                mark = "token = [masked: github token]"
                return turn(
                    call("write_file", path="conf", content=f"name = 2\n{mark}\n"),
                    call("edit_file", path="conf", edits=[{"old": mark, "new": "token = x"}]),
                    call("apply_patch", patch=f"*** Update File: conf\n@@\n-{mark}\n+token = x\n"),
                    call("edit_file", path="conf", edits=[{"old": "name = 1", "new": f"name = 2\n{mark}"}]),
                    call("shell", command=f"echo '{mark}' > conf"),
                )
            case 2:
                assert all(a.startswith("not run: `[masked: github token]`") for a in answers(request)), answers(
                    request
                )
                return turn(call("edit_file", path="conf", edits=[{"old": "name = 1", "new": "name = 2"}]))
            case _:
                return done("the token is `[masked: github token]` and stays")

    def examine(swarm: Swarm, w: World, outcome: Outcome) -> None:
        assert outcome.status is ExitStatus.DONE
        assert w.trunk.files["conf"].decode() == content.replace("1", "2", 1)
        assert swarm.snapshot.task_counts[TaskState.LANDED] == 1

    run(script, examine, files={"conf": content.encode()})


def test_live_text_is_masked_and_complete_at_the_end_of_a_turn() -> None:
    async def main(clock: simulated.SimulatedClock) -> None:
        shown: list[str] = []

        def script(model: ModelName, request: Request) -> Turn:
            return turn(call("submit_handoff", status="done", summary="x"), text=f"I found {SECRET}")

        swarm = fresh(simulated.world(clock, script))
        swarm.supervisor.start_all()
        assert swarm.snapshot.root
        swarm.watch(swarm.snapshot.root, shown.append)
        await swarm.run()
        assert "".join(shown) == "I found [masked: github token]"

    simulated.simulate(main)


def test_signed_blocks_of_a_provider_are_not_changed() -> None:
    raw = Opaque("anthropic", msgspec.Raw(f'{{"signature":"{SECRET}"}}'.encode()))
    message = Message("assistant", (raw, Text(SECRET), ToolCall(CallId("c"), "shell", f'{{"command":"{SECRET}"}}')))
    masked = Mask().value(message)
    assert masked.blocks[0] is raw
    assert masked.blocks[1] == Text("[masked: github token]")
    assert msgspec.json.decode(masked.calls[0].arguments) == {"command": "[masked: github token]"}
    plain = ToolFinished(CallId("c"), "shell", ToolCallState.OK, "nothing secret here at all", ("a/b.py",))
    assert Mask().value(plain) is plain
    assert Mask().value(HandoffText(HandoffStatus.DONE, SECRET)).summary == "[masked: github token]"
    assert Mask().value({"k": [SECRET]}) == {"k": ["[masked: github token]"]}
    assert isinstance(Mask().value(Answer("x")), Answer)
