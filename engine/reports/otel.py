"""Converts a run to OpenTelemetry spans for agents, model calls and tools, by the GenAI semantic conventions. Pure.

The output is lines of OTLP JSON (one TracesData object each), as file receivers of collectors read them. Message
content is left out: the conventions make it opt-in, and the journal has it.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

from engine.domain import events as e
from engine.domain.json_text import json_line
from engine.domain.os_text import utf8_text
from engine.domain.types import Agent, AgentId, AgentState, CallId, Micros, ToolCallState

INTERNAL, CLIENT = 1, 3
OK, ERROR = 1, 2
_PROVIDERS = {"openai-chat": "openai"}
_FINISHED = {"end": "stop", "tools": "tool_calls", "length": "length", "refusal": "content_filter"}


class Spans:
    """Takes events in order: `take` returns the spans that an event ended, `rest` all others at the end."""

    def __init__(self) -> None:
        self._run = ""
        self._began: Micros = 0
        self._at: Micros = 0
        self._resource: dict[str, Any] = {}
        self._run_state = ""
        self._agents: dict[AgentId, Agent] = {}
        self._ended: dict[AgentId, tuple[Micros, AgentState, str]] = {}
        self._noted: dict[AgentId, list[dict[str, Any]]] = {}
        self._calls: dict[tuple[AgentId, CallId], e.Event] = {}

    def take(self, event: e.Event) -> Iterator[bytes]:
        """The lines for the spans that the event ended."""
        self._at = event.at
        about: dict[str, Any]
        match event.body:
            case e.RunCreated() as body:
                self._run, self._began = body.run, event.at
                self._resource = {
                    "service.name": "swarm-tui",
                    "service.version": body.version,
                    "swarm.run.id": body.run,
                }
            case e.RunStateChanged(state=state):
                self._run_state = state.value
            case e.AgentSpawned(spawned=agent):
                self._agents[agent.id] = agent
            case e.AgentStateChanged(state=state, reason=reason) if event.agent is not None:
                if state in (AgentState.DONE, AgentState.FAILED, AgentState.CANCELLED):
                    self._ended[event.agent] = (event.at, state, reason)
                else:
                    self._ended.pop(event.agent, None)
            case e.TurnTaken() as body:
                yield self._turn(event, body)
            case e.ToolStarted(call=call) if event.agent is not None:
                self._calls[event.agent, call] = event
            case e.ToolFinished() as body:
                yield self._tool(event, body)
            case e.HandedOff(handoff=handoff):
                about = {
                    "swarm.handoff.status": handoff.text.status.value,
                    "swarm.handoff.by_engine": handoff.by_engine,
                }
                self._note(handoff.agent, event.at, "swarm.handoff", about)
            case e.LandingFinished(landing=landing):
                about = {
                    "swarm.landing.state": landing.state.value,
                    "swarm.landing.commit": landing.commit or "",
                    "swarm.landing.conflicts": len(landing.conflicts),
                }
                self._note(landing.agent, event.at, "swarm.landing", about)
            case e.ModelCallRetried(reason=reason, wait_s=wait) if event.agent is not None:
                self._note(event.agent, event.at, "swarm.model_call_retried", {"reason": reason, "wait_s": wait})

    def rest(self) -> Iterator[bytes]:
        """The lines for agents and the run; those that have not ended end with the last event."""
        for agent in self._agents.values():
            at, state, reason = self._ended.get(agent.id, (self._at, agent.state, ""))
            attributes: dict[str, Any] = {
                "gen_ai.operation.name": "invoke_agent",
                **_of(agent),
                "gen_ai.request.model": agent.model.partition(":")[2],
                "swarm.agent.state": state.value,
                "swarm.agent.role": agent.role.value,
                **({"swarm.task.id": agent.task} if agent.task is not None else {}),
            }
            failed = reason or "failed" if state is AgentState.FAILED else ""
            yield self._span(
                f"invoke_agent {agent.path}", _id("agent", agent.id), self._above(agent), INTERNAL,
                agent.spawned_at, at, attributes, failed, self._noted.get(agent.id, []),
            )  # fmt: skip
        attributes = {"gen_ai.operation.name": "invoke_workflow", "swarm.run.state": self._run_state or "running"}
        yield self._span("swarm run", _id("run", self._run), "", INTERNAL, self._began, self._at, attributes, "")

    def _turn(self, event: e.Event, body: e.TurnTaken) -> bytes:
        provider, _, model = body.model.partition(":")
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
            "gen_ai.request.model": model,
            "gen_ai.response.finish_reasons": [_FINISHED[body.stop.value]],
            "gen_ai.usage.input_tokens": body.usage.input,
            "gen_ai.usage.output_tokens": body.usage.output,
            "gen_ai.usage.cache_read.input_tokens": body.usage.cached,
            "swarm.prompt": body.prompt,
            **({"swarm.usage.usd": body.usage.usd} if body.usage.usd is not None else {}),
            **self._who(event),
        }
        began = event.at - int(body.wall_s * 1_000_000)
        above = _id("agent", event.agent or "")
        return self._span(f"chat {model}", _id("event", event.seq), above, CLIENT, began, event.at, attributes, "")

    def _tool(self, event: e.Event, body: e.ToolFinished) -> bytes:
        started = self._calls.pop((event.agent or AgentId(""), body.call), event)
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": body.tool,
            "gen_ai.tool.call.id": body.call,
            "gen_ai.tool.type": "function",
            "swarm.gate_wait_s": body.gate_wait_s,
            **self._who(event),
        }
        failed = body.state.value if body.state is not ToolCallState.OK else ""
        span, above = _id("event", event.seq), _id("agent", event.agent or "")
        return self._span(f"execute_tool {body.tool}", span, above, INTERNAL, started.at, event.at, attributes, failed)

    def _who(self, event: e.Event) -> dict[str, Any]:
        agent = self._agents.get(event.agent) if event.agent is not None else None
        return _of(agent) if agent is not None else {}

    def _above(self, agent: Agent) -> str:
        return _id("agent", agent.parent) if agent.parent is not None else _id("run", self._run)

    def _note(self, agent: AgentId, at: Micros, name: str, attributes: dict[str, Any]) -> None:
        noted = {"timeUnixNano": str(at * 1_000), "name": name, "attributes": _attributes(attributes)}
        self._noted.setdefault(agent, []).append(noted)

    def _span(
        self,
        name: str,
        id: str,
        above: str,
        kind: int,
        began: Micros,
        ended: Micros,
        attributes: dict[str, Any],
        failed: str,
        noted: list[dict[str, Any]] | None = None,
    ) -> bytes:
        span = {
            "traceId": hashlib.blake2b(utf8_text(self._run).encode(), digest_size=16).hexdigest(),
            "spanId": id,
            **({"parentSpanId": above} if above else {}),
            "name": name,
            "kind": kind,
            "startTimeUnixNano": str(began * 1_000),
            "endTimeUnixNano": str(max(began, ended) * 1_000),
            "attributes": _attributes(attributes | ({"error.type": failed} if failed else {})),
            "events": noted or [],
            "status": {"code": ERROR, "message": failed} if failed else {"code": OK},
        }
        scope = {"scope": {"name": "swarm-tui"}, "spans": [span]}
        line = {"resourceSpans": [{"resource": {"attributes": _attributes(self._resource)}, "scopeSpans": [scope]}]}
        return json_line(line)


def _of(agent: Agent) -> dict[str, Any]:
    return {"gen_ai.agent.id": agent.id, "gen_ai.agent.name": agent.path, "gen_ai.conversation.id": agent.id}


def _id(*parts: object) -> str:
    text = ":".join(map(str, parts))
    return hashlib.blake2b(utf8_text(text).encode(), digest_size=8).hexdigest()


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [_value(each) for each in value]}}
    return {"stringValue": utf8_text(str(value))}
