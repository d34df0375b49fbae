"""A line of the agent tree: its columns at every width, and what they show."""

import pytest
from msgspec.structs import replace

from engine.domain.types import AgentPath, AgentState, Role
from tests.tui.swarms import run_counts, small
from tui.format.agent_row import SILENT, agent_line, column_heads, columns
from tui.format.text import width_of
from tui.format.tree_rows import Row, flatten
from tui.format.view import SubtreeTotals


@pytest.mark.parametrize("cells", [58, 78, 98, 128, 198, 298])
def test_every_line_and_the_headings_have_the_width_of_the_pane(cells: int) -> None:
    run = small().run
    counts = run_counts(run)
    assert width_of(column_heads(cells)) == cells
    for row in flatten(run, counts):
        agent = run.agents[row.agent]
        line = agent_line(row, agent, counts.totals[agent.id], marked=False, now=run.at, cells=cells)
        assert width_of(line) == cells


def test_a_narrow_line_still_shows_state_activity_tokens_cost_and_idle_time() -> None:
    run = small().run
    agent = next(a for a in run.agents.values() if a.state is AgentState.ACTING)
    row = Row(agent.id, 2, parent=False, folded=False)
    below = run_counts(run).totals[agent.id]
    text = "".join(span.text for span in agent_line(row, agent, below, marked=True, now=run.at, cells=58))
    for word in ("◆", "▶", "acting", "shell", "k ", "$0.", "s"):
        assert word in text
    assert text.rstrip()[-1] == "s"


@pytest.mark.parametrize("cells", [58, 160])
def test_a_planner_shows_open_landed_and_failed_tasks_of_its_subtree(cells: int) -> None:
    run = small().run
    root = run.agents[run.root or ""]  # type: ignore[index]
    row = Row(root.id, 0, parent=True, folded=False)
    line = agent_line(row, root, SubtreeTotals(open=12, landed=345, failed=6), marked=False, now=run.at, cells=cells)
    told = [span.text.strip(" ○✓✗") for span in line]
    assert {"12", "345", "6"} <= set(told)


def test_wide_and_combining_characters_keep_the_columns() -> None:
    run = small().run
    agent = next(a for a in run.agents.values() if a.role is Role.WORKER)
    row = Row(agent.id, 1, parent=False, folded=False)
    for name in ("漢字かな交じり文" * 4, "e\u0301" * 30, "👩‍👩‍👧‍👦🇩🇪👍🏽" * 5, "\u202eabc" * 9):
        strange = replace(agent, path=AgentPath(f"root/{name}"), title=name, doing=f"shell {name}")
        line = agent_line(row, strange, SubtreeTotals(), marked=False, now=run.at, cells=80)
        assert width_of(line) == 80


def test_a_working_agent_without_a_step_for_minutes_is_highlighted() -> None:
    run = small().run
    agent = next(a for a in run.agents.values() if a.state is AgentState.ACTING)
    row = Row(agent.id, 1, parent=False, folded=False)
    fresh = agent_line(row, agent, SubtreeTotals(), marked=False, now=agent.stepped_at, cells=80)[-1]
    stale = agent_line(row, agent, SubtreeTotals(), marked=False, now=agent.stepped_at + SILENT + 1, cells=80)[-1]
    assert (fresh.style, stale.style) == ("dim", "paused bold")


def test_a_wide_pane_has_columns_for_task_counts() -> None:
    assert columns(58).tasks == 0
    assert columns(160).tasks > 0
