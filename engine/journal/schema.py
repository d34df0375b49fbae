"""The tables of a journal: `events` is the source of truth, the others make it easy to query with SQL."""

APPLICATION_ID = 0x53574A31
"""Identifies a journal among SQLite files (`PRAGMA application_id`); "SWJ1" in ASCII."""

_FIRST = """
CREATE TABLE events (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, epoch INTEGER NOT NULL, kind TEXT NOT NULL,
  agent TEXT, task TEXT, cause INTEGER, body TEXT NOT NULL
);
CREATE INDEX events_of_agent ON events (agent) WHERE agent IS NOT NULL;
CREATE INDEX events_of_kind ON events (kind);
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
  BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
  BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_have_no_holes BEFORE INSERT ON events
  WHEN NEW.seq <> coalesce((SELECT max(seq) FROM events), 0) + 1
  BEGIN SELECT RAISE(ABORT, 'events are numbered from 1 without holes'); END;

-- Strings over 4 KB. An event's body refers to them as "blob:HASH:SIZE", or "json:HASH:SIZE" for raw JSON.
CREATE TABLE blobs (hash TEXT PRIMARY KEY, codec TEXT NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL)
  WITHOUT ROWID;

CREATE TABLE runs (
  id TEXT PRIMARY KEY, repo TEXT NOT NULL, branch TEXT NOT NULL, base TEXT NOT NULL, check_command TEXT NOT NULL,
  models TEXT NOT NULL, settings TEXT NOT NULL, version TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'running', reason TEXT NOT NULL DEFAULT '', exit_status INTEGER,
  epoch INTEGER NOT NULL DEFAULT 0, pid INTEGER, sandbox_level TEXT NOT NULL DEFAULT '',
  copy_method TEXT NOT NULL DEFAULT '', workers_limit INTEGER, workers_limit_by TEXT NOT NULL DEFAULT '',
  trunk TEXT NOT NULL, green TEXT, green_at INTEGER, published TEXT, left_alone TEXT NOT NULL DEFAULT '',
  agents INTEGER NOT NULL DEFAULT 0, landed INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0, handoffs INTEGER NOT NULL DEFAULT 0,
  checks_passed INTEGER NOT NULL DEFAULT 0, checks_failed INTEGER NOT NULL DEFAULT 0,
  model_calls INTEGER NOT NULL DEFAULT 0, retries INTEGER NOT NULL DEFAULT 0,
  input_tokens INTEGER NOT NULL DEFAULT 0, cached_tokens INTEGER NOT NULL DEFAULT 0,
  output_tokens INTEGER NOT NULL DEFAULT 0, usd REAL DEFAULT 0.0,
  created INTEGER NOT NULL, epoch_at INTEGER, worked INTEGER NOT NULL DEFAULT 0, ended INTEGER
);
CREATE TABLE intents (version INTEGER PRIMARY KEY, at INTEGER NOT NULL, author TEXT NOT NULL, text TEXT NOT NULL);
CREATE TABLE agents (
  id TEXT PRIMARY KEY, path TEXT NOT NULL, parent TEXT, role TEXT NOT NULL, model TEXT NOT NULL,
  title TEXT NOT NULL, goal TEXT NOT NULL, scope TEXT NOT NULL, task TEXT, attempt INTEGER NOT NULL,
  state TEXT NOT NULL, doing TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', paused INTEGER NOT NULL DEFAULT 0,
  priority INTEGER NOT NULL DEFAULT 0, intent INTEGER NOT NULL, epoch INTEGER NOT NULL,
  steps INTEGER NOT NULL DEFAULT 0, tokens_in_context INTEGER NOT NULL DEFAULT 0,
  input_tokens INTEGER NOT NULL DEFAULT 0, cached_tokens INTEGER NOT NULL DEFAULT 0,
  output_tokens INTEGER NOT NULL DEFAULT 0, usd REAL DEFAULT 0.0,
  spawned INTEGER NOT NULL, stepped INTEGER, ended INTEGER,
  tokens INTEGER GENERATED ALWAYS AS (input_tokens + output_tokens) VIRTUAL
);
CREATE INDEX agents_of_parent ON agents (parent);
CREATE TABLE tasks (
  id TEXT PRIMARY KEY, title TEXT NOT NULL, goal TEXT NOT NULL, scope TEXT NOT NULL, acceptance TEXT NOT NULL,
  priority INTEGER NOT NULL, kind TEXT NOT NULL, planner TEXT NOT NULL, state TEXT NOT NULL,
  attempt INTEGER NOT NULL, failures INTEGER NOT NULL, losses INTEGER NOT NULL, conflicts INTEGER NOT NULL,
  intent INTEGER NOT NULL, agent TEXT, commit_oid TEXT, reason TEXT NOT NULL,
  queued INTEGER NOT NULL, started INTEGER, not_before INTEGER NOT NULL, ended INTEGER
);
CREATE INDEX tasks_of_planner ON tasks (planner);
CREATE INDEX tasks_of_agent ON tasks (agent);
CREATE TABLE handoffs (
  id TEXT PRIMARY KEY, at INTEGER NOT NULL, task TEXT, agent TEXT NOT NULL, to_agent TEXT, status TEXT NOT NULL,
  summary TEXT NOT NULL, notes TEXT NOT NULL, concerns TEXT NOT NULL, deviations TEXT NOT NULL,
  findings TEXT NOT NULL, feedback TEXT NOT NULL, landing TEXT, commit_oid TEXT, intent INTEGER NOT NULL,
  by_engine INTEGER NOT NULL
);
CREATE INDEX handoffs_of_agent ON handoffs (agent);
-- `state` is null while the landing is under way.
CREATE TABLE landings (
  id TEXT PRIMARY KEY, task TEXT NOT NULL, agent TEXT NOT NULL, state TEXT, base TEXT, commit_oid TEXT,
  change TEXT, paths TEXT NOT NULL DEFAULT '[]', conflicts TEXT NOT NULL DEFAULT '[]',
  reason TEXT NOT NULL DEFAULT '', started INTEGER, at INTEGER
);
CREATE INDEX landings_of_task ON landings (task);
-- Messages to agents: waiting until a turn has consumed them.
CREATE TABLE inbox (
  id TEXT PRIMARY KEY, at INTEGER NOT NULL, agent TEXT NOT NULL, source TEXT NOT NULL, handoff TEXT,
  text TEXT NOT NULL, size INTEGER NOT NULL, consumed INTEGER
);
-- The conversations. role: user, assistant, tool. source: who spoke (opening, intent, handoff, steer, ..., model,
-- tool, summary). text: the first 4 KB; `blob` has the whole when `size` bytes are more. calls: the tools asked for.
CREATE TABLE messages (
  id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, at INTEGER NOT NULL, agent TEXT NOT NULL, role TEXT NOT NULL,
  source TEXT NOT NULL, tool TEXT, call TEXT, state TEXT, text TEXT NOT NULL, size INTEGER NOT NULL, blob TEXT,
  calls TEXT NOT NULL DEFAULT '[]'
);
CREATE INDEX messages_of_agent ON messages (agent);
-- `answer` is the message that has the answer's text; `arguments` has the first 4 KB, `arguments_blob` the whole.
CREATE TABLE tool_calls (
  seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, id TEXT NOT NULL, agent TEXT NOT NULL, task TEXT,
  tool TEXT NOT NULL, state TEXT NOT NULL,
  target TEXT NOT NULL, writes INTEGER, arguments TEXT NOT NULL, arguments_size INTEGER NOT NULL, arguments_blob TEXT,
  answer INTEGER, answer_size INTEGER, paths TEXT NOT NULL DEFAULT '[]',
  started INTEGER NOT NULL, ended INTEGER, wall_s REAL, gate_wait_s REAL
);
CREATE INDEX tool_calls_of_agent ON tool_calls (agent);
CREATE INDEX tool_calls_open ON tool_calls (agent, id) WHERE ended IS NULL;
CREATE TABLE scratchpads (
  agent TEXT NOT NULL, version INTEGER NOT NULL, at INTEGER NOT NULL, text TEXT NOT NULL, size INTEGER NOT NULL,
  blob TEXT, PRIMARY KEY (agent, version)
) WITHOUT ROWID;
-- Every check of trunk; `moved` is when green was moved to that commit because of it.
CREATE TABLE greens (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, commit_oid TEXT NOT NULL, passed INTEGER NOT NULL, exit INTEGER,
  wall_s REAL, output TEXT NOT NULL, size INTEGER NOT NULL, blob TEXT, moved INTEGER
);
CREATE INDEX greens_of_commit ON greens (commit_oid);
CREATE TABLE samples (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, memory INTEGER, memory_free INTEGER, disk_read REAL, disk_write REAL,
  disk_free INTEGER, cpu REAL, cpu_pressure REAL, memory_pressure REAL, io_pressure REAL, processes INTEGER,
  building INTEGER, gate_waiting INTEGER, contention REAL, model_calls INTEGER, rate_limited_s REAL
);
CREATE INDEX samples_by_time ON samples (at);

CREATE VIEW task_board AS
  SELECT t.id, t.title, t.state, t.attempt, p.path AS planner, a.path AS worker, a.model, a.steps, a.tokens, a.usd,
         (coalesce(t.ended, (SELECT at FROM events ORDER BY seq DESC LIMIT 1)) - t.queued) / 1e6 AS age_s, t.reason
  FROM tasks t LEFT JOIN agents p ON p.id = t.planner LEFT JOIN agents a ON a.id = t.agent;
CREATE VIEW tool_times AS
  SELECT tool, count(*) AS calls, sum(state = 'error') AS errors, sum(state = 'interrupted') AS interrupted,
         sum(wall_s) AS wall_s, max(wall_s) AS longest_s, sum(gate_wait_s) AS gate_wait_s
  FROM tool_calls GROUP BY tool;
CREATE VIEW landings_per_minute AS
  SELECT strftime('%Y-%m-%dT%H:%MZ', at / 60000000 * 60, 'unixepoch') AS minute,
         sum(state IN ('merged', 'resolved')) AS landed, sum(state = 'conflicted') AS conflicted
  FROM landings WHERE state IS NOT NULL GROUP BY at / 60000000;
"""

