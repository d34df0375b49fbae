"""The terminal app and the command line; only bridge.py and machinery.py import the engine."""
