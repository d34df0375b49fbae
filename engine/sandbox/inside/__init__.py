"""The program inside a sandbox. It uses only fast-loading standard modules and this folder.

The engine compiles it once per run and mounts it read-only. A start loads only `loop`, `frames` and `jobs`, and the
first request that needs another module loads that, so that a sandbox starts within milliseconds. For the same reason
nothing here may import `collections`, `re` or `typing` at a start.
"""
