"""The arguments, options and help of each command. Imports nothing but argparse, so that `--help` stays quick.

A metavar says what a value is, and the completions go by it: RUN is a run id, REPO a repository, FILE a file.
"""

import textwrap
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Callable

WIDTH = 78
SHELLS = ("bash", "zsh", "fish")
VERBS = (
    ("pause [PATH] [--freeze]", "pause the run, or one agent and everything below it"),
    ("resume [PATH]", "continue what was paused"),
    ("steer [PATH] TEXT", "send a message to an agent (default: the root planner)"),
    ("cancel PATH [REASON]", "cancel an agent and everything below it, for good"),
    ("intent FILE", "replace the intent with a new version"),
    ("workers [PATH] N", "set how many workers run at a time, in the run or below a planner"),
    ("workers PATH any", "remove the limit of one planner"),
    ("priority PATH N", "start a planner's tasks before those of lower priority"),
    ("model [PATH] PROVIDER:NAME", "change the model of the run, or of one subtree"),
    ("model ROLE=PROVIDER:NAME", "change the model of one role"),
    ("rescope PATH TEXT [--scope GLOBS]", "give a subplanner a new goal, and optionally a new scope"),
    ("resolve HANDOFF", "mark a handoff as resolved"),
    ("answer NOTE [TEXT]", "answer a planner's question or correct its assumption"),
    ("stop [REASON]", "stop the run; `swarm-tui resume` continues it"),
)
"""What `send` can ask of a live run: how it is written, and what it does."""

COMPLETION = """to install it:
  bash  swarm-tui completion bash > ~/.local/share/bash-completion/completions/swarm-tui
  zsh   swarm-tui completion zsh > ~/.zfunc/_swarm-tui
        with this in ~/.zshrc, before compinit: fpath=(~/.zfunc $fpath)
  fish  swarm-tui completion fish > ~/.config/fish/completions/swarm-tui.fish"""


def _describe(parser: ArgumentParser, text: str) -> None:
    """Sets the description, wrapped here because the formatter keeps lines as they are."""
    parser.description = "\n\n".join(textwrap.fill(" ".join(part.split()), WIDTH) for part in text.split("\n\n"))


def common(parser: ArgumentParser) -> None:
    """The options of every command that runs a swarm. Each overrides a setting of swarm.toml."""
    group = parser.add_argument_group("common options")
    group.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="[ROLE=]PROVIDER:NAME",
        help="the model of one role, or of all roles; repeatable",
    )
    group.add_argument("--workers", metavar="N", help="how many workers may run at a time")
    group.add_argument("--budget-usd", metavar="USD", help="stop when this much money is spent")
    group.add_argument("--budget-tokens", metavar="N", help="stop when this many tokens are used")
    group.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="[TARGET.]LIMIT=VALUE",
        help="limit usd, tokens, wall or steps: of the run, of a role (worker.usd=20) or of a planner's subtree "
        "(root/parser.wall=2h); repeatable",
    )
    group.add_argument("--for", dest="wall", metavar="DURATION", help="stop after this time, for example 2h")
    group.add_argument(
        "--check", metavar="COMMAND", help="the command that a commit must pass to be green, for example 'make test'"
    )
    group.add_argument(
        "--require-green-base",
        action="store_const",
        const="true",
        help="end with status 1, before any model is asked, if the commit to start from fails the check",
    )
    group.add_argument("--branch", metavar="BRANCH", help="the branch to start from (default: the current one)")
    group.add_argument(
        "--sandbox",
        metavar="LEVEL",
        help="auto: the best level available; strict: refuse to run below namespaced; off: run commands uncontained",
    )
    group.add_argument("--theme", metavar="THEME", help="the app's theme")
    state_dir(group.add_argument)


def state_dir(add_argument: Callable[..., object]) -> None:
    """The folder of all runs, which every command that deals with runs has to find."""
    add_argument(
        "--state-dir", metavar="DIR", help="the folder that keeps all runs (default: ~/.local/state/swarm-tui)"
    )


def _timeout(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", default="15m", metavar="DURATION", help="give up after this time without an answer (default: 15m)"
    )


def _run_id(parser: ArgumentParser, which: str = "a run") -> None:
    parser.add_argument("run", metavar="RUN", help=f"{which}, as listed by `swarm-tui runs`")


