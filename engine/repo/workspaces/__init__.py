"""Agents' copies of the repository: overlays, checkouts, warm builds."""
