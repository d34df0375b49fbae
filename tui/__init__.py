"""The terminal app and the command line; only bridge.py imports the engine."""
