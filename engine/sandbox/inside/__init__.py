"""What runs inside a sandbox: the standard library's cheapest modules and nothing of ours but this folder.

The engine compiles it once for a run, and binds it read-only. Only `loop`, `frames` and `jobs` are loaded at a start;
the rest comes with the first request that needs it, so that a sandbox is up in milliseconds. For the same reason
nothing here may import `collections`, `re` or `typing` at a start.
"""
