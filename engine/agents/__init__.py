"""Agents: the loop that all of them run, their roles, and one attempt at a task."""
