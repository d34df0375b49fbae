"""Realistic swarms of any size as events: planners, workers, tasks, landings, handoffs, checks, samples."""

from random import Random

from engine.domain import events as e
from engine.domain.conversation import Message, StopReason, Text
from engine.domain.resource_use import Sample
from engine.domain.types import (
    Agent,
    AgentId,
    AgentPath,
    AgentState,
    CallId,
    Check,
    CommitId,
    Handoff,
    HandoffId,
    HandoffStatus,
    HandoffText,
    Intent,
    Landing,
    LandingId,
    LandingState,
    ModelName,
    Role,
    RunId,
    Task,
    TaskId,
    TaskSpec,
    ToolCallState,
    Usage,
)
from engine.state.snapshot import Snapshot
from tests.tui.fake_session import FakeSession, conversation
from tui.format.view import RunCounts
from tui.sessions.session import LiveAgent

INTENT = """# Markdown converter

Build a Markdown to HTML converter in Python without dependencies.

- CommonMark's blocks and inlines, tables as an extension
- a command line: `mdconv FILE`
- every feature has tests; `make test` passes
"""
SLICES = ("blocks", "inlines", "tables", "cli", "html", "lexer", "docs", "bench")
TITLES = (
    "Lex numbers and identifiers",
    "Parse fenced code blocks",
    "Escape HTML in code spans",
    "Nested lists keep their indent",
    "Reference links resolve lazily",
    "Tables align their columns",
    "Emphasis follows the delimiter rules",
    "The command line reads from stdin",
    "Headings get stable anchors",
    "Hard breaks and soft breaks",
)
DOING = (
    "shell pytest -q tests/test_blocks.py",
    "read_file src/mdconv/inlines.py",
    "edit_file src/mdconv/blocks.py",
    "search def parse_",
    "write_file tests/test_tables.py",
    "list_files src",
)
CONCERNS = "The delimiter stack is shared between emphasis and links; a change in one breaks the other easily."
PATCH = """diff --git a/src/mdconv/blocks.py b/src/mdconv/blocks.py
index 8a1c2d4..b7e9f01 100644
--- a/src/mdconv/blocks.py
+++ b/src/mdconv/blocks.py
@@ -12,9 +12,14 @@ class BlockParser:
     def __init__(self, source: str) -> None:
         self.lines = source.splitlines()
         self.at = 0
-        self.open = []
+        self.open: list[Block] = []

     def fence(self, line: str) -> Block | None:
-        if line.startswith("```"):
-            return Code(line[3:].strip())
+        match = FENCE.match(line)
+        if match is None:
+            return None
+        indent, fence, info = match.groups()
+        if "`" in info and fence[0] == "`":
+            return None
+        return Code(info.strip(), fence, len(indent))
@@ -80,4 +85,5 @@ def parse(source: str) -> Document:
     parser = BlockParser(source)
     while parser.more():
         parser.step()
+    parser.close_all()
     return parser.document
diff --git a/tests/test_fences.py b/tests/test_fences.py
new file mode 100644
index 0000000..4d0b1aa
--- /dev/null
+++ b/tests/test_fences.py
@@ -0,0 +1,6 @@
+from mdconv import convert
+
+
+def test_a_tilde_fence_may_hold_backticks() -> None:
+    assert "```" in convert("~~~\\n```\\n~~~")
+
"""


LIVE = LiveAgent(
    said="The fence regex misses tildes. I add a case for them and run the tests again.\n",
    call="shell pytest -q tests/test_blocks.py",
    output="..........F....                                                          [ 41%]\n",
    running=True,
    since=1_800_000_000_000_000,
)


def commit(number: int) -> CommitId:
    return CommitId(f"{number * 7919 + 0xABC:040x}"[::-1])


def begin(session: FakeSession, *, model: str = "rehearsal:markdown") -> AgentId:
    """A run with an intent and its root planner."""
    models = dict.fromkeys(("planner", "worker"), ModelName(model))
    session.record(
        e.RunCreated(RunId("r-4kq2"), "/home/me/src/mdconv", "main", commit(0), "make test", models, "{}", "0.1.0")
    )
    session.record(e.EpochStarted(4711, "namespaced", "overlay"))
    session.record(e.WorkersLimited(16, "settings"))
    session.record(e.IntentVersioned(Intent(1, session.at, "person", INTENT)))
    return spawn(session, "root", None, Role.PLANNER, "the whole intent", model=model)


