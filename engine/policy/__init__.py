"""Decisions as pure functions: what starts next, what may still be spent, which pathologies an agent shows."""
