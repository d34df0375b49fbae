"""Protocols for everything the engine's logic needs from the world."""