# Checkpoints: the state after event `seq` as hashes of blobs, made by the fold that `made_by` identifies. And blobs
# that were moved into a file beside the journal.
_SECOND = """
CREATE TABLE checkpoints (seq INTEGER PRIMARY KEY, made_by TEXT NOT NULL, parts TEXT NOT NULL);
CREATE TABLE archived (
  hash TEXT PRIMARY KEY, codec TEXT NOT NULL, size INTEGER NOT NULL, file TEXT NOT NULL, place INTEGER NOT NULL,
  length INTEGER NOT NULL
) WITHOUT ROWID;
"""

# A check's purpose and failing tests. Breaks of trunk: one of `suspects` is the landing that broke `tip`; `tasks`
# landed them.
_THIRD = """
ALTER TABLE greens ADD COLUMN purpose TEXT NOT NULL DEFAULT 'snapshot';
ALTER TABLE greens ADD COLUMN failing INTEGER;
ALTER TABLE greens ADD COLUMN failed_tests TEXT NOT NULL DEFAULT '[]';
CREATE TABLE breaks (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, planner TEXT, tip TEXT NOT NULL, suspects TEXT NOT NULL,
  tasks TEXT NOT NULL, checks INTEGER NOT NULL
);
CREATE VIEW error_rate_per_hour AS
  SELECT strftime('%Y-%m-%dT%HZ', at / 1000000, 'unixepoch') AS hour, count(*) AS snapshots, sum(NOT passed) AS failed,
         round(avg(NOT passed), 4) AS error_rate, max(failing) AS most_failing
  FROM greens WHERE purpose = 'snapshot' GROUP BY at / 3600000000;
"""

