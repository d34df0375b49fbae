"""Agents' workspaces: shared layers, checkouts, copies, warm builds."""
