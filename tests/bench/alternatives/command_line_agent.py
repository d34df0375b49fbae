"""A small agent for the command line, which an orchestrator starts. It uses nothing that is not in Python.

`generic-cli URL … --prompt TEXT` asks the model at URL (chat completions), runs the commands that it calls for, and
ends when it calls for none. `report URL TASK` tells the orchestrator that a task is done.
"""

import json
import os
import subprocess
import sys
import urllib.request
from typing import Any

TOOL = {
    "name": "shell",
    "description": "Run a command in your copy of the repository.",
    "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
}


def ask(url: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The model's next message, put together from its stream."""
    body = {
        "model": "scripted",
        "messages": messages,
        "tools": [{"type": "function", "function": TOOL}],
        "stream": True,
    }
    headers = {"content-type": "application/json", "authorization": "Bearer none"}
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), headers)
    text, calls = "", {}
    with urllib.request.urlopen(request) as stream:
        for line in stream:
            if not line.startswith(b"data: {"):
                continue
            for choice in json.loads(line[6:])["choices"]:
                text += choice["delta"].get("content") or ""
                for piece in choice["delta"].get("tool_calls", ()):
                    found = calls.setdefault(piece["index"], {"id": piece.get("id"), "name": "", "arguments": ""})
                    found["name"] += piece["function"].get("name") or ""
                    found["arguments"] += piece["function"].get("arguments") or ""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {"id": each.pop("id"), "type": "function", "function": each} for each in calls.values()
        ]
    return message


def work(url: str, prompt: str) -> None:
    messages = [{"role": "system", "content": "You are a coding agent."}, {"role": "user", "content": prompt}]
    while True:
        messages.append(ask(url, messages))
        if "tool_calls" not in messages[-1]:
            return
        for each in messages[-1]["tool_calls"]:
            command = json.loads(each["function"]["arguments"])["command"]
            ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
            messages.append({"role": "tool", "tool_call_id": each["id"], "content": ran.stdout + ran.stderr})


def report(task: str) -> None:
    url = f"{os.environ['BERNSTEIN_SERVER_URL']}/tasks/{task}/complete"
    headers = {"content-type": "application/json", "authorization": f"Bearer {os.environ['BERNSTEIN_AUTH_TOKEN']}"}
    body = json.dumps({"result_summary": "It is done and committed."}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        answer.read()


if __name__ == "__main__":
    name, address, *words = sys.argv[1:]
    if name == "report":
        report(words[0])
    else:
        work(address, words[words.index("--prompt") + 1])