# Agents' pathologies; their pivots, with the reason and the version of the scratchpad.
_FOURTH = """
ALTER TABLE tasks ADD COLUMN cancelled_under INTEGER NOT NULL DEFAULT 0;
CREATE TABLE pathologies (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, agent TEXT NOT NULL, pathology TEXT NOT NULL, times INTEGER NOT NULL,
  remedy TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE pivots (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, agent TEXT NOT NULL, reason TEXT NOT NULL, scratchpad INTEGER NOT NULL
);
"""

_FIFTH = """
-- What each agent's commands used at a moment: bytes, bytes a second, percent of a core; waits over the last minute.
CREATE TABLE agent_samples (
  seq INTEGER NOT NULL, at INTEGER NOT NULL, agent TEXT NOT NULL, memory INTEGER, cpu REAL, disk_read REAL,
  disk_write REAL, processes INTEGER, gate_s REAL, lock_s REAL, build_s REAL, PRIMARY KEY (seq, agent)
) WITHOUT ROWID;
CREATE INDEX agent_samples_of_agent ON agent_samples (agent);
CREATE VIEW samples_per_minute AS
  SELECT strftime('%Y-%m-%dT%H:%MZ', at / 60000000 * 60, 'unixepoch') AS minute, count(*) AS samples,
         max(memory) AS memory, min(memory_free) AS memory_free, avg(disk_read) AS disk_read,
         avg(disk_write) AS disk_write, min(disk_free) AS disk_free, avg(cpu) AS cpu, avg(cpu_pressure) AS cpu_pressure,
         avg(memory_pressure) AS memory_pressure, avg(io_pressure) AS io_pressure, max(processes) AS processes,
         avg(building) AS building, avg(gate_waiting) AS gate_waiting, avg(contention) AS contention
  FROM samples GROUP BY at / 60000000;
CREATE VIEW subtree_use AS
  SELECT p.path, s.seq, s.at, sum(s.memory) AS memory, sum(s.cpu) AS cpu, sum(s.disk_read) AS disk_read,
         sum(s.disk_write) AS disk_write, sum(s.processes) AS processes,
         min(100.0, 100.0 * (sum(s.gate_s) + sum(s.lock_s)) / nullif(sum(s.gate_s) + sum(s.build_s), 0)) AS contention
  FROM agents p JOIN agents a ON a.path = p.path OR a.path LIKE p.path || '/%' JOIN agent_samples s ON s.agent = a.id
  WHERE p.role = 'planner' GROUP BY p.id, s.seq;
"""

