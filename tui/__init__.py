"""The terminal app and the command line; only bridge.py imports the engine, and of it only the face."""