def _repo(parser: ArgumentParser, what: str = "a git repository") -> None:
    parser.add_argument("repo", nargs="?", default=".", metavar="REPO", help=f"{what} (default: the current folder)")


def app(parser: ArgumentParser) -> None:
    _describe(
        parser,
        """Open the app on a git repository. If the repository has an unfinished run, the app opens that run;
        otherwise it shows the start screen, where you write an intent and start a new one.""",
    )
    _repo(parser)
    common(parser)


def demo(parser: ArgumentParser) -> None:
    _describe(
        parser,
        """Run a bundled sample project with the rehearsal, a scripted model that needs no API key and no network.
        The sample is copied to a new repository in the state folder.""",
    )
    parser.add_argument("sample", nargs="?", default="", metavar="SAMPLE", help="a sample (default: markdown)")
    parser.add_argument("--list", action="store_true", help="list the samples and exit")
    parser.add_argument("--headless", action="store_true", help="print progress instead of opening the app")
    parser.add_argument("--json", action="store_true", help="with --headless: print every event as a line of JSON")
    parser.add_argument(
        "--speed", type=float, metavar="N", help="multiply the rehearsal's waiting times by N; 0: do not wait"
    )
    parser.add_argument("--agents", type=int, metavar="N", help="sample load: how many workers run at a time")
    parser.add_argument("--tasks", type=int, metavar="N", help="sample load: how many tasks there are")
    parser.add_argument(
        "--conflicts", type=float, metavar="RATE", help="sample load: the share of tasks that conflict, 0 to 1"
    )
    common(parser)


def run(parser: ArgumentParser) -> None:
    _describe(
        parser,
        """Start a run without the app. Progress goes to stderr; when the run ends, its summary goes to stdout as one
        JSON object.

        The first Ctrl-C stops the run as soon as each agent reaches a safe point, the second one immediately. Either
        way `swarm-tui resume` continues it.""",
    )
    _repo(parser)
    parser.add_argument(
        "--intent", required=True, metavar="FILE", help="the text that says what you want; - reads it from stdin"
    )
    parser.add_argument("--json", action="store_true", help="print every event as a line of JSON, then the summary")
    common(parser)


def resume(parser: ArgumentParser) -> None:
    _describe(
        parser,
        """Continue a run that was stopped, killed or cut off by a crash, without the app. Options given here replace
        the run's settings, for example a budget that was reached. To continue in the app: swarm-tui REPO.""",
    )
    parser.add_argument(
        "run",
        nargs="?",
        default="",
        metavar="RUN",
        help="a run (default: the newest unfinished run of this repository, or else of all)",
    )
    parser.add_argument("--json", action="store_true", help="print every event as a line of JSON, then the summary")
    common(parser)


def attach(parser: ArgumentParser) -> None:
    _describe(
        parser,
        """Open the app on a run that another process owns, for example one that you detached from. You can steer
        it as if it ran in the app.""",
    )
    _run_id(parser)
    parser.add_argument("--theme", metavar="THEME", help="the app's theme")
    state_dir(parser.add_argument)


def replay(parser: ArgumentParser) -> None:
    _describe(
        parser,
        """Open the app on a run's journal, and play the run back from any moment. Live runs can be replayed too.
        Nothing runs and nothing is written.""",
    )
    _run_id(parser)
    parser.add_argument(
        "--until",
        default="",
        metavar="MOMENT",
        help="start here, or with --headless stop here: an event number, a time, 1h30m (since the start), 50%% "
        "or an agent's path (default: the start, or with --headless the end)",
    )
    parser.add_argument("--headless", action="store_true", help="print the run's state at that moment as JSON")
    parser.add_argument("--theme", metavar="THEME", help="the app's theme")
    state_dir(parser.add_argument)