# When a person resolved a handoff.
_SIXTH = """
ALTER TABLE handoffs ADD COLUMN resolved INTEGER;
"""

# The limit of workers at work below a planner; null: only the run's own limit.
_SEVENTH = """
ALTER TABLE agents ADD COLUMN workers_limit INTEGER;
"""

# Totals of model and tool calls, agents' pauses, and indexes for the screens' queries.
_EIGHTH = """
-- Calls that were answered. `build`: commands that passed the build gate; `index_locked`: those that found git's index
-- locked.
CREATE TABLE tool_use (
  tool TEXT NOT NULL, build INTEGER NOT NULL, calls INTEGER NOT NULL, errors INTEGER NOT NULL,
  interrupted INTEGER NOT NULL, index_locked INTEGER NOT NULL, wall_s REAL NOT NULL, gate_wait_s REAL NOT NULL,
  longest_s REAL NOT NULL, PRIMARY KEY (tool, build)
) WITHOUT ROWID;
-- Turns that were taken, by the version of the prompt; `priced` of the calls have a price, whose sum is `usd`.
CREATE TABLE prompt_use (
  agent TEXT NOT NULL, prompt TEXT NOT NULL, task TEXT NOT NULL, calls INTEGER NOT NULL, priced INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, usd REAL NOT NULL,
  wall_s REAL NOT NULL, PRIMARY KEY (agent, prompt, task)
) WITHOUT ROWID;
-- What went wrong with tools and commands, without what differs from time to time.
CREATE TABLE failures (
  tool TEXT NOT NULL, error TEXT NOT NULL, agent TEXT NOT NULL, times INTEGER NOT NULL,
  PRIMARY KEY (tool, error, agent)
) WITHOUT ROWID;
-- The slowest model calls and, where there is a `tool`, tool calls; no more than 20.
CREATE TABLE slow_steps (
  seq INTEGER PRIMARY KEY, agent TEXT NOT NULL, tool TEXT NOT NULL, call TEXT NOT NULL, wall_s REAL NOT NULL
);
CREATE INDEX slow_steps_by_time ON slow_steps (wall_s, seq DESC);
CREATE TRIGGER slow_steps_are_few AFTER INSERT ON slow_steps
  WHEN (SELECT count(*) FROM slow_steps) > 20
  BEGIN DELETE FROM slow_steps WHERE seq = (SELECT seq FROM slow_steps ORDER BY wall_s, seq DESC LIMIT 1); END;
-- `until` is null while the agent is paused.
CREATE TABLE pauses (seq INTEGER PRIMARY KEY, agent TEXT NOT NULL, at INTEGER NOT NULL, until INTEGER);
CREATE INDEX pauses_open ON pauses (agent) WHERE until IS NULL;
CREATE INDEX inbox_of_handoff ON inbox (handoff) WHERE handoff IS NOT NULL;
CREATE INDEX tasks_of_intent ON tasks (intent, state);
CREATE INDEX tasks_moot ON tasks (cancelled_under, intent) WHERE cancelled_under > 0;
CREATE INDEX agents_of_path ON agents (path);
CREATE INDEX agents_planning ON agents (intent) WHERE role = 'planner' AND ended IS NULL;
DROP VIEW tool_times;
CREATE VIEW tool_times AS
  SELECT tool, sum(calls) AS calls, sum(errors) AS errors, sum(interrupted) AS interrupted, sum(wall_s) AS wall_s,
         max(longest_s) AS longest_s, sum(gate_wait_s) AS gate_wait_s
  FROM tool_use GROUP BY tool;
DROP TRIGGER events_have_no_holes;
CREATE TRIGGER events_have_no_holes BEFORE INSERT ON events
  WHEN NEW.seq <> coalesce((SELECT seq FROM events ORDER BY seq DESC LIMIT 1), 0) + 1
  BEGIN SELECT RAISE(ABORT, 'events are numbered from 1 without holes'); END;
"""