def left(session: FakeSession) -> int:
    """How many agents have left memory."""
    return sum(sum(each.agents.values()) for each in session.run.retired.values())


def spawn(
    session: FakeSession,
    path: str,
    parent: AgentId | None,
    role: Role,
    title: str,
    *,
    task: TaskId | None = None,
    model: str = "rehearsal:markdown",
) -> AgentId:
    id = AgentId(f"a{(len(session.run.agents) + left(session)):05}")
    agent = Agent(
        id,
        AgentPath(path),
        parent,
        role,
        ModelName(model),
        title,
        goal=title,
        task=task,
        attempt=1,
        spawned_at=session.at,
    )
    session.record(e.AgentSpawned(agent), agent=id, task=task)
    return id


def turn(session: FakeSession, agent: AgentId, tokens: int, text: str = "I look at the failing test first.") -> None:
    usage = Usage(tokens, tokens * 4 // 5, tokens // 20, tokens * 2e-6)
    message = Message("assistant", (Text(text),))
    session.record(
        e.TurnTaken(ModelName("rehearsal:markdown"), None, (), message, StopReason.TOOLS, usage, "worker@1", 1.2),
        agent=agent,
    )


def task(session: FakeSession, planner: AgentId, title: str, goal: str = "") -> TaskId:
    id = TaskId(f"t{session.run.task_counts.total():05}")
    spec = TaskSpec(title, goal or f"{title}. The tests say exactly how.", "src/**, tests/**", "`make test` passes")
    session.record(e.TaskQueued(Task(id, spec, planner, 1, queued_at=session.at)), agent=planner, task=id)
    return id


def work(session: FakeSession, worker: AgentId, id: TaskId, doing: str, tokens: int) -> None:
    session.record(e.TaskStarted(worker, 1), agent=worker, task=id)
    turn(session, worker, tokens)
    state = AgentState.ACTING if doing.startswith(("shell", "edit", "write")) else AgentState.THINKING
    session.record(e.AgentStateChanged(state, doing), agent=worker)


def land(
    session: FakeSession, worker: AgentId, id: TaskId, *, state: LandingState = LandingState.MERGED, concerns: str = ""
) -> None:
    """A worker lands and hands off."""
    text = HandoffText(HandoffStatus.DONE, "Done as asked, with tests for each case.", concerns=concerns)
    number = session.run.handoff_count + 1
    landing = LandingId(f"l{number:05}")
    session.record(e.LandingStarted(landing, commit(number), text), agent=worker, task=id)
    paths = ("src/mdconv/blocks.py", "tests/test_blocks.py")
    session.record(
        e.LandingFinished(Landing(landing, session.at, id, worker, state, session.run.trunk, commit(number), paths)),
        agent=worker,
        task=id,
    )
    session.record(e.TaskEnded("landed", commit=commit(number)), agent=worker, task=id)
    hand_off(session, worker, id, text, state)
    session.record(e.AgentStateChanged(AgentState.DONE), agent=worker)


def hand_off(
    session: FakeSession, agent: AgentId, id: TaskId | None, text: HandoffText, landing: LandingState | None
) -> None:
    number = session.run.handoff_count + 1
    handoff = Handoff(
        HandoffId(f"h{number:05}"), session.at, id, agent, session.run.agents[agent].parent, text, landing,
        commit(number) if landing else None, 1,
    )  # fmt: skip
    session.record(e.HandedOff(handoff), agent=agent, task=id)


def fail(session: FakeSession, worker: AgentId, id: TaskId) -> None:
    text = HandoffText(
        HandoffStatus.FAILED,
        "The same command gave the same answer six times.",
        concerns="The fixture server never answers inside the sandbox: its port is closed there.",
        findings="tests/conftest.py starts a server on port 8080.",
        feedback="Say in the task whether the network is there.",
    )
    session.record(e.TaskEnded("failed", reason="six repeats"), agent=worker, task=id)
    session.record(e.AgentStateChanged(AgentState.FAILED, reason="the same call six times"), agent=worker)
    hand_off(session, worker, id, text, None)


def sample(session: FakeSession, random: Random) -> None:
    gib = 1 << 30
    session.record(
        e.Sampled(
            Sample(
                memory=int((2.4 + random.random()) * gib), memory_free=int(12.5 * gib),
                disk_read=random.random() * 3e6, disk_write=random.random() * 2e7, disk_free=int(81.3 * gib),
                cpu=40 + 50 * random.random(), cpu_pressure=12.0, processes=34 + random.randrange(20),
                building=2, gate_waiting=3, contention=18 + 10 * random.random(), model_calls=9 + random.randrange(5),
            )
        )
    )  # fmt: skip


def small(agents: int = 40, *, seed: int = 1) -> FakeSession:
    """A busy swarm: some agents work, some landed, one failed, one has a concern, one subtree is paused."""
    return swarm(agents, seed=seed)


def swarm(agents: int, *, seed: int = 1, slices: int = 5) -> FakeSession:
    """A swarm of that many agents, three fifths of them done."""
    random = Random(seed)
    session = FakeSession()
    root = begin(session)
    turn(session, root, 8000, "I split the converter by its parts.")
    planners = [
        spawn(
            session,
            f"root/{SLICES[i % len(SLICES)]}{i // len(SLICES) or ''}",
            root,
            Role.PLANNER,
            f"{SLICES[i % len(SLICES)]}: all of it",
        )
        for i in range(max(slices, agents // 120))
    ]
    planners.append(spawn(session, "root/blocks/lists", planners[0], Role.PLANNER, "lists in lists"))
    for planner in planners:
        turn(session, planner, 5000)
        session.record(e.AgentStateChanged(AgentState.WAITING, "waits for handoffs"), agent=planner)
        session.record(
            e.ScratchpadRewritten(1, "# Where I am\n\nThe parser comes first, then its tests."), agent=planner
        )
    session.record(e.AgentStateChanged(AgentState.WAITING, "waits for handoffs"), agent=root)
    counts = dict.fromkeys(planners, 0)
    for index in range(max(0, agents - (len(session.run.agents) + left(session)))):
        planner = planners[index % len(planners)]
        counts[planner] += 1
        title = TITLES[index % len(TITLES)]
        id = task(session, planner, title)
        path = f"{session.run.agents[planner].path}/w-{counts[planner]}"
        worker = spawn(session, path, planner, Role.WORKER, title, task=id)
        work(session, worker, id, DOING[index % len(DOING)], random.randrange(3000, 60000))
        if index % 10 == 9:
            sample(session, random)
            session.at += 4_000_000
        if index == 7:
            fail(session, worker, id)
        elif index % 5 < 3 and index < agents - 12:
            land(session, worker, id, concerns=CONCERNS if index == 11 else "")
        else:
            session.patches[worker] = PATCH
            session.said[worker] = conversation()
            session.live[worker] = LIVE
            session.record(e.ToolStarted(CallId(f"c{index}"), "shell", "{}", True, "pytest -q"), agent=worker, task=id)
            if index % 4 == 0:
                session.record(
                    e.ToolFinished(CallId(f"c{index}"), "shell", ToolCallState.ERROR, "exit 1 after 2.1 s"),
                    agent=worker,
                    task=id,
                )
        if index % 25 == 24:
            session.record(e.CheckFinished(Check(session.at, session.run.trunk, index % 50 != 49, 0, "", 12.5)))
            session.record(e.GreenMoved(session.run.trunk))
    for number in range(4):
        task(session, planners[number % len(planners)], TITLES[number])
    session.record(e.CheckFinished(Check(session.at, session.run.trunk, True, 0, "", 12.5)))
    session.record(e.GreenMoved(session.run.trunk))
    session.record(e.SubtreePaused(), agent=planners[2])
    session.at += 9_000_000
    return session


def run_counts(run: Snapshot) -> RunCounts:
    counts = RunCounts()
    counts.update(run)
    return counts