def report(parser: ArgumentParser) -> None:
    _describe(
        parser,
        """Print what a run's journal says about it: throughput, cost by role and subtree, wasted tokens, merge
        conflicts and the files they are in, where agents' time went, slow steps and repeated failures.""",
    )
    _run_id(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    state_dir(parser.add_argument)


def archive(parser: ArgumentParser) -> None:
    _describe(
        parser,
        """Move large old event bodies out of a run's journal into a file beside it. Replay and export still read
        them.""",
    )
    _run_id(parser, "a run that is not live")
    parser.add_argument("--until", default="", metavar="MOMENT", help="archive events up to this moment (default: all)")
    state_dir(parser.add_argument)


def ask(parser: ArgumentParser) -> None:
    _describe(
        parser,
        """Ask a model about a run. It reads the run's journal through read-only SQL, and the prompts, and
        explains what happened. The answer goes to stdout, its queries and its cost to stderr.""",
    )
    _run_id(parser)
    parser.add_argument("question", metavar="QUESTION", help="a question in plain words")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="PROVIDER:NAME",
        help="the model that answers (default: the planner's)",
    )
    _timeout(parser)
    state_dir(parser.add_argument)


def runs(parser: ArgumentParser) -> None:
    _describe(parser, "List all runs, newest first.")
    parser.add_argument("--json", action="store_true", help="print each run as a line of JSON")
    state_dir(parser.add_argument)


def send(parser: ArgumentParser) -> None:
    _describe(
        parser,
        """Send a command to a live run from another terminal or a script. Exits when the run has recorded it.""",
    )
    widest = max(len(written) for written, _ in VERBS)
    parser.epilog = "\n".join(("verbs:", *(f"  {written:<{widest}}  {does}" for written, does in VERBS)))
    _run_id(parser, "a live run")
    parser.add_argument("verb", metavar="VERB", help="what to do; see the verbs below")
    parser.add_argument(
        "rest", nargs="*", metavar="ARGUMENT", help="usually an agent's path, such as root/parser, and a text or number"
    )
    parser.add_argument("--freeze", action="store_true", help="with pause: suspend running commands immediately")
    parser.add_argument(
        "--scope", default="", metavar="GLOBS", help="with rescope: the files its changes should stay in"
    )
    state_dir(parser.add_argument)


def export(parser: ArgumentParser) -> None:
    _describe(
        parser,
        "Write a run's whole journal, its events, handoffs and messages, as lines of JSON or as OpenTelemetry spans.",
    )
    _run_id(parser)
    parser.add_argument("--out", default="-", metavar="FILE", help="the file to write (default: stdout)")
    parser.add_argument(
        "--format",
        choices=("jsonl", "otel"),
        default="jsonl",
        help="jsonl: events as lines of JSON; otel: OpenTelemetry spans as lines of OTLP (default: jsonl)",
    )
    state_dir(parser.add_argument)


def doctor(parser: ArgumentParser) -> None:
    _describe(
        parser,
        """Check this machine, your settings and a repository: Python, git, disk, sandbox, API keys, models and
        terminal. Every warning comes with a hint. The exit status is 2 if no swarm can run here, else 0.""",
    )
    _repo(parser, "the repository to check")
    parser.add_argument(
        "--probe",
        action="store_true",
        help="also ask each model one short question, for at most a minute, and say what its speed means for a run",
    )
    common(parser)


def init(parser: ArgumentParser) -> None:
    _describe(
        parser,
        """Write two files to start from: swarm.toml, with every setting, its default and a comment, and INTENT.md,
        an example intent to replace. Existing files are never overwritten.""",
    )
    _repo(parser)


def lint_intent(parser: ArgumentParser) -> None:
    _describe(
        parser,
        """Check an intent for what is vague or missing, before it costs money. A model reads it if one is
        configured; without one, fixed rules do. The exit status is 1 if there are remarks, else 0.""",
    )
    parser.add_argument("file", metavar="FILE", help="an intent; - reads it from stdin")
    parser.add_argument("--rules", action="store_true", help="use the rules even if there is a model")
    _timeout(parser)
    common(parser)


def completion(parser: ArgumentParser) -> None:
    _describe(
        parser,
        "Print a script that completes commands, options, run ids, samples, themes and topics in your shell.",
    )
    parser.epilog = COMPLETION
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish")
    parser.add_argument("--values", choices=("runs", "samples", "themes", "topics"), help=SUPPRESS)


def help_topic(parser: ArgumentParser) -> None:
    _describe(
        parser,
        """Show a page of the documentation through your pager ($PAGER, or else less or more), or list all pages. For
        the name of a command, show its options.""",
    )
    parser.add_argument("topic", nargs="?", default="", metavar="TOPIC", help="a page or a command (default: list all)")
    parser.add_argument("--man", action="store_true", help="print the man page: swarm-tui help --man | man -l -")