# Whether a check ran from nothing, whether it overruled one on earlier builds, and its command.
_NINTH = """
ALTER TABLE greens ADD COLUMN clean INTEGER NOT NULL DEFAULT 0;
ALTER TABLE greens ADD COLUMN overrules INTEGER NOT NULL DEFAULT 0;
ALTER TABLE greens ADD COLUMN command TEXT NOT NULL DEFAULT '';
"""

# Tasks that were handed off without a change: older versions counted them as landed.
_TENTH = """
ALTER TABLE runs ADD COLUMN unchanged INTEGER NOT NULL DEFAULT 0;
UPDATE tasks SET state = 'unchanged' WHERE state = 'landed' AND commit_oid IS NULL;
UPDATE runs SET unchanged = (SELECT count(*) FROM tasks WHERE state = 'unchanged');
UPDATE runs SET landed = landed - unchanged;
"""

# Which tasks a task comes after, which one it replaces, and what a person told its workers.
_ELEVENTH = """
ALTER TABLE tasks ADD COLUMN after_tasks TEXT NOT NULL DEFAULT '[]';
ALTER TABLE tasks ADD COLUMN replaces TEXT;
ALTER TABLE tasks ADD COLUMN directions TEXT NOT NULL DEFAULT '[]';
"""

# The share of time in which commands had no CPU, how many could run at a time, and how much CPU other programs used.
# Covering indexes for what the screens ask about ended agents, tasks and handoffs, whose rows lie all over the file.
_TWELFTH = """
CREATE INDEX agents_ended ON agents (parent, role, state, ended, input_tokens, output_tokens, usd)
  WHERE ended IS NOT NULL;
CREATE INDEX agents_that_plan ON agents (parent, id, role) WHERE role = 'planner';
CREATE INDEX tasks_ended ON tasks (planner, state, ended, commit_oid) WHERE ended IS NOT NULL;
CREATE INDEX handoffs_by_time ON handoffs (at, id, agent);
ALTER TABLE samples ADD COLUMN starved REAL NOT NULL DEFAULT 0;
ALTER TABLE samples ADD COLUMN cpu_others REAL NOT NULL DEFAULT 0;
ALTER TABLE samples ADD COLUMN runnable REAL NOT NULL DEFAULT 0;
DROP VIEW samples_per_minute;
CREATE VIEW samples_per_minute AS
  SELECT strftime('%Y-%m-%dT%H:%MZ', at / 60000000 * 60, 'unixepoch') AS minute, count(*) AS samples,
         max(memory) AS memory, min(memory_free) AS memory_free, avg(disk_read) AS disk_read,
         avg(disk_write) AS disk_write, min(disk_free) AS disk_free, avg(cpu) AS cpu, avg(cpu_pressure) AS cpu_pressure,
         avg(memory_pressure) AS memory_pressure, avg(io_pressure) AS io_pressure, max(processes) AS processes,
         avg(building) AS building, avg(gate_waiting) AS gate_waiting, avg(contention) AS contention,
         avg(starved) AS starved, avg(cpu_others) AS cpu_others, avg(runnable) AS runnable
  FROM samples GROUP BY at / 60000000;
"""

STEPS = (_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH, _SIXTH, _SEVENTH, _EIGHTH, _NINTH, _TENTH, _ELEVENTH, _TWELFTH)
"""What each version added: the second step turns a journal of version 1 into version 2, and so on. Released steps never
change; a new version is a new step."""
VERSION = len(STEPS)
"""The schema's version (`PRAGMA user_version`)."""
LANDED = """SELECT count(commit_oid) AS landed, count(*) - count(commit_oid) AS unchanged
  FROM tasks WHERE state IN ('landed', 'unchanged')"""
"""How many tasks have landed, and how many were handed off without a change, in a journal of any version (see
engine.domain.events.TaskEnded)."""
