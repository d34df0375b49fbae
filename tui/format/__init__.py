"""Turns engine values into text and rows, without widgets."""
